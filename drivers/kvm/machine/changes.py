"""Changes to an existing VM: when each can take effect (pure), and how it is made."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.errors import InvalidSpec, NotFound
from drivers.kvm import names
from drivers.kvm.domain import nics, observe, platform
from drivers.kvm.domain.disks import SEED_TARGET, devices_of, seed_disk
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.machine import attaching, creation, enlarging, interfaces, limiting
from drivers.kvm.mark import MarkedDisk
from drivers.kvm.network.segments import Segments
from drivers.kvm.store import pools, volumes
from drivers.kvm.subject import CONFIG, LIVE, Subject, subject
from drivers.kvm.xmltext import render
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    InstanceID,
    ObservedVM,
    Power,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
)


def mode(change: Change, observed: ObservedVM, domain_type: str) -> ApplyMode:
    """When the change can take effect on the VM as observed.

    `domain_type` is that of the host's guests. CPUs can be added up to the room that the VM was started with, never taken away
    while it runs: guests let them go late or not at all. So it is with memory, and what a guest was given and has not taken waits
    for a restart. Disks grow, unless they are logical volumes, and get other limits, and NICs come and go, while the guest runs.
    """
    if isinstance(change, GrowDisk):
        return ApplyMode.RECREATE if _is_block(change.name, observed) else ApplyMode.LIVE
    if observed.power in {Power.OFF, Power.CRASHED}:
        return ApplyMode.LIVE
    match change:
        case SetCPUs(cpus):
            most = observed.most_cpus or platform.ceiling(observed.running_cpus, domain_type)
            fits = observed.running_cpus <= cpus <= most
            return ApplyMode.LIVE if fits else ApplyMode.RESTART
        case SetMemory(memory):
            fits = observed.running_memory < memory <= observed.most_memory and memory != observed.offered_memory
            return ApplyMode.LIVE if fits or memory == observed.running_memory else ApplyMode.RESTART
        case SetSeed(seed):
            return ApplyMode.LIVE if seed.digest == observed.seed_digest else ApplyMode.RESTART
        case SetDiskLimits() | AttachNIC() | DetachNIC() | AttachVolume() | DetachVolume():
            return ApplyMode.LIVE


def _is_block(name: str, observed: ObservedVM) -> bool:
    """Whether a disk of ours is a logical volume."""
    paths = [PurePosixPath(disk.volume_id) for disk in observed.disks if disk.name == name]
    return any(path.suffix == f".{names.RAW}" and names.disk_of(path.name) for path in paths)


def check(vm: Subject, change: Change, host: HostProfile) -> None:
    """Raises InvalidSpec for a change that this VM can never have on this host, and NotFound for a disk it has not."""
    match change:
        case SetCPUs(cpus):
            platform.check_cpus(cpus, host.max_cpus)
        case SetMemory(memory):
            enlarging.check(memory)
        case GrowDisk(name, size):
            volumes.check_size(size)
            _require_growth(vm, _marked_disk(vm, name), size)
        case SetDiskLimits(name, limits):
            limiting.check(vm, name, limits)
        case AttachNIC(nic):
            nics.build(nic, filters=host.filters)
        case SetSeed():
            _require_disk(vm)
        case DetachVolume(volume):
            attaching.check_detach(vm, volume)
        case DetachNIC() | AttachVolume():
            pass


def apply(
    connection: Any,
    instance: InstanceID,
    changes: Sequence[Change],
    host: HostProfile,
    segments: Segments,
    remotes: attaching.Remotes,
) -> None:
    """Check all changes, then make one after the other, each on the VM as the one before left it.

    `segments` are those of the host, `remotes` those of the volumes to be attached that QEMU
    reaches by itself.
    """
    before = subject(connection, instance)
    leaving = {change.volume for change in changes if isinstance(change, DetachVolume)}
    for change in changes:
        check(before, change, host)
        if isinstance(change, AttachVolume):
            attaching.check_attach(before, change.attachment, leaving, remotes)
    for change in changes:
        vm = subject(connection, instance)
        if isinstance(change, AttachNIC):
            interfaces.attach(vm, change.nic, host, segments)
        elif isinstance(change, SetMemory):
            enlarging.apply(vm, change.memory, host)
        else:
            _apply(vm, change, remotes)


def _apply(vm: Subject, change: Change, remotes: attaching.Remotes) -> None:
    """Make the change; in effect already is success."""
    match change:
        case SetCPUs(cpus):
            _set_cpus(vm, cpus)
        case GrowDisk(name, size):
            _grow_disk(vm, name, size)
        case SetDiskLimits(name, limits):
            limiting.apply(vm, name, limits)
        case DetachNIC(name):
            interfaces.detach(vm, name)
        case SetSeed():
            _set_seed(vm, change)
        case AttachVolume(attachment):
            attaching.attach(vm, attachment, remotes)
        case DetachVolume(volume):
            attaching.detach(vm, volume)


def _set_cpus(vm: Subject, cpus: int) -> None:
    if observe.cpus(vm.inactive) != cpus:
        _write_cpus(vm, cpus)
    if vm.live is not None and observe.cpus(vm.live) < cpus <= observe.most_cpus(vm.live):
        vm.domain.setVcpusFlags(cpus, LIVE)


def _write_cpus(vm: Subject, cpus: int) -> None:
    """The next start's. Room for more changes the topology with it, which only a new definition can."""
    if vm.inactive.findtext("vcpu") == str(platform.ceiling(cpus, vm.inactive.get("type", ""))):
        vm.domain.setVcpusFlags(cpus, CONFIG)
        return
    fresh = vm.definition()
    platform.set_processors(fresh, cpus)
    vm.connection.defineXMLFlags(render(fresh), 0)


