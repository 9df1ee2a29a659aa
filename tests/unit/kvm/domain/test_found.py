"""Domains that others made, as libvirt describes them: what is found, and what their mark makes of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import libvirt
import pytest

from drivers.adoption import AdoptedDisk, Adoption, FoundDisk, FoundNIC
from drivers.errors import Conflict
from drivers.kvm import adoption, mark, names
from drivers.kvm.domain import platform
from drivers.kvm.domain.disks import SEED_TARGET
from drivers.kvm.domain.found import found
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.mark import Mark, MarkedDisk, MarkedNIC, MarkedVolume
from drivers.types import Attachment, Firmware, HostID, InstanceID, NetworkBackend, Owner, Power, Segment, VolumeID

ID = "11111111-2222-4333-8444-555555555555"
DOMAIN = f"""
<domain type='kvm'>
  <name>old web</name><uuid>{ID.upper()}</uuid>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static' current='2'>6</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='cdrom'><source file='/iso/setup.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/data'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='disk'><source file='/srv/images/web.img'/><target dev='vda' bus='virtio'/>{{boot}}</disk>
    <disk type='file' device='disk'><source file='/srv/images/shared.img'/><target dev='vdc' bus='virtio'/><shareable/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/><target dev='vdd' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:AA'/><source bridge='ovsbr0'/>
      <virtualport type='openvswitch'/><vlan><tag id='120'/></vlan></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:03'/><source network='default'/></interface>
    <interface type='user'><mac address='52:54:00:00:00:04'/></interface>
  </devices>
</domain>"""
RUNNING = (libvirt.VIR_DOMAIN_RUNNING, 0)
OFF = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
SIZES = {"vda": 4096, "vdb": 8192}


def domain(boot: str = "", text: str = DOMAIN) -> ET.Element:
    return ET.fromstring(text.replace("{boot}", boot))


def documents(boot: str = "", *, on: bool = True) -> Documents:
    return Documents(domain(boot), domain(boot) if on else None, *(RUNNING if on else OFF))


def test_it_is_found_as_it_is() -> None:
    seen = found(documents(), HostID("h1"), SIZES, 3)
    assert (seen.instance, seen.host, seen.name, seen.power, seen.owner) == (ID, "h1", "old web", Power.ON, None)
    assert (seen.cpus, seen.running_cpus, seen.most_cpus) == (2, 2, 6)
    assert (seen.memory, seen.running_memory) == (2 << 30, 2 << 30)
    assert (seen.firmware, seen.snapshots) == (Firmware.BIOS, 3)


def test_the_disk_that_it_boots_from_is_first() -> None:
    assert [disk.device for disk in found(documents(), HostID("h1"), {}, 0).disks] == ["vdb", "vda", "vdc", "vdd", "sda"]
    seen = found(documents("<boot order='2'/>"), HostID("h1"), SIZES, 0)
    assert seen.disks == (
        FoundDisk("vda", "/srv/images/web.img", 4096),
        FoundDisk("vdb", "/dev/vg/data", 8192),
        FoundDisk("vdc", "/srv/images/shared.img", 0, exclusive=False),
        FoundDisk("vdd", "", 0),
        FoundDisk("sda", "/iso/setup.iso", 0, exclusive=False),
    )


def test_where_interfaces_are_attached() -> None:
    assert found(documents(), HostID("h1"), {}, 0).nics == (
        FoundNIC("52:54:00:00:00:aa", Segment(120), Attachment(NetworkBackend.OVS, "ovsbr0")),
        FoundNIC("52:54:00:00:00:02", Segment(), Attachment(NetworkBackend.BRIDGE, "br0")),
        FoundNIC("52:54:00:00:00:03", Segment(), Attachment(NetworkBackend.BRIDGE, "")),
        FoundNIC("52:54:00:00:00:04", Segment(), Attachment(NetworkBackend.BRIDGE, "")),
    )


@pytest.mark.parametrize(
    ("os", "firmware"),
    [
        ("<os firmware='efi'/>", Firmware.UEFI),
        ("<os><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader></os>", Firmware.UEFI),
        ("<os><loader type='rom'>/usr/share/seabios/bios.bin</loader></os>", Firmware.BIOS),
    ],
)
def test_firmware(os: str, firmware: Firmware) -> None:
    text = DOMAIN.replace("<os><type arch='x86_64' machine='pc'>hvm</type></os>", os)
    one = domain(text=text)
    assert found(Documents(one, None, *OFF), HostID("h1"), {}, 0).firmware is firmware


def test_one_that_is_off_has_no_room_for_cpus() -> None:
    assert found(documents(on=False), HostID("h1"), {}, 0).most_cpus == 0


ADOPTED = Mark(
    Owner("uid-1", "shop", "web"),
    2 << 30,
    "",
    disks=(
        MarkedDisk("root", "local", "vda", 4096, "/srv/images/web.img"),
        MarkedDisk("vdb", "", "vdb", 8192, "/dev/vg/data"),
        MarkedDisk("sda", "", "sda", 0, "/iso/setup.iso"),
    ),
    nics=(MarkedNIC("front", "52:54:00:00:00:aa", "shop/front", Segment(120), "10.1.0.9"),),
    adopted=True,
)


def marked(changed: Mark = ADOPTED) -> ET.Element:
    one = domain()
    mark.write(one, changed)
    return one


def test_the_mark_comes_back_whole() -> None:
    assert mark.read(marked()) == ADOPTED


def test_an_ordinary_mark_says_nothing_of_adoption() -> None:
    text = ET.tostring(mark.build(Mark(Owner("u", "n", "x"), 1, "", (MarkedDisk("root", "p", "vda", 1),))), encoding="unicode")
    assert "adopted" not in text
    assert "path" not in text


def test_it_is_observed_by_its_mark() -> None:
    seen = observe(Documents(marked(), marked(), *RUNNING), HostID("h1"))
    assert seen is not None
    assert [(disk.name, disk.pool, disk.volume_id, disk.size) for disk in seen.disks] == [
        ("sda", "", "/iso/setup.iso", 0),
        ("vdb", "", "/dev/vg/data", 8192),
        ("root", "local", "/srv/images/web.img", 4096),
    ]
    assert seen.foreign_devices == ("vdc", "vdd", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04")
    assert [(nic.name, nic.segment, nic.ip) for nic in seen.nics] == [("front", Segment(120), "10.1.0.9")]
    assert (seen.name, seen.memory, seen.most_cpus) == ("old web", 2 << 30, 6)


def test_a_disk_in_a_pool_is_ours_as_long_as_it_is_the_same_file() -> None:
    """An overlay of somebody's snapshot is another file; the medium of a drive may change."""
    one = marked()
    for path, changed in (("/srv/images/web.img", "/srv/images/web.snap1"), ("/iso/setup.iso", "/iso/other.iso")):
        for source in one.iterfind("devices/disk/source"):
            if source.get("file") == path:
                source.set("file", changed)
    seen = observe(Documents(one, None, *OFF), HostID("h1"))
    assert seen is not None
    assert [disk.name for disk in seen.disks] == ["sda", "vdb"]
    assert "vda" in seen.foreign_devices


