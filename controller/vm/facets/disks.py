"""Disks made for the VM."""

from __future__ import annotations

from drivers.types import Change, DesiredVM, GrowDisk, ObservedVM


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Grow what is too small; a larger disk stays, since shrinking would lose data."""
    sizes = {disk.name: disk.size for disk in have.disks}
    return [GrowDisk(disk.name, disk.size) for disk in want.disks if disk.name in sizes and sizes[disk.name] < disk.size]
