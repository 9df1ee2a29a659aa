"""Limits of disks in libvirt's terms: <iotune> of a disk, and the parameters of virDomainSetBlockIoTune.

https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from drivers.errors import InvalidSpec
from drivers.kvm.xmltext import add
from drivers.types import DiskLimits

MOST = 10**15
"""The largest limit that libvirt takes."""

_OTHERS = ("total_bytes_sec", "total_iops_sec")
_BOUNDED = ("read_bytes_sec", "write_bytes_sec", "read_iops_sec", "write_iops_sec")
_BURSTS = tuple(f"{name}_max" for name in (*_OTHERS, *_BOUNDED))
_LENGTHS = tuple(f"{name}_length" for name in _BURSTS)


def check(limits: DiskLimits) -> None:
    """Raises InvalidSpec for limits that no disk can have."""
    if not all(0 <= value <= MOST for value in _values(limits).values()):
        raise InvalidSpec(f"a limit of a disk is between 0, for none, and {MOST}: {limits}")


def build(disk: ET.Element, limits: DiskLimits) -> None:
    """Give a disk to be made its limits. Raises InvalidSpec."""
    check(limits)
    bounded = {name: value for name, value in _values(limits).items() if value}
    tune = add(disk, "iotune") if bounded else None
    for name, value in bounded.items():
        if tune is not None:
            add(tune, name, text=str(value))


def parameters(limits: DiskLimits) -> dict[str, int]:
    """All that sets these limits and takes away what others may have set beside them."""
    return dict.fromkeys((*_OTHERS, *_BURSTS, *_LENGTHS), 0) | _values(limits)


def read(disk: ET.Element) -> DiskLimits | None:
    """The limits of a disk; None if it has such as we never set: on reading and writing together, or with bursts."""
    if any(_number(disk, name) for name in (*_OTHERS, *_BURSTS)):
        return None
    return DiskLimits(*(_number(disk, name) for name in _BOUNDED))


def agreed(disk: ET.Element, next_start: ET.Element | None) -> DiskLimits | None:
    """The limits of a disk that has the same at the next start, if it is there then; else None."""
    limits = read(disk)
    return limits if next_start is None or read(next_start) == limits else None


def _values(limits: DiskLimits) -> dict[str, int]:
    return dict(zip(_BOUNDED, (limits.read_bytes, limits.write_bytes, limits.read_iops, limits.write_iops), strict=True))


def _number(disk: ET.Element, name: str) -> int:
    text = disk.findtext(f"iotune/{name}", "0").strip()
    return int(text) if text.isascii() and text.isdecimal() else 0