def test_a_definition_with_a_topology_of_its_own_can_be_given_other_cpus() -> None:
    """sockets × dies × cores × threads must be the most CPUs that there are (libvirt, formatdomain)."""
    one = domain()
    cpu = ET.SubElement(one, "cpu")
    ET.SubElement(cpu, "topology", {"sockets": "3", "dies": "1", "cores": "1", "threads": "2"})
    platform.set_processors(one, 4)
    [topology] = cpu
    product = 1
    for value in topology.attrib.values():
        product *= int(value)
    assert product == int(one.findtext("vcpu", "0")) >= 4


# Of Vireo's, its object gone -----------------------------------------------------------------------------------------

ME = InstanceID(ID)
VOLUME = VolumeID("99999999-2222-4333-8444-555555555555")
MADE = f"""
<domain type='kvm'>
  <name>shop-web-11111111</name><uuid>{ID}</uuid><memory unit='KiB'>1048576</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='cdrom'><source file='/srv/vms/{names.seed(ME, "a" * 64)}'/><target dev='{SEED_TARGET}'/></disk>
    <disk type='file' device='disk'><source file='/srv/vms/{names.disk(ME, "root")}'/><target dev='vda'/></disk>
    {{volume}}
    <interface type='bridge'><mac address='02:00:00:00:00:01'/><source bridge='vireo-b120'/></interface>
    <interface type='bridge'><mac address='02:00:00:00:00:02'/><source bridge='br0'/></interface>
    <interface type='bridge'><mac address='02:00:00:00:00:03'/><source bridge='br9'/></interface>
  </devices>
</domain>"""
ATTACHED = f"<disk type='file' device='disk'><serial>{VOLUME}</serial><source file='{{path}}'/><target dev='sda'/></disk>"
ODD = (1 << 30) - 5
"""Bytes that were asked for, and rounded up."""


def made(carrier: str = "vxlan:eth1:239.1.1.1", *, with_volume: bool = False) -> Documents:
    """A VM that Vireo made, off: two NICs are known, and a volume that it may have lost."""
    path = f"/srv/vms/{names.Content(names.Kind.VOLUME, VOLUME, 0).file}"
    one = domain(text=MADE.replace("{volume}", ATTACHED.format(path=path) if with_volume else ""))
    nics = (
        MarkedNIC("a", "02:00:00:00:00:01", "shop/front", Segment(120), "10.1.0.9", carrier),
        MarkedNIC("b", "02:00:00:00:00:02", "shop/back", Segment(130), "", ""),
    )
    known = Mark(
        Owner("uid-1", "shop", "web"),
        ODD,
        "a" * 64,
        disks=(MarkedDisk("root", "old-pool", "vda", 4096),),
        nics=nics,
        volumes=(MarkedVolume("data", VOLUME, "local", "sda", 8192),),
        restored=("token", "earlier"),
    )
    mark.write(one, known)
    return Documents(one, None, *OFF)


