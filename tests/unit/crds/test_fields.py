"""Sizes, durations, times and the other field types, as Python reads and writes them."""

import datetime as dt
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from crds.fields import CIDR, MAC, VLAN, Duration, IPv4, Label, Name, Quantity, Tag, Timestamp

SIZES = [
    ("0", 0),
    ("1", 1),
    ("1k", 1000),
    ("1Ki", 1024),
    ("1M", 10**6),
    ("1Mi", 2**20),
    ("1.5Gi", 3 * 2**29),
    ("1.5", 2),
    ("0.1Ki", 103),
    ("0.000000001", 1),
    ("2T", 2 * 10**12),
    ("1P", 10**15),
    ("1E", 10**18),
    ("1Ei", 2**60),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1.25e2", 125),
    ("007", 7),
]
NO_SIZES = [
    "",
    " 1",
    "1 ",
    "1 Gi",
    "-1",
    "+1",
    "1KB",
    "1kb",
    "1ki",
    "1K",
    "1Gib",
    "1m",
    "1u",
    "1n",
    "1e",
    "1e-3",
    ".5",
    "1.",
    "1.2.3",
    "1,5",
    "0x10",
    "Gi",
    "1_000",
    "١",
    "NaN",
    "1\n",
    "9" * 20,
]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_a_size_in_bytes(text: str, size: int) -> None:
    assert Quantity(text).bytes == size
    assert TypeAdapter(Quantity).validate_python(text).bytes == size


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        _ = Quantity(text).bytes
    with pytest.raises(ValidationError):
        TypeAdapter(Quantity).validate_python(text)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_parser_and_pattern_agree_on_any_text(text: str) -> None:
    """What the schema lets in converts; what converts would have been let in."""
    let_in = re.search(Quantity.PATTERN.replace("$", r"\Z"), text, re.ASCII) is not None
    try:
        converts = Quantity(text).bytes >= 0
    except ValueError:
        converts = False
    assert converts == let_in


@pytest.mark.parametrize("value", [True, 1.5, -1, None, [], b"1Gi"])
def test_only_text_and_whole_numbers_are_sizes(value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Quantity).validate_python(value)


@settings(deadline=None)
@given(st.integers(0, 2**63))
def test_a_size_that_we_write_reads_back(size: int) -> None:
    written = Quantity.of(size)
    assert written.bytes == size
    assert TypeAdapter(Quantity).validate_python(size).bytes == size
    assert re.fullmatch(r"[0-9]+([KMGTPE]i)?", written)


@settings(deadline=None)
@given(st.integers(1, 2**63))
def test_a_size_that_we_write_is_as_short_as_can_be(size: int) -> None:
    """The number before the suffix is not divisible by 1024 again, as Kubernetes' canonical form."""
    written = Quantity.of(size)
    number = int(re.sub(r"\D", "", written))
    assert number % 1024 or written.endswith("Ei")


def test_nothing_is_written_without_a_unit() -> None:
    assert Quantity.of(0) == "0"


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative: -1"):
        Quantity.of(-1)


def test_text_is_kept_as_written() -> None:
    """So that reading and writing an object never changes it."""
    adapter = TypeAdapter(Quantity)
    assert json.loads(adapter.dump_json(adapter.validate_python("1024Mi"))) == "1024Mi"
    assert adapter.validate_json("1073741824") == "1073741824"
    assert Quantity("1Gi") != Quantity("1024Mi")


