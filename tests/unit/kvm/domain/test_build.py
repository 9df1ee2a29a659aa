"""Domain XML: what must be in it, and what must not."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from drivers.errors import InvalidSpec, Unsupported
from drivers.kvm.domain import platform
from drivers.kvm.domain.build import build
from drivers.kvm.domain.disks import devices_of
from drivers.kvm.host.profile import CPUModel
from drivers.types import (
    Attachment,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    Devices,
    Firmware,
    GuestSupport,
    InstanceID,
    NetworkBackend,
    Owner,
    PoolSpec,
    Segment,
)
from tests.unit.kvm.fakes import HOST

MIB = 1 << 20
POOL = PoolSpec("local", "/srv/vireo")
OVS = Attachment(NetworkBackend.OVS, "ovsbr0")
BRIDGE = Attachment(NetworkBackend.BRIDGE, "br-vlan10")
INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
NIC = DesiredNIC("eth0", "02:00:00:00:00:01", "shop/front", Segment(10), OVS, "10.0.0.5")
VM = DesiredVM(
    INSTANCE, "web", Owner("uid-1", "shop", "web"), 2, 512 * MIB, (DesiredDisk("root", POOL, 1 << 30, "debian"),), (NIC,)
)


def attributes(root: ET.Element, path: str) -> list[dict[str, str]]:
    return [item.attrib for item in root.iterfind(path)]


def test_identity_and_place() -> None:
    root = build(VM, HOST)
    assert root.get("type") == "kvm"
    assert root.findtext("uuid") == INSTANCE
    assert root.findtext("name") == "web-6f1d9a3e"
    assert root.findtext("devices/emulator") == "/usr/bin/qemu-system-x86_64"
    assert attributes(root, "os/type") == [{"arch": "x86_64", "machine": "pc-q35-7.2"}]


def test_the_same_vm_is_the_same_document() -> None:
    assert ET.tostring(build(VM, HOST)) == ET.tostring(build(VM, HOST))


def test_accelerated_and_emulated_guests() -> None:
    assert build(VM, HOST).find("features/tcg") is None
    emulated = build(VM, replace(HOST, domain_type="qemu", cpu_mode="maximum"))
    assert emulated.get("type") == "qemu"
    assert emulated.findtext("features/tcg/tb-cache") == "32"
    assert attributes(emulated, "cpu") == [{"mode": "maximum"}]
    assert attributes(build(VM, replace(HOST, cpu_mode="")), "cpu") == [{}]


def test_a_cpu_that_is_written_out() -> None:
    root = build(VM, replace(HOST, cpu=CPUModel("EPYC", "AMD", (("svm", "disable"),))))
    assert attributes(root, "cpu") == [{"mode": "custom", "match": "exact", "check": "partial"}]
    assert (root.findtext("cpu/model"), root.findtext("cpu/vendor")) == ("EPYC", "AMD")
    assert attributes(root, "cpu/model") == [{"fallback": "forbid"}]
    assert attributes(root, "cpu/feature") == [{"policy": "disable", "name": "svm"}]
    assert attributes(root, "cpu/topology")[0]["sockets"] == "1"


def test_a_cpu_that_is_asked_for_is_one_of_the_host_s() -> None:
    host = replace(HOST, cpu=CPUModel("EPYC", "AMD"), guests=GuestSupport(cpu_models=("Nehalem",)))
    root = build(replace(VM, cpu_model="Nehalem"), host)
    assert (root.findtext("cpu/model"), root.find("cpu/vendor"), attributes(root, "cpu/feature")) == ("Nehalem", None, [])
    for other in ("EPYC", "nehalem", "<x/>"):
        with pytest.raises(InvalidSpec, match="CPU model"):
            build(replace(VM, cpu_model=other), host)


@pytest.mark.parametrize(("cpus", "most"), [(1, 8), (8, 8), (9, 16), (239, 240), (240, 240)])
def test_room_for_more_cpus(cpus: int, most: int) -> None:
    root = build(replace(VM, cpus=cpus), HOST)
    assert attributes(root, "vcpu") == [{"placement": "static", "current": str(cpus)}]
    assert root.findtext("vcpu") == str(most)
    assert attributes(root, "cpu/topology") == [{"sockets": "1", "dies": "1", "threads": "1", "cores": str(most)}]


@pytest.mark.parametrize("cpus", [1, 8, 9, 240])
def test_an_emulated_guest_has_no_room_for_more_cpus(cpus: int) -> None:
    root = build(replace(VM, cpus=cpus), replace(HOST, domain_type="qemu"))
    assert root.findtext("vcpu") == str(cpus)
    assert attributes(root, "cpu/topology")[0]["cores"] == str(cpus)


@pytest.mark.parametrize("cpus", [-1, 0, 241, 10_000])
def test_numbers_of_cpus_that_no_vm_has(cpus: int) -> None:
    with pytest.raises(InvalidSpec, match="CPUs"):
        build(replace(VM, cpus=cpus), HOST)


def test_the_host_s_own_limit_of_cpus_counts() -> None:
    with pytest.raises(InvalidSpec, match="1 to 4 CPUs"):
        build(replace(VM, cpus=5), replace(HOST, max_cpus=4))


def test_room_for_more_memory() -> None:
    """As a range of addresses and a port for what gives memory there, where host and guest can."""
    able, large = replace(HOST, adds_memory=True), replace(VM, memory=2048 * MIB)
    root, without = build(large, able), build(large, HOST)
    assert (root.findtext("maxMemory"), root.findtext("memory")) == (str(8 << 20), str(2 << 20))
    assert attributes(root, "cpu/numa/cell") == [{"id": "0", "cpus": "0-7", "memory": str(2 << 20), "unit": "KiB"}]
    ports = "devices/controller[@model='pcie-root-port']"
    assert len(root.findall(ports)) == len(without.findall(ports)) + 1
    for other in (without, build(VM, able), build(replace(large, devices=Devices.EMULATED), able)):
        assert (other.find("maxMemory"), other.find("cpu/numa")) == (None, None)


def test_room_for_more_cpus_is_the_node_s_too() -> None:
    root = build(replace(VM, memory=2048 * MIB), replace(HOST, adds_memory=True))
    platform.set_processors(root, 12)
    assert attributes(root, "cpu/numa/cell")[0]["cpus"] == "0-15"
    foreign = build(VM, HOST)
    foreign.find("cpu").append(ET.fromstring("<numa><cell id='0' cpus='0'/><cell id='1' cpus='1'/></numa>"))  # type: ignore[union-attr]
    platform.set_processors(foreign, 12)
    assert [cell["cpus"] for cell in attributes(foreign, "cpu/numa/cell")] == ["0", "1"]


@pytest.mark.parametrize("memory", [-1, 0, 1, MIB - 1])
def test_memory_that_no_vm_has(memory: int) -> None:
    with pytest.raises(InvalidSpec, match="memory"):
        build(replace(VM, memory=memory), HOST)


def test_a_changed_number_of_cpus_leaves_no_trace_of_the_old_one() -> None:
    """libvirt lists each CPU once some are not present."""
    root = build(VM, HOST)
    ET.SubElement(root, "vcpus").append(ET.Element("vcpu", {"id": "0"}))
    platform.set_processors(root, 12)
    assert (root.findtext("vcpu"), root.find("vcpu").get("current")) == ("16", "12")  # type: ignore[union-attr]
    assert attributes(root, "cpu/topology")[0]["cores"] == "16"
    assert root.find("vcpus") is None


def test_firmware() -> None:
    assert build(VM, HOST).find("os").get("firmware") is None  # type: ignore[union-attr]
    uefi = build(replace(VM, firmware=Firmware.UEFI), HOST)
    assert uefi.find("os").get("firmware") == "efi"  # type: ignore[union-attr]
    assert attributes(uefi, "os/firmware/feature") == [{"enabled": "no", "name": "secure-boot"}]
    with pytest.raises(Unsupported, match="OVMF"):
        build(replace(VM, firmware=Firmware.UEFI), replace(HOST, uefi=False))


def test_a_disk_is_ours_by_name_thin_and_on_virtio() -> None:
    disks = build(replace(VM, disks=(*VM.disks, DesiredDisk("data", POOL, MIB))), HOST)
    assert attributes(disks, "devices/disk[@device='disk']/source") == [
        {"file": f"/srv/vireo/{INSTANCE}-root.qcow2"},
        {"file": f"/srv/vireo/{INSTANCE}-data.qcow2"},
    ]
    assert attributes(disks, "devices/disk[@device='disk']/target") == [
        {"dev": "vda", "bus": "virtio"},
        {"dev": "vdb", "bus": "virtio"},
    ]
    assert attributes(disks, "devices/disk/driver")[0] == {"name": "qemu", "type": "qcow2", "discard": "unmap"}


def test_disk_names_go_on_after_z() -> None:
    disks = tuple(DesiredDisk(f"d{number}", POOL, MIB) for number in range(28))
    targets = [item["dev"] for item in attributes(build(replace(VM, disks=disks), HOST), "devices/disk[@device='disk']/target")]
    assert targets[:2] + targets[25:] == ["vda", "vdb", "vdz", "vdaa", "vdab"]
    assert len(set(targets)) == 28


@pytest.mark.parametrize("path", ["relative", "/etc", "/srv/../etc", "/srv/\n"])
def test_a_disk_is_never_outside_of_a_pool(path: str) -> None:
    with pytest.raises(InvalidSpec):
        build(replace(VM, disks=(DesiredDisk("root", PoolSpec("local", path), MIB),)), HOST)


def test_the_seed_is_a_read_only_disk_after_all_others() -> None:
    root = build(replace(VM, disks=(*VM.disks, DesiredDisk("data", POOL, MIB))), HOST, "/srv/vireo/seed.iso")
    seed = root.findall("devices/disk")[-1]
    assert attributes(seed, "source") == [{"file": "/srv/vireo/seed.iso"}]
    assert attributes(seed, "target") == [{"dev": "vdzz", "bus": "virtio"}]
    assert attributes(seed, "driver") == [{"name": "qemu", "type": "raw"}]
    assert seed.find("readonly") is not None
    assert len(build(VM, HOST).findall("devices/disk")) == len(VM.disks)


def test_a_port_of_open_vswitch_carries_the_vlan_as_a_tag() -> None:
    root = build(VM, HOST)
    assert attributes(root, "devices/interface/source") == [{"bridge": "ovsbr0"}]
    assert attributes(root, "devices/interface/virtualport") == [{"type": "openvswitch"}]
    assert attributes(root, "devices/interface/vlan/tag") == [{"id": "10"}]
    assert attributes(root, "devices/interface/mac") == [{"address": NIC.mac}]
    assert attributes(root, "devices/interface/model") == [{"type": "virtio"}]


@pytest.mark.parametrize(("attachment", "vlan"), [(OVS, None), (BRIDGE, 10), (BRIDGE, None)])
def test_other_ports_have_no_tag(attachment: Attachment, vlan: int | None) -> None:
    root = build(replace(VM, nics=(replace(NIC, attachment=attachment, segment=Segment(vlan)),)), HOST)
    assert root.find("devices/interface/vlan") is None
    assert attributes(root, "devices/interface/source") == [{"bridge": attachment.bridge}]
    assert (root.find("devices/interface/virtualport") is None) == (attachment is BRIDGE)


WRONG_NICS = [
    replace(NIC, mac=""),
    replace(NIC, mac="02:00:00:00:00:0A"),
    replace(NIC, mac="03:00:00:00:00:01"),
    replace(NIC, mac="02-00-00-00-00-01"),
    replace(NIC, mac="02:00:00:00:00:01\n"),
    replace(NIC, segment=Segment(0)),
    replace(NIC, segment=Segment(4095)),
    replace(NIC, attachment=replace(OVS, bridge="")),
    replace(NIC, attachment=replace(OVS, bridge="a/b")),
    replace(NIC, attachment=replace(OVS, bridge="-a")),
    replace(NIC, attachment=replace(OVS, bridge="a" * 16)),
    replace(NIC, name="a\0"),
]


@pytest.mark.parametrize("nic", WRONG_NICS)
def test_nics_that_no_host_has(nic: DesiredNIC) -> None:
    with pytest.raises(InvalidSpec):
        build(replace(VM, nics=(nic,)), HOST)


def test_names_and_addresses_are_there_once() -> None:
    for twice in (
        replace(VM, disks=VM.disks * 2),
        replace(VM, nics=(NIC, replace(NIC, mac="02:00:00:00:00:02"))),
        replace(VM, nics=(NIC, replace(NIC, name="eth1"))),
    ):
        with pytest.raises(InvalidSpec, match="same"):
            build(twice, HOST)


def test_a_vm_without_an_owner_could_not_be_told_from_others() -> None:
    with pytest.raises(InvalidSpec, match="owner"):
        build(replace(VM, owner=Owner("", "shop", "web")), HOST)


def test_nothing_listens_on_the_network() -> None:
    root = build(VM, HOST)
    assert attributes(root, "devices/graphics") == [{"type": "vnc"}]
    assert attributes(root, "devices/graphics/listen") == [{"type": "socket"}]
    assert "0.0.0.0" not in ET.tostring(root, encoding="unicode")


def test_every_vm_has_console_agent_entropy_and_balloon() -> None:
    root = build(VM, HOST)
    assert attributes(root, "devices/console/target") == [{"type": "serial"}]
    assert attributes(root, "devices/channel/target") == [{"type": "virtio", "name": "org.qemu.guest_agent.0"}]
    assert root.findtext("devices/rng/backend") == "/dev/urandom"
    assert attributes(root, "devices/memballoon") == [{"model": "virtio"}]


def test_a_guest_tells_of_a_panic_where_its_host_can() -> None:
    assert attributes(build(VM, replace(HOST, tells_panics=True)), "devices/panic") == [{"model": "isa"}]
    assert attributes(build(VM, HOST), "devices/panic") == []


def test_a_guest_that_stops_stays_off_and_one_that_crashes_is_kept() -> None:
    root = build(VM, HOST)
    assert {tag: root.findtext(tag) for tag in ("on_poweroff", "on_reboot", "on_crash")} == {
        "on_poweroff": "destroy",
        "on_reboot": "restart",
        "on_crash": "preserve",
    }


def test_there_are_empty_ports_however_many_devices_there_are() -> None:
    """q35 plugs into PCI Express ports only, and devices that are there from the start use them up."""
    for count in (0, 1, 6):
        nics = tuple(replace(NIC, name=f"n{number}", mac=f"02:00:00:00:00:0{number}") for number in range(count))
        root = build(replace(VM, nics=nics), HOST)
        ports = sum(item.get("model") == "pcie-root-port" for item in root.iterfind("devices/controller"))
        taken = 5 + len(VM.disks) + count
        assert ports - taken == platform.SPARE_PORTS


EMULATED = replace(VM, devices=Devices.EMULATED)


def test_devices_for_guests_without_virtio() -> None:
    root = build(replace(EMULATED, disks=(*VM.disks, DesiredDisk("data", POOL, 1 << 30))), HOST, "/seed")
    targets = [(item["dev"], item["bus"]) for item in attributes(root, "devices/disk/target")]
    assert targets == [("vda", "sata"), ("vdb", "sata"), ("vdzz", "sata")], "names are ours: they say nothing to the guest"
    assert [item["unit"] for item in attributes(root, "devices/disk/address")] == ["0", "1", "5"]
    assert [item.get("device") for item in root.iterfind("devices/disk")] == ["disk", "disk", "cdrom"]
    assert attributes(root, "devices/interface/model") == [{"type": "e1000e"}]


def test_what_a_domain_has_is_seen_in_it() -> None:
    assert devices_of(build(EMULATED, HOST)) is Devices.EMULATED
    assert devices_of(build(VM, HOST)) is Devices.VIRTIO
    assert devices_of(build(replace(EMULATED, disks=()), HOST)) is Devices.VIRTIO, "there is nothing that could tell"


def test_as_many_disks_as_there_are_sata_ports() -> None:
    disks = tuple(DesiredDisk(f"d{number}", POOL, 1 << 30) for number in range(6))
    assert len(build(replace(EMULATED, disks=disks[:5]), HOST, "/seed").findall("devices/disk")) == 6
    with pytest.raises(InvalidSpec, match="at most 5 disks"):
        build(replace(EMULATED, disks=disks), HOST)
