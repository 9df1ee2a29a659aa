"""From the engine's objects to what a driver reports."""

from __future__ import annotations

from drivers.types import (
    AttachedVolume,
    Capability,
    DiskFailure,
    DiskLimits,
    InstanceID,
    ObservedDisk,
    ObservedHost,
    ObservedLUN,
    ObservedPool,
    ObservedSnapshot,
    ObservedVM,
    ObservedVolume,
    Owner,
    PoolContents,
    PoolSpec,
    Power,
    VMDisk,
    VolumeSnapshot,
)

from .guest import guest_info
from .interfaces import observed_nics
from .model import VM, Disk, Host, Pool

__all__ = [
    "disk_path",
    "limits_of",
    "observed_host",
    "observed_pool",
    "observed_snapshots",
    "observed_vm",
    "observed_volumes",
    "pool_contents",
]

VERSION = "1.0"


def observed_host(host: Host) -> ObservedHost:
    """A host as it reports itself, which may be a lie."""
    return ObservedHost(
        host=host.host,
        native_id=f"sim-{host.host}",
        hypervisor="Simulator",
        version=VERSION,
        cpus=host.cpus if host.lie_cpus is None else host.lie_cpus,
        memory=host.memory if host.lie_memory is None else host.lie_memory,
        up=host.up and host.reachable,
        message="" if host.up and host.reachable else "the host does not answer",
    )


def observed_pool(spec: PoolSpec, pool: Pool) -> ObservedPool:
    """A pool with its sizes in bytes. In an iSCSI target there is never room for more."""
    if spec.iscsi is not None:
        return ObservedPool(spec.name, sum(pool.luns.values()), 0)
    return ObservedPool(spec.name, pool.capacity, max(0, pool.capacity - pool.used))


def observed_vm(vm: VM, owner: Owner, host: Host, capabilities: frozenset[Capability]) -> ObservedVM:
    """A VM of ours. Of a host that doesn't answer, nobody knows whether its VMs run."""
    on = vm.has_power
    return ObservedVM(
        instance=vm.instance,
        owner=owner,
        name=vm.name,
        host=vm.host,
        power=vm.power if host.up and host.reachable else Power.UNKNOWN,
        cpus=vm.cpus,
        memory=vm.memory,
        running_cpus=vm.running_cpus if on else vm.cpus,
        running_memory=vm.running_memory if on else vm.memory,
        disks=tuple(_disk(vm, disk) for disk in vm.disks.values()),
        nics=observed_nics(vm, host),
        seed_digest=vm.seed_digest,
        guest=guest_info(vm, capabilities),
        foreign_devices=vm.foreign,
        volumes=observed_volumes(vm),
        snapshots=observed_snapshots(vm),
        restored=vm.tokens,
        offered_memory=vm.offered_memory if on else 0,
        failures=tuple(_failure(vm, name, full=full) for name, full in vm.failures.items() if vm.power is Power.PAUSED),
    )


def _failure(vm: VM, name: str, *, full: bool) -> DiskFailure:
    return DiskFailure(name, vm.disks[name].pool_name if name in vm.disks else "", full)


def _disk(vm: VM, disk: Disk) -> ObservedDisk:
    return ObservedDisk(disk.name, disk.pool_name, disk_path(vm.instance, disk), disk.size, limits_of(vm, disk.name))


def limits_of(vm: VM, name: str) -> DiskLimits:
    """The limits of a VM's disk or volume."""
    return vm.limits.get(name, DiskLimits())


def disk_path(instance: InstanceID, disk: Disk) -> str:
    """Where a disk is on its host."""
    return disk.file or f"{disk.pool.path}/{instance}-{disk.name}"


def observed_volumes(vm: VM) -> tuple[AttachedVolume, ...]:
    """The volumes that a VM has."""
    found = ((attached.name, attached.volume) for attached in vm.volumes.values())
    return tuple(AttachedVolume(name, volume.volume, volume.pool_name, volume.size, limits_of(vm, name)) for name, volume in found)


def observed_snapshots(vm: VM) -> tuple[ObservedSnapshot, ...]:
    """The snapshots of a VM."""
    return tuple(
        ObservedSnapshot(one.snapshot, one.parent, one.running is not None, one.created, one.snapshot == vm.current)
        for one in vm.snapshots.values()
    )


def pool_contents(pool: Pool) -> PoolContents:
    """All disks, volumes and snapshots of volumes in a pool."""
    path = pool.key.path
    return PoolContents(
        tuple(
            VMDisk(instance, disk.name, disk_path(instance, disk), disk.size)
            for instance, disks in pool.disks.items()
            for disk in disks.values()
            if not disk.file
        ),
        tuple(ObservedVolume(one.volume, f"{path}/volume-{one.volume}", one.size) for one in pool.volumes.values()),
        tuple(VolumeSnapshot(one.snapshot, f"{path}/snapshot-{one.snapshot}", one.size) for one in pool.snapshots.values()),
        tuple(ObservedLUN(lun, size) for lun, size in sorted(pool.luns.items())),
    )
