"""Volumes in a domain's document: places, marks, and what is ours."""

import uuid
import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm import mark
from drivers.kvm.domain import volumes
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.mark import Mark, MarkedVolume, target
from drivers.kvm.xmltext import parse, render
from drivers.types import (
    AttachedVolume,
    DesiredVM,
    DiskLimits,
    InstanceID,
    ISCSITarget,
    ObservedVM,
    Owner,
    PoolSpec,
    VolumeAttachment,
    VolumeID,
)
from tests.unit.kvm.fakes import HOST
from tests.unit.kvm.vms import LABELS, LIMITS, VMS

OFF = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
POOL = PoolSpec("local", "/srv/local")
NAMES = [f"sd{letter}" for letter in "abcdefghij"]


def path(volume: VolumeID) -> str:
    return f"/srv/local/vireo-vol-{volume}.0.qcow2"


def marked(volume: VolumeID, name: str = "data", target: str = "sda", size: int = 1 << 20) -> MarkedVolume:
    return MarkedVolume(name, volume, POOL.name, target, size)


def observed(document: ET.Element) -> ObservedVM:
    found = observe(Documents(document, None, *OFF), HOST.host)
    assert found is not None
    return found


NAMED = st.dictionaries(LABELS, st.uuids().map(lambda value: VolumeID(str(value))), max_size=8).filter(
    lambda named: len(set(named.values())) == len(named)
)


@given(VMS, NAMED, st.integers(1 << 20, 1 << 45), LIMITS)
def test_volumes_are_seen_as_they_were_attached(vm: DesiredVM, named: dict[str, VolumeID], size: int, limits: DiskLimits) -> None:
    named = {name: volume for name, volume in named.items() if name not in {disk.name for disk in vm.disks}}
    attached = [marked(volume, name, NAMES[at], size) for at, (name, volume) in enumerate(named.items())]
    wanted = replace(vm, volumes=tuple(VolumeAttachment(each.name, each.volume, POOL, limits) for each in attached))
    document = parse(render(build(wanted, HOST, "", [(each, path(each.volume)) for each in attached])))
    seen = observed(document)
    assert seen.volumes == tuple(AttachedVolume(each.name, each.volume, POOL.name, size, limits) for each in attached)
    assert len(seen.disks) == len(vm.disks)
    assert not set(seen.foreign_devices) & set(NAMES)
    bare = ET.Element("domain")
    mark.write(bare, mark.of(wanted, tuple(attached)))
    mark.write(bare, mark.of(wanted, tuple(attached)))
    assert mark.read(parse(render(bare))) == mark.of(wanted, tuple(attached))
    assert len(bare.findall("metadata/*")) == 1


def domain(*disks: ET.Element) -> ET.Element:
    root = ET.Element("domain")
    ET.SubElement(root, "devices").extend(disks)
    return root


ID = VolumeID(str(uuid.UUID(int=1)))
WANTED = VolumeAttachment("data", ID, POOL)
VM_ID = InstanceID(str(uuid.UUID(int=9)))


def test_a_guest_finds_it_by_its_serial_number() -> None:
    item = volumes.build(marked(ID, target="sdc"), path(ID), WANTED)
    assert item.findtext("serial") == ID
    assert [item.find("target").attrib, item.find("address").get("unit")] == [{"dev": "sdc", "bus": "scsi"}, "2"]  # type: ignore[union-attr]


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_a_free_place_is_free_everywhere(first: set[str], second: set[str], taken: set[str]) -> None:
    documents = [
        domain(*(volumes.build(marked(ID, target=name), path(ID), WANTED) for name in sorted(names))) for names in (first, second)
    ]
    assert volumes.free_target(documents, taken) not in first | second | taken


def test_somebody_else_s_disk_on_our_controller_keeps_its_place() -> None:
    """By its address, whatever its name."""
    theirs = ET.fromstring("<disk><target dev='sdz' bus='scsi'/><address type='drive' controller='0' unit='0'/></disk>")
    other = ET.fromstring("<disk><target dev='sdy' bus='scsi'/><address type='drive' controller='1' unit='1'/></disk>")
    assert volumes.free_target([domain(theirs, other)]) == "sdb"


def test_there_is_an_end_to_places() -> None:
    taken = [target(index, volumes.BUS) for index in range(volumes.LIMIT)]
    assert volumes.free_target([], taken[:-1]) == taken[-1]
    with pytest.raises(InvalidSpec, match="at most"):
        volumes.free_target([], taken)