DURATIONS = [
    ("0s", 0.0),
    ("90s", 90.0),
    ("1m30s", 90.0),
    ("1h", 3600.0),
    ("500ms", 0.5),
    ("1h1m1s1ms", 3661.001),
    ("1s1h", 3601.0),
    ("1m1m", 120.0),
    ("99999h", 359996400.0),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration(text: str, seconds: float) -> None:
    assert TypeAdapter(Duration).validate_python(text).timedelta == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "s", "1.5s", "-1s", "1d", "1us", "1 s", "1S", "100000s", "1h1m1s1ms1s", "1s\n", "١s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        _ = Duration(text).timedelta
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(text)


parts = st.lists(st.tuples(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4)
UNIT = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@settings(deadline=None)
@given(parts)
def test_a_duration_is_the_sum_of_its_parts(terms: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in terms)
    milliseconds = sum(number * UNIT[unit] for number, unit in terms)
    assert Duration(text).timedelta == dt.timedelta(milliseconds=milliseconds)


@settings(deadline=None)
@given(st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.timezones()))
def test_a_time_is_kept_to_the_second_in_utc(when: dt.datetime) -> None:
    stamp = Timestamp.at(when)
    assert stamp.datetime == when.astimezone(dt.UTC).replace(microsecond=0)
    assert re.search(Timestamp.PATTERN, stamp)
    assert TypeAdapter(Timestamp).validate_python(str(stamp)) == stamp


instants = st.datetimes(dt.datetime(1970, 1, 1), timezones=st.just(dt.UTC))


@settings(deadline=None)
@given(instants, instants)
def test_times_of_one_length_order_as_text(first: dt.datetime, second: dt.datetime) -> None:
    assume(first.replace(microsecond=0) != second.replace(microsecond=0))
    assert (Timestamp.at(first) < Timestamp.at(second)) == (Timestamp.at(first).datetime < Timestamp.at(second).datetime)


def test_fractions_of_a_second_are_read() -> None:
    assert Timestamp("2026-11-20T10:00:00.25Z").datetime.microsecond == 250000
    assert Timestamp("2026-11-20T10:00:00.123456789Z").datetime.microsecond == 123456


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Timestamp.at(dt.datetime(2026, 11, 20))


NO_TIMES = ["", "now", "2026-11-20", "2026-11-20T10:00:00", "2026-11-20T10:00:00+00:00", "2026-11-20T25:00:00Z"]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Timestamp).validate_python(text)


def test_a_day_that_is_not_in_the_calendar() -> None:
    """The pattern lets it in, the API server doesn't; should one come anyway, reading it says so."""
    with pytest.raises(ValueError, match="day is out of range"):
        _ = Timestamp("2026-02-30T10:00:00Z").datetime


PATTERNS: list[tuple[Any, list[Any], list[Any]]] = [
    (Name, ["a", "a.b-c.1", "n" * 253], ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "n" * 254, "a\n", "ä"]),
    (Label, ["a", "a-1", "1a", "l" * 63], ["", "a.b", "A", "-a", "a-", "l" * 64]),
    (Tag, ["a", "A.b_c-1", "t" * 63], ["", "-a", "a.", "a b", "t" * 64, "a/b"]),
    (
        MAC,
        ["02:00:00:00:00:01", "52:54:00:ab:cd:ef"],
        ["01:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "52:54:00:AB:CD:EF", "5254"],
    ),
    (IPv4, ["0.0.0.0", "10.1.0.20", "255.255.255.255"], ["", "10.1.0", "256.0.0.1", "01.1.1.1", "::1", "10.1.0.1/8", "10.1.0.1\n"]),
    (CIDR, ["0.0.0.0/0", "10.1.0.0/24", "10.1.0.4/30"], ["10.1.0.0", "10.1.0.0/33", "10.1.0.0/024", "::/0", "10.1.0.0/-1"]),
    (VLAN, [1, 4094], [0, 4095, -1, None]),
]


@pytest.mark.parametrize(("annotation", "good", "bad"), PATTERNS, ids=["Name", "Label", "Tag", "MAC", "IPv4", "CIDR", "VLAN"])
def test_bounds(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    adapter = TypeAdapter(annotation)
    assert [adapter.validate_python(value) for value in good] == good
    for value in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_one(address: Any) -> None:
    assert TypeAdapter(IPv4).validate_python(str(address)) == str(address)
