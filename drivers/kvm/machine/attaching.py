"""Volumes come to a VM and go."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import libvirt

from drivers.errors import Busy, Conflict
from drivers.kvm import domains, names
from drivers.kvm.domain import limits, observe, volumes
from drivers.kvm.mark import MarkedVolume
from drivers.kvm.names import Kind
from drivers.kvm.store import holdings, pools
from drivers.kvm.store import volumes as files
from drivers.kvm.subject import LIVE, Subject
from drivers.kvm.xmltext import parse, render
from drivers.types import InstanceID, VolumeAttachment, VolumeID

Remotes = Mapping[VolumeID, tuple[volumes.Remote, int]]
"""Those of the volumes in question that QEMU reaches by itself, LUNs and images of Ceph, with their sizes in bytes."""


def user(connection: Any, volume: str) -> Any | None:
    """The domain of this host that has the volume, whether it is ours or not, now or at its next start; or None."""
    return next(_users(connection, lambda document: volumes.find(document, volume) is not None), None)


def _users(connection: Any, has: Callable[[ET.Element], bool]) -> Iterator[Any]:
    for domain in connection.listAllDomains(0):
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
            if any(has(parse(text)) for text in _documents(domain)):
                yield domain


def _documents(domain: Any) -> Iterator[str]:
    yield domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    if domains.active(domain):
        yield domain.XMLDesc(0)


def find(connection: Any, attachment: VolumeAttachment, instance: InstanceID, remotes: Remotes) -> tuple[volumes.Medium, int]:
    """Medium and size of the volume. Raises NotFound, and Conflict if another domain has it, under whatever name."""
    medium, size = remotes.get(attachment.volume) or _file(connection, attachment)
    name = medium.name if isinstance(medium, volumes.LUN) else ""

    def has(document: ET.Element) -> bool:
        disks = document.iterfind("devices/disk")
        return any(attachment.volume in volumes.identities(disk) or (name and volumes.lun_of(disk) == name) for disk in disks)

    if any(other.UUIDString() != instance for other in _users(connection, has)):
        raise Conflict(f"the volume {attachment.volume} is attached to another VM")
    return medium, size


def _file(connection: Any, attachment: VolumeAttachment) -> tuple[str, int]:
    pool = pools.get(connection, attachment.pool)
    content = holdings.get(pool, Kind.VOLUME, attachment.volume)
    return files.path_of(pool, content.file), files.capacity(pool, content.file)


def check_attach(vm: Subject, attachment: VolumeAttachment, leaving: Collection[VolumeID], remotes: Remotes) -> None:
    """Raises InvalidSpec, NotFound, and Conflict for a volume or a name that is taken. Those `leaving` are as good as gone."""
    names.label(attachment.name)
    limits.check(attachment.limits)
    find(vm.connection, attachment, vm.instance, remotes)
    if any(disk.name == attachment.name for disk in vm.mark.disks):
        raise Conflict(f"the VM has a disk named {attachment.name}")
    _require_free(attachment, [volume for volume in vm.mark.volumes if volume.volume not in leaving])
    _missing(vm, attachment.volume)


def check_detach(vm: Subject, volume: VolumeID) -> None:
    """Raises Conflict while a snapshot holds the volume on the VM."""
    _present(vm, volume)


def _missing(vm: Subject, volume: VolumeID) -> list[int]:
    """Flags of the documents that the volume must come into."""
    missing = [flag for document, flag in vm.documents if volumes.find(document, volume) is None]
    if missing:
        vm.require_no_snapshots("attach a volume")
    return missing


def _present(vm: Subject, volume: VolumeID) -> list[tuple[ET.Element, int]]:
    """The volume's disk in each document that has it, with its flag; none where the volume is not ours to take."""
    if all(other.volume != volume for other in vm.mark.volumes):
        return []
    found = [(disk, flag) for document, flag in vm.documents if (disk := volumes.find(document, volume)) is not None]
    if found:
        vm.require_no_snapshots("detach a volume")
    return found


def _require_free(attachment: VolumeAttachment, attached: Iterable[MarkedVolume]) -> None:
    """Raises Conflict if the volume has another name there, or another volume its name."""
    for other in attached:
        if (other.name == attachment.name) != (other.volume == attachment.volume):
            raise Conflict(f"the VM has the volume {other.volume} as {other.name}; it must be detached first")


def attach(vm: Subject, attachment: VolumeAttachment, remotes: Remotes) -> None:
    """The mark first, as for NICs; then the next start, then what runs."""
    missing = _missing(vm, attachment.volume)
    medium, size = find(vm.connection, attachment, vm.instance, remotes)
    marked = _marked(vm, attachment, size)
    if marked not in vm.mark.volumes:
        others = (other for other in vm.mark.volumes if other.volume != marked.volume)
        vm.write_mark(replace(vm.mark, volumes=(*others, marked)))
    item = volumes.build(marked, medium, attachment)
    for document, flag in vm.documents:
        if flag in missing:
            if not volumes.has_controller(document):
                vm.domain.attachDeviceFlags(render(volumes.controller()), flag)
            vm.domain.attachDeviceFlags(render(item), flag)


def _marked(vm: Subject, attachment: VolumeAttachment, size: int) -> MarkedVolume:
    """The volume's mark: in the place that it has, or in a free one."""
    _require_free(attachment, vm.mark.volumes)
    places = [place for document, _ in vm.documents if (place := _place(document, attachment.volume))]
    places += [other.target for other in vm.mark.volumes if other.volume == attachment.volume]
    taken = (other.target for other in vm.mark.volumes)
    target = places[0] if places else volumes.free_target((document for document, _ in vm.documents), taken)
    return MarkedVolume(attachment.name, attachment.volume, attachment.pool.name, target, size)


def _place(document: Any, volume: VolumeID) -> str:
    disk = volumes.find(document, volume)
    return "" if disk is None else observe.device(disk)


def detach(vm: Subject, volume: VolumeID) -> None:
    """The next start is without it at once, then what runs; the mark goes when no device is left.

    Raises Busy while the guest holds the device, which on virtio-scsi none should.
    """
    present = _present(vm, volume)
    for disk, flag in present:
        with domains.suppress_code(libvirt.VIR_ERR_DEVICE_MISSING):
            vm.domain.detachDeviceFlags(render(disk), flag)
    if any(flag == LIVE for _, flag in present):
        _require_gone(vm, volume)
    left = tuple(other for other in vm.mark.volumes if other.volume != volume)
    if left != vm.mark.volumes:
        vm.write_mark(replace(vm.mark, volumes=left))


def _require_gone(vm: Subject, volume: VolumeID) -> None:
    with suppress(libvirt.libvirtError):
        if volumes.find(parse(vm.domain.XMLDesc(0)), volume) is None:
            return
    raise Busy("the guest has not released the volume yet", retry_after=5.0)
