"""One libvirt host with a controller, and what its administrator has there, does there, and reads there with virsh."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.kubectl import Kubectl
from tests.support.live import manifests as make

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")
import libvirt_qemu  # noqa: E402

from drivers.kvm.mark import NAMESPACE  # noqa: E402
from tests.lab.shell import run  # noqa: E402
from tests.scenario.kvmsite import Site, local, site  # noqa: E402

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

PATIENCE = 600.0
TWO_LOOKS = 2400.0
"""Seconds in which a pool is looked at twice, each about ten minutes after the last."""
LOST = "0c5e2d8a-6f0b-4a53-9a11-3f2f6f5a7e01"
"""The identity of a VM that only a file in the pool knows."""
LEGACY = "4f3c2b1a-0d9e-4c8b-a7f6-e5d4c3b2a190"
MAC, ADDRESS = "52:54:00:00:00:01", "10.1.0.60"
NOTE, OTHERS = "do not touch", "https://example.org/shop"
BOTH = (libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG)

DOMAIN = """
<domain type='qemu'><name>legacy</name><uuid>{uuid}</uuid><title>Old web server</title>
<metadata><shop:note xmlns:shop="{others}">{note}</shop:note></metadata>
<memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{other}'/><target dev='vdb' bus='virtio'/></disk>
<interface type='bridge'><mac address='{mac}'/><source bridge='ovsbr0'/><virtualport type='openvswitch'/>
<vlan><tag id='{vlan}'/></vlan><model type='virtio'/></interface>
</devices></domain>"""

SLOW = {"readBytesPerSecond": "4Mi", "writeBytesPerSecond": "2Mi", "readIOPS": 400, "writeIOPS": 200}
SAID = {"bps_rd": 4 << 20, "bps_wr": 2 << 20, "iops_rd": 400, "iops_wr": 200}
"""The same in the words of QEMU's monitor (query-block)."""
RATES = ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host whose pool has a root disk of nobody's, and a file that is not Vireo's, before the controller first sees it."""
    with site(tmp_path_factory.mktemp("administrators") / "cloud", 1) as made:
        pool = local(made.hosts[0])
        pool.mkdir(parents=True)
        run("qemu-img", "create", "-q", "-f", "qcow2", str(lost(made)), "8M")
        (pool / "notes.qcow2").write_text("of the administrator's own")
        made.apply()
        made.cloud.api.apply(make.manifest("ServiceOffering", "slow", cpus=1, memory="32Mi", diskLimits=SLOW))
        made.cloud.api.apply(make.manifest("ServiceOffering", "slower", cpus=1, memory="32Mi", diskLimits={"writeIOPS": 50}))
        made.cloud.controller.start()
        for kind in ("Host", "StoragePool", "Template", "Network"):
            made.cloud.await_current(kind, deadline=PATIENCE)
        yield made


def lost(world: Site) -> Path:
    return local(world.hosts[0]) / f"{LOST}-root.qcow2"


@contextmanager
def domain(world: Site, instance: str) -> Iterator[Any]:
    """As an administrator has it, past the driver."""
    with closing(libvirt.open(world.hosts[0].uri)) as admin:
        yield admin.lookupByUUIDString(instance)


def documents(world: Site, instance: str) -> tuple[int, list[str]]:
    """The number that libvirt gives to each start, and both documents."""
    with domain(world, instance) as found:
        return found.ID(), [found.XMLDesc(flags) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]


def metadata(world: Site, instance: str, namespace: str) -> list[str]:
    """The element of a namespace in the document of now and in that of the next start; "" for none."""
    with domain(world, instance) as found:
        texts = [found.XMLDesc(flags) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]
    elements = [list(ET.fromstring(text).iterfind(f"metadata/{{{namespace}}}*")) for text in texts]
    return ["".join(ET.tostring(each, encoding="unicode") for each in found) for found in elements]


def process(instance: str) -> tuple[int, str]:
    """Number and start time of the QEMU that runs a domain."""
    wanted = f"uuid\0{instance}".encode()
    [number] = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if wanted in content(path)]
    return number, Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended
        return b""


def status(world: Site, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (world.cloud.api.get(kind, name) or {}).get("status", {})
    return found


def events(world: Site, name: str, reason: str) -> list[str]:
    """What Events of that reason say of an object."""
    found = Kubectl(world.cloud.plane.kubectl()).json("get", "events.events.k8s.io", "-A")["items"]
    return [each["note"] for each in found if (each["regarding"]["name"], each["reason"]) == (name, reason)]


def change(world: Site, name: str, **spec: Any) -> None:
    world.cloud.api.patch("VirtualMachine", name, {"spec": spec})
    world.cloud.await_current("VirtualMachine", [name], PATIENCE)


def remove(world: Site, name: str) -> None:
    world.cloud.api.delete("VirtualMachine", name)
    world.cloud.await_gone("VirtualMachine", name)


def limits(world: Site, instance: str) -> dict[str, dict[str, int]]:
    """What QEMU limits, in the words of its monitor, by device; without what it does not."""
    with domain(world, instance) as found:
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(found, '{"execute": "query-block"}', 0))["return"]
        disks = ET.fromstring(found.XMLDesc()).findall("devices/disk")
    names = {disk.find("alias").get("name"): disk.find("target").get("dev") for disk in disks}  # type: ignore[union-attr]
    inserted = {each["qdev"]: each["inserted"] for each in answer if "inserted" in each}
    return {
        str(target): {rate: values[rate] for rate in RATES if values[rate]}
        for alias, target in names.items()
        for device, values in inserted.items()
        if str(alias) in device.split("/")
    }


def next_limits(world: Site, instance: str, target: str) -> dict[str, int]:
    """What libvirt has for the next start (virsh blkdeviotune --config), in the monitor's words."""
    with domain(world, instance) as found:
        said = found.blockIoTune(target, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    words = {"read_bytes_sec": "bps_rd", "write_bytes_sec": "bps_wr", "read_iops_sec": "iops_rd", "write_iops_sec": "iops_wr"}
    return {words[name]: value for name, value in said.items() if name in words and value}


def test_qemu_limits_disks_as_the_offering_says_and_follows_at_once(world: Site) -> None:
    cloud = world.cloud
    cloud.api.apply(make.manifest("Volume", "data", zone="z", size="8Mi"))
    volumes = [{"name": "data", "volume": "data"}]
    cloud.api.apply(make.vm("limited", offering="slow", stopMode="Hard", volumes=volumes))
    cloud.await_current("VirtualMachine", ["limited"], PATIENCE)
    instance = status(world, "VirtualMachine", "limited")["instanceID"]
    before = process(instance)
    said = limits(world, instance)
    assert (said["vda"], said["sda"]) == (SAID, SAID)
    assert (next_limits(world, instance, "vda"), next_limits(world, instance, "sda")) == (SAID, SAID)
    for offering, expected in (("slower", {"iops_wr": 50}), ("small", {}), ("slow", SAID)):
        change(world, "limited", offering=offering)
        said = limits(world, instance)
        assert (said["vda"], said["sda"]) == (expected, expected)
        assert (next_limits(world, instance, "vda"), next_limits(world, instance, "sda")) == (expected, expected)
    assert process(instance) == before
    assert "pendingChanges" not in status(world, "VirtualMachine", "limited")
    remove(world, "limited")
    cloud.api.delete("Volume", "data")


def test_a_domain_that_virsh_renames_keeps_its_new_name_and_says_so(world: Site) -> None:
    """It is found by its UUID: the same VM is started under the new name."""
    cloud = world.cloud
    cloud.api.apply(make.vm("named", powerState="Off", stopMode="Hard"))
    cloud.await_current("VirtualMachine", ["named"], PATIENCE)
    seen = status(world, "VirtualMachine", "named")
    with domain(world, seen["instanceID"]) as found:
        old = found.name()
        assert seen["hypervisorName"] == old
        found.rename("of-the-administrators-choice")
    new = "of-the-administrators-choice"
    cloud.until(lambda: status(world, "VirtualMachine", "named").get("hypervisorName") == new, "the status has it", PATIENCE)
    [note] = cloud.until(lambda: events(world, "named", "Renamed"), "an Event tells of it", PATIENCE)
    assert f"from {old} to {new}" in note
    change(world, "named", powerState="On")
    with domain(world, seen["instanceID"]) as found:
        assert (found.name(), bool(found.isActive())) == (new, True)
    assert [name for name, _ in world.machines()].count(seen["instanceID"]) == 1
    remove(world, "named")
    assert seen["instanceID"] not in dict(world.machines()), "it goes by its UUID, whatever its name"


def adopting(mode: str, offering: str) -> make.Manifest:
    networks = [{"name": "front", "network": "front", "ip": ADDRESS}]
    adopt = {"instanceID": LEGACY, "mode": mode}
    return make.manifest("VirtualMachine", "legacy", zone="z", offering=offering, adopt=adopt, networks=networks)


@pytest.fixture
def disks(world: Site) -> Iterator[tuple[Path, Path]]:
    """Of a domain that an administrator defined and started: one in the pool's directory, one elsewhere."""
    found = local(world.hosts[0]) / "legacy.img", Path(world.hosts[0].local) / "legacy-data.img"
    for path in found:
        path.write_bytes(path.name.encode().ljust(8 << 20, b"\0"))
    vlan = status(world, "Network", "front")["segment"]["vlan"]
    text = DOMAIN.format(uuid=LEGACY, others=OTHERS, note=NOTE, disk=found[0], other=found[1], mac=MAC, vlan=vlan)
    with closing(libvirt.open(world.hosts[0].uri)) as admin:
        admin.defineXML(text).create()
    yield found
    with domain(world, LEGACY) as left:
        left.destroy()
        left.undefine()
    for path in found:
        path.unlink()


def test_a_domain_is_reported_on_adopted_where_it_runs_and_let_go(world: Site, disks: tuple[Path, Path]) -> None:
    cloud, files = world.cloud, [(path.stat().st_ino, digest(path)) for path in disks]
    untouched, before = documents(world, LEGACY), process(LEGACY)
    cloud.api.apply(adopting("Report", "large"))
    cloud.await_reason("VirtualMachine", "legacy", "AdoptionNotFound", "spec.adopters")
    cloud.api.patch("Cluster", "c", {"spec": {"adopters": {"from": "All"}}})
    cloud.await_reason("VirtualMachine", "legacy", "AdoptionReport", "spec.offering")
    told = status(world, "VirtualMachine", "legacy")["adoption"]
    assert (told["phase"], told["host"]) == ("Differs", "h1")
    effects = {each["field"]: each["effect"] for each in told["differences"]}
    assert "Ignored" in [effects[name] for name in effects if "vdb" in name], "the disk outside of pools"
    assert {"Restart", "PowerOff", "Live"} & {effects[name] for name in effects if "offering" in name}
    assert documents(world, LEGACY) == untouched, "a report changes nothing"

    cloud.api.apply(adopting("Adopt", "small"))
    cloud.await_current("VirtualMachine", ["legacy"], PATIENCE)
    [nic] = status(world, "VirtualMachine", "legacy")["nics"]
    assert (nic["mac"], nic["ip"]) == (MAC, ADDRESS)
    assert status(world, "VirtualMachine", "legacy")["adoption"]["phase"] == "Adopted"
    uid = cloud.api.get("VirtualMachine", "legacy")["metadata"]["uid"]  # type: ignore[index]
    assert all(uid in mark for mark in metadata(world, LEGACY, NAMESPACE))
    assert all(NOTE in note for note in metadata(world, LEGACY, OTHERS))
    assert process(LEGACY) == before

    remove(world, "legacy")
    assert metadata(world, LEGACY, NAMESPACE) == ["", ""]
    assert all(NOTE in note for note in metadata(world, LEGACY, OTHERS))
    assert (process(LEGACY), documents(world, LEGACY)[0]) == (before, untouched[0])
    assert [(path.stat().st_ino, digest(path)) for path in disks] == files


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_what_nobody_declares_is_told_and_left_alone(world: Site) -> None:
    """A domain with our mark by its Host, a root disk without a domain by its pool; not the domain's disk, nor others' files."""
    cloud, file = world.cloud, (lost(world).stat().st_ino, digest(lost(world)))
    cloud.api.apply(make.vm("left", deletionPolicy="Retain", stopMode="Hard"))
    cloud.await_current("VirtualMachine", ["left"], PATIENCE)
    instance = status(world, "VirtualMachine", "left")["instanceID"]
    remove(world, "left")
    before = documents(world, instance), process(instance)
    orphan = {"instanceID": instance, "owner": "shop/left"}
    cloud.until(lambda: status(world, "Host", "h1").get("orphans") == [orphan], "the Host tells of the domain", PATIENCE)
    assert any("shop/left" in note for note in events(world, "h1", "OrphansFound"))

    told = cloud.until(lambda: status(world, "StoragePool", "local-h1").get("orphans"), "the pool tells of the file", TWO_LOOKS)
    assert [(each["path"], each["kind"], each["identity"]) for each in told["files"]] == [(str(lost(world)), "Disk", LOST)]
    assert told["count"] == 1
    cloud.until(lambda: events(world, "local-h1", "OrphansFound"), "an Event tells of the file", PATIENCE)
    assert all(str(lost(world)) in note for note in events(world, "local-h1", "OrphansFound"))
    assert (lost(world).stat().st_ino, digest(lost(world))) == file
    assert (documents(world, instance), process(instance)) == before
    assert status(world, "Host", "h1")["orphans"] == [orphan]
