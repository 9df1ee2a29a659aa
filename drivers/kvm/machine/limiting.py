"""Limits of the disks and volumes that a VM has."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from drivers.errors import NotFound
from drivers.kvm.domain import limits, observe, volumes
from drivers.kvm.subject import Subject
from drivers.types import DiskLimits


def check(vm: Subject, name: str, wanted: DiskLimits) -> None:
    """Raises NotFound for a disk that is not ours, InvalidSpec for limits that no disk can have."""
    limits.check(wanted)
    if next(_disks(vm, name), None) is None:
        raise NotFound(f"the VM has no disk {name} of ours")


def apply(vm: Subject, name: str, wanted: DiskLimits) -> None:
    """What runs with it and the next start, each where it has others."""
    for disk, flag in _disks(vm, name):
        if limits.read(disk) != wanted:
            vm.domain.setBlockIoTune(observe.device(disk), limits.parameters(wanted), flag)


def _disks(vm: Subject, name: str) -> Iterator[tuple[ET.Element, int]]:
    """The disk or volume in each document that has it, with its flag."""
    for document, flag in vm.documents:
        for item in document.iterfind("devices/disk"):
            if _is_disk(vm, item, name) or _is_volume(vm, item, name):
                yield item, flag


def _is_disk(vm: Subject, item: ET.Element, name: str) -> bool:
    marked = (disk for disk in vm.mark.disks if disk.name == name and disk.pool)
    return any(observe.device(item) == disk.target and observe.is_own(item, disk, vm.instance) for disk in marked)


def _is_volume(vm: Subject, item: ET.Element, name: str) -> bool:
    return any(volume.name == name and volume.volume in volumes.identities(item) for volume in vm.mark.volumes)
