"""Limits of disks in libvirt's documents and parameters."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm.domain import limits
from drivers.kvm.domain.found import found
from drivers.kvm.domain.observe import Documents
from drivers.kvm.xmltext import parse
from drivers.types import DiskLimits, HostID
from tests.unit.kvm.vms import LIMITS

NONE = DiskLimits()
OTHERS = ["total_bytes_sec", "total_iops_sec", "read_bytes_sec_max", "write_iops_sec_max", "total_bytes_sec_max"]


def disk(**tuned: object) -> ET.Element:
    item = ET.Element("disk")
    tune = ET.SubElement(item, "iotune")
    for name, value in tuned.items():
        ET.SubElement(tune, name).text = str(value)
    return item


def built(wanted: DiskLimits) -> ET.Element:
    item = ET.Element("disk")
    limits.build(item, wanted)
    return item


@given(LIMITS)
def test_what_is_built_is_read_again(wanted: DiskLimits) -> None:
    assert limits.read(built(wanted)) == wanted
    assert limits.read(parse(ET.tostring(built(wanted), encoding="unicode"))) == wanted


@given(LIMITS)
def test_what_is_set_is_read_again_whatever_was_there(wanted: DiskLimits) -> None:
    """As libvirt does it: each parameter takes the place of what was there, and 0 of nothing."""
    before = dict.fromkeys((*OTHERS, "read_bytes_sec", "write_bytes_sec", "read_iops_sec", "write_iops_sec"), 77)
    after = before | limits.parameters(wanted)
    assert limits.read(disk(**{name: value for name, value in after.items() if value})) == wanted


def test_a_disk_without_limits_has_no_element() -> None:
    assert built(NONE).find("iotune") is None
    assert limits.read(ET.Element("disk")) == NONE


def test_each_limit_has_its_own_name() -> None:
    item = built(DiskLimits(1, 2, 3, 4))
    texts = {child.tag: child.text for child in item.iterfind("iotune/*")}
    assert texts == {"read_bytes_sec": "1", "write_bytes_sec": "2", "read_iops_sec": "3", "write_iops_sec": "4"}


@pytest.mark.parametrize("name", OTHERS)
def test_limits_that_we_never_set_are_of_another_kind(name: str) -> None:
    assert limits.read(disk(**{name: 5})) is None
    assert limits.read(disk(**{name: 5, "read_bytes_sec": 5})) is None
    assert limits.read(disk(**{name: 0})) == NONE


@pytest.mark.parametrize("name", ["size_iops_sec", "group_name", "read_bytes_sec_max_length"])
def test_what_limits_nothing_by_itself_does_not_count(name: str) -> None:
    assert limits.read(disk(**{name: 1})) == NONE


@pytest.mark.parametrize("text", ["", "many", "-1", "1e3", "²"])
def test_text_that_is_no_number_limits_nothing(text: str) -> None:
    assert limits.read(disk(read_bytes_sec=text)) == NONE


@given(LIMITS, LIMITS)
def test_both_documents_must_agree(now: DiskLimits, later: DiskLimits) -> None:
    assert limits.agreed(built(now), built(now)) == now
    assert limits.agreed(built(now), None) == now, "a disk that is not there at the next start has only those of now"
    assert limits.agreed(built(now), built(later)) == (now if now == later else None)
    assert limits.agreed(disk(total_bytes_sec=1), built(later)) is None


@pytest.mark.parametrize("field", ["read_bytes", "write_bytes", "read_iops", "write_iops"])
@given(value=st.integers(max_value=-1) | st.integers(min_value=limits.MOST + 1))
def test_impossible_limits_are_refused(field: str, value: int) -> None:
    with pytest.raises(InvalidSpec):
        limits.check(DiskLimits(**{field: value}))
    with pytest.raises(InvalidSpec):
        limits.build(ET.Element("disk"), DiskLimits(**{field: value}))


def test_disks_that_others_made_are_found_with_theirs() -> None:
    tuned = "<iotune><write_iops_sec>100</write_iops_sec></iotune>"
    text = """<domain><uuid>6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11</uuid><name>old</name><devices>
        <disk><source file='/a'/><target dev='vda'/>{}</disk>
        <disk><source file='/b'/><target dev='vdb'/></disk></devices></domain>"""
    now, later = parse(text.format(tuned)), parse(text.format(""))
    slow = DiskLimits(write_iops=100)
    for inactive, live, expected in ((now, now, slow), (now, None, slow), (later, now, None), (later, later, NONE)):
        seen = found(Documents(inactive, live, 1, 1), HostID("h1"), {}, 0)
        assert [each.limits for each in seen.disks] == [expected, NONE]