FOREIGN = {
    "another volume": path(VolumeID(str(uuid.UUID(int=2)))),
    "no volume": "/srv/local/mine.qcow2",
    "a snapshot": f"/srv/local/vireo-snap-{ID}.0.qcow2",
    "a marker's name inside a directory": f"/srv/vireo-vol-{ID}.0.qcow2/disk.img",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_disk_that_only_looks_like_it_is_not_ours(what: str) -> None:
    document = domain(volumes.build(marked(ID), FOREIGN[what], WANTED))
    ET.SubElement(document, "uuid").text = str(uuid.UUID(int=9))
    owner = Owner("uid", "shop", "web")
    mark.write(document, Mark(owner, 1 << 20, "", volumes=(marked(ID),)))
    seen = observed(document)
    assert (seen.volumes, seen.foreign_devices) == ((), ("sda",))


def test_a_marked_volume_that_is_gone_is_not_seen() -> None:
    document = domain()
    ET.SubElement(document, "uuid").text = str(uuid.UUID(int=9))
    mark.write(document, Mark(Owner("uid", "shop", "web"), 1 << 20, "", volumes=(marked(ID),)))
    assert observed(document).volumes == ()


@pytest.mark.parametrize("content", [path(ID), path(ID).replace(".0.", ".17.")])
def test_each_content_of_a_volume_is_the_volume(content: str) -> None:
    document = domain(volumes.build(marked(ID), content, WANTED))
    assert volumes.find(document, ID) is document.find("devices/disk")
    assert volumes.find(document, str(uuid.UUID(int=2))) is None


@pytest.mark.parametrize("name", ["../data", "", "Data", "a" * 64])
def test_names_that_are_no_labels_are_refused(name: str) -> None:
    vm = DesiredVM(VM_ID, "web", Owner("u", "n", "web"), 1, 1 << 20, ())
    with pytest.raises(InvalidSpec):
        build(replace(vm, volumes=(VolumeAttachment(name, ID, POOL),)), HOST)


def test_every_vm_has_the_controller() -> None:
    vm = DesiredVM(VM_ID, "web", Owner("u", "n", "web"), 1, 1 << 20, ())
    assert volumes.has_controller(build(vm, HOST))
    assert not volumes.has_controller(domain())


TARGET = ISCSITarget("san.example.org", "iqn.2026-01.org.example:data", 3261)
SAN = PoolSpec("san", "", shared=True, iscsi=TARGET)
LUN = volumes.LUN(TARGET, 7, "iqn.2026-01.dev.vireo:host")
HAS = VolumeAttachment("data", ID, SAN, DiskLimits(read_iops=5), lun=7)


def test_a_lun_is_a_disk_of_qemu_s_own() -> None:
    """https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms"""
    item = volumes.build(marked(ID, target="sdc"), LUN, HAS)
    assert item.attrib == {"type": "network", "device": "disk"}
    assert item.find("driver").attrib == {"name": "qemu", "type": "raw", "discard": "unmap"}  # type: ignore[union-attr]
    assert item.find("source").attrib == {"protocol": "iscsi", "name": "iqn.2026-01.org.example:data/7"}  # type: ignore[union-attr]
    assert [host.attrib for host in item.iterfind("source/host")] == [{"name": "san.example.org", "port": "3261"}]
    assert [name.attrib for name in item.iterfind("source/initiator/iqn")] == [{"name": "iqn.2026-01.dev.vireo:host"}]
    assert (item.findtext("serial"), item.findtext("iotune/read_iops_sec")) == (ID, "5")
    assert item.find("target").attrib == {"dev": "sdc", "bus": "scsi"}  # type: ignore[union-attr]


def test_a_lun_is_seen_as_it_was_attached() -> None:
    vm = DesiredVM(VM_ID, "web", Owner("u", "n", "web"), 1, 1 << 20, (), volumes=(HAS,))
    document = parse(render(build(vm, HOST, "", [(MarkedVolume("data", ID, SAN.name, "sda", 5), LUN)])))
    seen = observed(document)
    assert seen.volumes == (AttachedVolume("data", ID, "san", 5, HAS.limits),)
    assert seen.foreign_devices == ()


@pytest.mark.parametrize("serial", ["", "somebody's", str(uuid.UUID(int=2))])
def test_a_lun_of_somebody_else_is_none_of_ours(serial: str) -> None:
    item = volumes.build(marked(ID), LUN, HAS)
    item.find("serial").text = serial  # type: ignore[union-attr]
    document = domain(item)
    ET.SubElement(document, "uuid").text = str(uuid.UUID(int=9))
    mark.write(document, Mark(Owner("uid", "shop", "web"), 1 << 20, "", volumes=(marked(ID),)))
    seen = observed(document)
    assert (seen.volumes, seen.foreign_devices) == ((), ("sda",))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("<source protocol='iscsi' name='iqn.x:y/3'><host name='elsewhere'/></source>", "iqn.x:y/3"),
        ("<source protocol='iscsi' name='iqn.x:y'/>", "iqn.x:y/0"),
        ("<source protocol='iscsi'/>", ""),
        ("<source protocol='rbd' name='pool/x'/>", ""),
        ("<source file='/srv/iqn.x:y/3'/>", ""),
        ("", ""),
    ],
)
def test_which_lun_a_disk_is_whoever_made_it(source: str, name: str) -> None:
    assert volumes.lun_of(ET.fromstring(f"<disk>{source}</disk>")) == name


def test_a_file_with_a_serial_number_of_ours_is_no_lun() -> None:
    disk = ET.fromstring(f"<disk><source file='/srv/x.img'/><serial>{ID}</serial></disk>")
    assert list(volumes.identities(disk)) == []
