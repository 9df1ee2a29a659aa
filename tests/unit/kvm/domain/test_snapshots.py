"""Snapshots in libvirt's documents, and the record of a restore in a domain's."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kvm import mark
from drivers.kvm.domain import consoles, pending, snapshots
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.domain.pending import Pending
from drivers.kvm.xmltext import parse, render
from drivers.types import DesiredSnapshot, DesiredVM, ObservedSnapshot, Owner, SnapshotID
from tests.unit.kvm.fakes import HOST
from tests.unit.kvm.vms import VMS, XML_TEXT

FIRST = SnapshotID("11111111-1111-4111-8111-111111111111")
SECOND = SnapshotID("22222222-2222-4222-8222-222222222222")
THIRD = SnapshotID("33333333-3333-4333-8333-333333333333")
WANTED = DesiredSnapshot(FIRST, "before", Owner("uid", "shop", "before"))
DOMAIN = """
<domain><uuid>6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11</uuid><devices>
  <disk><driver type='qcow2'/><source file='/srv/a.qcow2'/><target dev='vda'/></disk>
  <disk><driver type='raw'/><source file='/srv/seed.iso'/><target dev='vdzz'/><readonly/></disk>
  <disk device='cdrom'><driver type='raw'/><target dev='sdz'/></disk>
  <disk><driver type='qcow2'/><source file='/srv/b.qcow2'/><target dev='sda'/></disk>
