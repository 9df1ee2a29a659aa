"""A template's header is checked against files that QEMU itself makes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm.store import qcow2

SIZE = 1 << 30


def header(*, magic: bytes = qcow2.MAGIC, version: int = 3, backing: int = 0, size: int = SIZE, incompatible: int = 0) -> bytes:
    """The fields in the order of QEMU's qcow2.txt."""
    first = struct.pack(">4sIQIIQIIQQIIQ", magic, version, backing, 0, 16, size, 0, 1, 196608, 65536, 1, 0, 0)
    return first + struct.pack(">QQQII", incompatible, 0, 0, 4, 104)


def test_the_header_is_as_long_as_it_is_said_to_be() -> None:
    assert len(header()) == qcow2.HEADER


@pytest.mark.parametrize(
    "accepted", [header(), header(version=2), header(version=2)[:72], header(incompatible=1), header(incompatible=1 << 3)]
)
def test_files_that_stand_alone(accepted: bytes) -> None:
    qcow2.check(accepted, SIZE)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (b"", "not a qcow2"),
        (header()[:20], "not a qcow2"),
        (header()[:80], "cut short"),
        (header(magic=b"VMDK"), "not a qcow2"),
        (b"\x7fELF" + bytes(200), "not a qcow2"),
        (header(version=1), "version 1"),
        (header(version=4), "version 4"),
        (header(backing=112), "stand alone"),
        (header(version=2, backing=112), "stand alone"),
        (header(incompatible=1 << 2), "stand alone"),
        (header(incompatible=0b111), "stand alone"),
        (header(size=SIZE + 512), "bytes"),
    ],
)
def test_files_that_do_not(refused: bytes, reason: str) -> None:
    with pytest.raises(InvalidSpec, match=reason):
        qcow2.check(refused, SIZE)


@given(st.binary(max_size=qcow2.HEADER))
def test_any_bytes_are_accepted_or_refused(content: bytes) -> None:
    try:
        qcow2.check(content, SIZE)
    except InvalidSpec:
        return
    assert content.startswith(qcow2.MAGIC)
