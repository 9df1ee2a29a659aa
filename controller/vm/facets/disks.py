"""Disks made for the VM."""

from __future__ import annotations

from drivers.types import Change, DesiredVM, GrowDisk, ObservedVM, SetDiskLimits


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Grow what is too small; a larger disk stays, since shrinking would lose data. Give what has other limits the declared."""
    present = {disk.name: disk for disk in have.disks}
    pairs = [(disk, present[disk.name]) for disk in want.disks if disk.name in present]
    growing = [GrowDisk(disk.name, disk.size) for disk, seen in pairs if seen.size < disk.size]
    return [*growing, *(SetDiskLimits(disk.name, disk.limits) for disk, seen in pairs if seen.limits != disk.limits)]