def _grow_disk(vm: Subject, name: str, size: int) -> None:
    disk = _marked_disk(vm, name)
    rounded = volumes.rounded(size)
    if rounded > _require_growth(vm, disk, rounded):
        if vm.live is not None:
            vm.domain.blockResize(disk.target, rounded, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            _volume(vm, disk).resize(rounded, 0)
    if disk.size != size:
        disks = (replace(other, size=size) if other.name == name else other for other in vm.mark.disks)
        vm.write_mark(replace(vm.mark, disks=tuple(disks)))


def _volume(vm: Subject, disk: MarkedDisk) -> Any:
    """The file of a disk as a volume of its pool. Raises NotFound."""
    found = pools.volume_at(vm.connection, _file(vm.inactive, disk))
    if found is None:
        raise NotFound(f"the file of the disk {disk.name} is in no storage pool of the host")
    return found


def _require_growth(vm: Subject, disk: MarkedDisk, size: int) -> int:
    """The present size. Raises InvalidSpec if `size` is below it, Conflict if snapshots hold the disk where it is."""
    if names.disk_of(file := PurePosixPath(_file(vm.inactive, disk)).name) and file.endswith(f".{names.RAW}"):
        raise InvalidSpec(f"the disk {disk.name} is a logical volume of LVM, which cannot grow: make the VM anew")
    current = int(vm.domain.blockInfo(disk.target, 0)[0])
    if volumes.rounded(size) < current:
        raise InvalidSpec(f"the disk {disk.name} has {current} bytes; it cannot shrink to {size}")
    if volumes.rounded(size) > current:
        vm.require_no_snapshots("grow its disks")
    return current


def _marked_disk(vm: Subject, name: str) -> MarkedDisk:
    for disk in vm.mark.disks:
        if disk.name == name and disk.pool and any(observe.is_own(item, disk, vm.instance) for item in _at(vm.inactive, disk)):
            return disk
    raise NotFound(f"the VM has no disk {name} of ours")


def _file(domain: ET.Element, disk: MarkedDisk) -> str:
    return next(map(observe.medium, _at(domain, disk)), "")


def _at(domain: ET.Element, disk: MarkedDisk) -> list[ET.Element]:
    return [item for item in domain.iterfind("devices/disk") if observe.device(item) == disk.target]


def _set_seed(vm: Subject, change: SetSeed) -> None:
    """A new volume, then the definition, then the mark, then the seeds that nothing names any more.

    A snapshot with memory runs with the seed of its time: while there are snapshots, none is removed.
    """
    if vm.mark.seed == change.seed.digest:
        return
    pool = _seed_pool(vm)
    name = names.seed(vm.instance, change.seed.digest)
    path = creation.put_seed(vm.connection, pool, name, change.seed)
    change_device = vm.domain.updateDeviceFlags if _seed_file(vm.inactive) else vm.domain.attachDeviceFlags
    change_device(render(seed_disk(path, devices_of(vm.inactive))), CONFIG)
    vm.write_mark(replace(vm.mark, seed=change.seed.digest))
    in_use = {name, PurePosixPath(_seed_file(vm.live)).name}
    if vm.domain.snapshotNum(0):
        return
    for other in volumes.names_in(pool):
        if names.is_seed(other, vm.instance) and other not in in_use:
            volumes.remove(pool, other)


def _seed_pool(vm: Subject) -> Any:
    """The pool of the first disk, or the directory beside its volume group."""
    disk = _require_disk(vm)
    path = _file(vm.inactive, disk)
    if PurePosixPath(path).name == names.disk(vm.instance, disk.name, names.RAW):
        seed = _seed_file(vm.inactive)
        if not seed:
            return vm.connection.storagePoolLookupByName(names.pool(disk.pool))
        path = seed
    return vm.connection.storageVolLookupByPath(path).storagePoolLookupByVolume()


def _require_disk(vm: Subject) -> MarkedDisk:
    """The first disk. Raises InvalidSpec for a VM without any."""
    if not vm.mark.disks:
        raise InvalidSpec("a VM with a cloud-init seed needs a disk: the seed is kept in its pool")
    return _marked_disk(vm, vm.mark.disks[0].name)


def _seed_file(domain: ET.Element | None) -> str:
    disks = [] if domain is None else domain.iterfind("devices/disk")
    return next((observe.source(item) for item in disks if observe.device(item) == SEED_TARGET), "")
