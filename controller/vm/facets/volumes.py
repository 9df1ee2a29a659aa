"""Volumes: disks with a life of their own."""

from __future__ import annotations

from drivers.types import AttachVolume, Change, DesiredVM, DetachVolume, ObservedVM, SetDiskLimits


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Take off what is no longer declared, or under another name; put on what is declared and not there.

    Give those that stay and have other limits the declared.
    """
    declared = {(each.name, each.volume) for each in want.volumes}
    present = {(each.name, each.volume): each.limits for each in have.volumes}
    wrong = [DetachVolume(each.volume) for each in have.volumes if (each.name, each.volume) not in declared]
    missing = [AttachVolume(each) for each in want.volumes if (each.name, each.volume) not in present]
    staying = [each for each in want.volumes if (each.name, each.volume) in present]
    limited = [SetDiskLimits(each.name, each.limits) for each in staying if present[each.name, each.volume] != each.limits]
    return [*wrong, *missing, *limited]