def test_of_one_that_vireo_made_the_mark_tells_what_libvirt_does_not_know() -> None:
    seen = found(made(), HostID("h1"), {"vda": 4096}, 0)
    assert seen.owner == Owner("uid-1", "shop", "web")
    assert seen.disks == (FoundDisk("vda", f"/srv/vms/{ID}-root.qcow2", 4096),)
    assert (seen.memory, seen.running_memory, seen.volumes) == (ODD, ODD, ())
    assert seen.nics == (
        FoundNIC("02:00:00:00:00:01", Segment(120), Attachment(NetworkBackend.LINUX, "", "eth1", "239.1.1.1"), "a", "10.1.0.9"),
        FoundNIC("02:00:00:00:00:02", Segment(130), Attachment(NetworkBackend.BRIDGE, "br0"), "b"),
        FoundNIC("02:00:00:00:00:03", Segment(), Attachment(NetworkBackend.BRIDGE, "br9")),
    )


@pytest.mark.parametrize("text", ["", "vlan:", "nonsense", "vlan:../../etc", "vxlan:eth1:8.8.8.8"])
def test_a_carrier_that_nobody_could_have_is_none(text: str) -> None:
    assert found(made(text), HostID("h1"), {}, 0).nics[0].attachment == Attachment(NetworkBackend.BRIDGE, "vireo-b120")


class Domain:
    """A domain with these documents, that takes metadata."""

    def __init__(self, documents: Documents) -> None:
        self._text = ET.tostring(documents.inactive, encoding="unicode")
        self.written: list[str] = []

    def XMLDesc(self, _flags: int) -> str:  # libvirt's name
        return self._text

    def name(self) -> str:
        return "shop-web-11111111"

    def isActive(self) -> bool:  # libvirt's name
        return False

    def isPersistent(self) -> bool:  # libvirt's name
        return True

    def state(self, _flags: int) -> tuple[int, int]:
        return OFF

    def setMetadata(self, _kind: int, text: str, *_others: object) -> None:  # libvirt's name
        self.written.append(text)


class Libvirt:
    """A connection that has it."""

    def __init__(self, domain: Domain) -> None:
        self.lookupByUUIDString = lambda _: domain


def swap(one: Domain, replaces: str = "uid-1") -> None:
    root = AdoptedDisk("root", "vda", f"/srv/vms/{ID}-root.qcow2", "new-pool", 4096)
    adoption._adopt(Libvirt(one), ME, Adoption(Owner("uid-2", "shop", "again"), (root,), (), replaces))


def test_its_mark_is_swapped_in_one_call_and_all_else_in_it_stays() -> None:
    one = Domain(made())
    swap(one)
    [text] = one.written
    holder = ET.Element("domain")
    ET.SubElement(holder, "metadata").append(ET.fromstring(text.replace("<vm ", f"<vm xmlns='{mark.NAMESPACE}' ", 1)))
    assert mark.read(holder) == Mark(
        Owner("uid-2", "shop", "again"),
        ODD,
        "a" * 64,
        disks=(MarkedDisk("root", "new-pool", "vda", 4096),),  # still known by the name of its file
        restored=("token", "earlier"),
        adopted=True,
    )


@pytest.mark.parametrize(("replaces", "with_volume"), [("", False), ("uid-3", False), ("uid-1", True)])
def test_neither_for_another_mark_nor_with_a_volume(replaces: str, with_volume: bool) -> None:
    one = Domain(made(with_volume=with_volume))
    assert [each.name for each in found(made(with_volume=with_volume), HostID("h1"), {}, 0).volumes] == ["data"] * with_volume
    with pytest.raises(Conflict, match=str(VOLUME) if with_volume else "another owner"):
        swap(one, replaces)
    assert one.written == []


def test_memory_that_others_plugged_is_counted_as_the_guest_has_it() -> None:
    device = """<memory model='virtio-mem'><target><size unit='KiB'>1048576</size><node>0</node><block unit='KiB'>2048</block>
      <requested unit='KiB'>524288</requested>{current}</target></memory></devices>"""
    inactive, live = (
        domain(text=DOMAIN.replace("</devices>", device.replace("{current}", current)))
        for current in ("", "<current unit='KiB'>262144</current>")
    )
    seen = found(Documents(inactive, live, *RUNNING), HostID("h1"), SIZES, 0)
    assert (seen.memory, seen.running_memory) == ((1 << 30) + (512 << 20), (1 << 30) + (256 << 20))