</devices></domain>"""


def document(name: str, parent: str = "", memory: str = "no", created: str = "1700000000") -> str:
    below = f"<parent><name>{parent}</name></parent>" if parent else ""
    about = f"<creationTime>{created}</creationTime><memory snapshot='{memory}'/>"
    return f"<domainsnapshot><name>{name}</name>{below}{about}</domainsnapshot>"


class FakeSnapshot:
    def __init__(self, text: str, *, current: bool = False) -> None:
        self._text = text
        self._current = current

    def getXMLDesc(self, _flags: int) -> str:
        return self._text

    def isCurrent(self, _flags: int) -> bool:
        return self._current


class FakeDomain:
    def __init__(self, *found: FakeSnapshot) -> None:
        self._found = found

    def snapshotNum(self, _flags: int) -> int:
        return len(self._found)

    def listAllSnapshots(self, _flags: int) -> list[FakeSnapshot]:
        assert self._found, "a VM without snapshots costs one call"
        return list(self._found)


def test_a_tree_is_read_in_one_order() -> None:
    found = [
        FakeSnapshot(document(SECOND, FIRST, "internal", "1700000001"), current=True),
        FakeSnapshot(document(FIRST, "made by hand")),
        FakeSnapshot(document("made by hand", FIRST)),
    ]
    expected = (
        ObservedSnapshot(FIRST, None, memory=False, created=1700000000.0),
        ObservedSnapshot(SECOND, FIRST, memory=True, created=1700000001.0, current=True),
    )
    assert snapshots.observe(FakeDomain(*found)) == snapshots.observe(FakeDomain(*found[::-1])) == expected
    assert snapshots.observe(FakeDomain()) == ()


@pytest.mark.parametrize("created", ["", "soon", "-1", "1e9"])
def test_a_time_that_is_none_is_read_as_long_ago(created: str) -> None:
    assert snapshots.read(parse(document(FIRST, created=created))).created == 0.0


@pytest.mark.parametrize(("memory", "expected"), [("internal", True), ("external", True), ("no", False)])
def test_memory(memory: str, expected: bool) -> None:
    assert snapshots.has_memory(parse(document(FIRST, memory=memory))) is expected
    assert not snapshots.has_memory(ET.Element("domainsnapshot"))


def test_all_disks_that_can_be_written_to_are_taken_and_no_others() -> None:
    made = snapshots.build(WANTED, parse(DOMAIN))
    taken = {item.get("name"): item.get("snapshot") for item in made.iterfind("disks/disk")}
    assert taken == {"vda": "internal", "vdzz": "no", "sdz": "no", "sda": "internal"}
    assert made.find("memory") is None, "whether there is one follows from whether the domain runs"


@pytest.mark.parametrize(
    ("disk", "fits"),
    [
        ("<disk><driver type='qcow2'/><source file='/a'/></disk>", True),
        ("<disk><driver type='raw'/><source file='/a'/></disk>", False),
        ("<disk><source dev='/dev/sdb'/></disk>", False),
        ("<disk><driver type='raw'/><source file='/a'/><readonly/></disk>", True),
        ("<disk><driver type='raw'/></disk>", True),
    ],
)
def test_a_disk_that_can_be_written_to_must_be_able_to_keep_a_snapshot(disk: str, fits: bool) -> None:
    item = ET.fromstring(disk)
    ET.SubElement(item, "target", {"dev": "sdb"})
    domain = ET.Element("domain")
    ET.SubElement(domain, "devices").append(item)
    assert snapshots.unfit(domain) == ([] if fits else ["sdb"])


def test_what_qemu_took_is_told_to_libvirt_as_it_is() -> None:
    made = parse(render(snapshots.taken(WANTED, parse(DOMAIN), 1700000000, SECOND)))
    assert snapshots.read(made) == ObservedSnapshot(FIRST, SECOND, memory=False, created=1700000000.0)
    assert made.findtext("state") == "shutoff"
    assert made.findtext("domain/uuid") == "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"
    assert snapshots.taken(WANTED, parse(DOMAIN), 0, "").find("parent") is None


@given(VMS, XML_TEXT, XML_TEXT)
def test_a_definition_is_carried_as_it_is_and_only_once(vm: DesiredVM, token: str, other: str) -> None:
    definition = render(build(vm, HOST))
    domain = build(vm, HOST)
    pending.write(domain, Pending(other, "<older/>"))
    pending.write(domain, Pending(token, definition))
    read = parse(render(domain))
    assert pending.read(read) == Pending(token, definition)
    assert mark.read(read) == mark.of(vm)
    assert len(read.findall("metadata/*")) == 2
    assert pending.read(parse(definition)) is None


@given(VMS, st.uuids().map(str))
def test_a_restore_counts_when_nothing_is_left_to_do(vm: DesiredVM, token: str) -> None:
    """Its token comes with the disks; what must still return is a part of it."""
    domain = build(vm, HOST)
    mark.write(domain, replace(mark.of(vm), restored=(token, "earlier")))
    assert restored(domain) == (token, "earlier")
    pending.write(domain, Pending(token, "<domain/>"))
    assert restored(domain) == ("earlier",)


def restored(domain: ET.Element) -> tuple[str, ...]:
    seen: Any = observe(Documents(parse(render(domain)), None, libvirt.VIR_DOMAIN_SHUTOFF, 0), HOST.host)
    return tuple(seen.restored)


def test_snapshots_are_told_with_the_vm() -> None:
    domain = ET.Element("domain")
    ET.SubElement(domain, "uuid").text = "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"
    mark.write(domain, mark.Mark(Owner("uid", "shop", "web"), 1 << 20, ""))
    found = (ObservedSnapshot(THIRD, None, memory=True, created=1.0),)
    seen = observe(Documents(domain, None, libvirt.VIR_DOMAIN_SHUTOFF, 0, found), HOST.host)
    assert seen is not None
    assert seen.snapshots == found


@given(VMS, XML_TEXT)
def test_what_was_carried_can_be_cleared(vm: DesiredVM, token: str) -> None:
    domain = build(vm, HOST)
    before = render(domain)
    assert not pending.clear(domain)
    pending.write(domain, Pending(token, before))
    assert pending.clear(domain)
    assert render(domain) == before


CONSOLES = """
<domain><devices><graphics type='vnc' port='5900' passwd='s3cret'><listen type='address'/></graphics>
<disk/><graphics type='spice' passwd='other'/></devices></domain>"""


def test_a_document_without_passwords_is_otherwise_the_same() -> None:
    domain = parse(CONSOLES)
    consoles.conceal(domain)
    expected = CONSOLES.replace(" passwd='s3cret'", "").replace(" passwd='other'", "")
    assert render(domain) == render(parse(expected))


@pytest.mark.parametrize(
    "target",
    [
        "<domain/>",
        "<domain><devices/></domain>",
        "<domain><devices><graphics type='vnc'/></devices></domain>",
        "<domain><devices><graphics type='vnc' passwd='old'/><graphics/><graphics/><disk/></devices></domain>",
    ],
)
def test_consoles_come_with_their_passwords_in_place_of_those_there_are(target: str) -> None:
    source, domain = parse(CONSOLES), parse(target)
    disks = len(domain.findall("devices/disk"))
    for _ in range(2):
        consoles.give(source, domain)
    given = [(item.get("type"), item.get("passwd"), len(item)) for item in domain.iterfind("devices/graphics")]
    assert given == [("vnc", "s3cret", 1), ("spice", "other", 0)]
    assert len(domain.findall("devices/disk")) == disks
    assert render(source) == render(parse(CONSOLES))
