"""The state of a datacentre and the small operations on it that everything else is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from drivers.errors import Conflict, NoRoom, NotFound, Transient
from drivers.types import Capability, Done, Failed, HostID, InstanceID, PoolSpec, SnapshotID, Started, VolumeID

from .changes import Changes
from .clock import Clock, Timers
from .model import GROUP, VM, Attached, Disk, Host, Pool, PoolKey, PoolSnapshot, Volume
from .settings import Settings
from .tasks import Tasks

__all__ = ["NO_SPACE", "Datacentre", "Scope", "in_place", "pool_key", "require_room", "takes"]

DISK_OVERHEAD = 256 * 1024
"""Bytes that a fresh thin disk takes in its pool."""

NO_SPACE = "SIM_NO_SPACE"
"""The code of every refusal for want of room in a pool."""

RBD = "rbd://"
"""What keys of Ceph pools begin with."""

Scope = HostID | None
"""Which hosts an endpoint reaches: one, or with None all."""


def pool_key(host: HostID, pool: PoolSpec) -> PoolKey:
    """A shared pool is the same on all hosts, an NFS export wherever it is mounted, and so are an iSCSI target and a Ceph pool.

    A volume group is its host's.
    """
    if pool.nfs is not None:
        return PoolKey("", f"nfs://{pool.nfs.server}{pool.nfs.export}")
    if pool.iscsi is not None:
        return PoolKey("", f"{pool.iscsi.name}@{pool.iscsi.server}:{pool.iscsi.port}")
    if pool.volume_group:
        return PoolKey(host, f"{GROUP}{pool.volume_group}")
    if pool.rbd is not None:
        return PoolKey("", f"{RBD}{','.join(sorted(pool.rbd.monitors))}/{pool.rbd.pool}")
    return PoolKey("" if pool.shared else host, pool.path)


def in_place(known: Mapping[str, PoolSpec], pool: PoolSpec) -> list[str]:
    """Names of the pools of a host that are where this one is."""
    return [name for name, each in known.items() if (each.path, each.nfs) == (pool.path, pool.nfs)]


def takes(pool: Pool, size: int) -> int:
    """Bytes that a new disk or volume of this size takes in a pool."""
    return size if pool.raw else DISK_OVERHEAD


def require_room(pool: Pool, name: str, needed: int) -> None:
    """Raises NoRoom unless so many bytes of a pool, which a host knows by that name, are free."""
    free = pool.capacity - pool.used
    if free < needed:
        raise NoRoom.of(f"the pool {name}", needed, free, native_code=NO_SPACE)


@dataclass(slots=True)
class Datacentre:
    """Hosts, pools, running tasks, timers and the change log. `dirty` names what a saved state must take over."""

    settings: Settings
    clock: Clock
    random: Random
    epoch: str
    hosts: dict[HostID, Host] = field(default_factory=dict)
    pools: dict[PoolKey, Pool] = field(default_factory=dict)
    places: dict[InstanceID, tuple[HostID, ...]] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    """How often each VM, volume and snapshot was made, by its identity."""
    attached: dict[tuple[PoolKey, VolumeID], tuple[VM, ...]] = field(default_factory=dict)
    """The VMs that have a volume."""
    timers: Timers = field(default_factory=Timers)
    changes: Changes = field(default_factory=Changes)
    tasks: Tasks = field(init=False)
    dirty: set[tuple[str, ...]] = field(default_factory=set)
    task_fault: Failed | None = None
    """Set by a fault for the next task, which then fails."""

    def __post_init__(self) -> None:
        self.tasks = Tasks(self.clock, self.timers, f"task-{self.epoch}")
        for number in range(1, self.settings.hosts + 1):
            self.add_host(HostID(f"host-{number:05d}"), self.settings.cpus, self.settings.memory)
        self.dirty.clear()

    # Hosts ---------------------------------------------------------------------------------------------------------

    def add_host(self, name: HostID, cpus: int, memory: int) -> None:
        """Rack a host; `memory` in bytes."""
        self.hosts[name] = Host(name, cpus, memory)
        self.host_changed(self.hosts[name])

    def host(self, name: HostID) -> Host:
        """A host that can be talked to. Raises NotFound, Transient while it is down or cut off."""
        host = self.hosts.get(name)
        if host is None or not host.listed:
            raise NotFound(f"no host {name!r}", native_code="SIM_HOST_UNKNOWN")
        if not (host.up and host.reachable):
            raise Transient(f"host {name!r} does not answer", native_code="SIM_HOST_UNREACHABLE")
        return host

    def lists(self, scope: Scope, name: HostID) -> bool:
        """Whether an endpoint knows of a host."""
        host = self.hosts.get(name)
        return host is not None and host.listed and scope in (None, name)

    def host_changed(self, host: Host) -> None:
        """Note that a host changed."""
        self.changes.host(host)
        self.dirty.add(("host", host.host))

    # VMs -----------------------------------------------------------------------------------------------------------

    def vm(self, host: HostID, instance: InstanceID) -> VM:
        """A VM of ours. Raises NotFound, Conflict if it isn't ours, Transient."""
        vm = self.host(host).vms.get(instance)
        if vm is None:
            raise NotFound(f"no VM {instance} on host {host!r}", native_code="SIM_VM_UNKNOWN")
        if vm.owner is None:
            raise Conflict(f"VM {instance} on host {host!r} was not made by Vireo", native_code="SIM_VM_FOREIGN")
        return vm

    def idle_vm(self, host: HostID, instance: InstanceID) -> VM:
        """Like `vm`, and Busy while a task works on it."""
        self.tasks.require_idle((host, instance))
        return self.vm(host, instance)

    def add_vm(self, vm: VM) -> None:
        """Define a VM on its host."""
        self.hosts[vm.host].vms[vm.instance] = vm
        self.places[vm.instance] = (*self.places.get(vm.instance, ()), vm.host)
        for attached in vm.volumes.values():
            self._note_user(vm, attached.volume)
        self.vm_changed(vm)

    def remove_vm(self, vm: VM) -> None:
        """Forget a VM's definition; its disks and volumes stay."""
        self.hosts[vm.host].vms.pop(vm.instance, None)
        for attached in vm.volumes.values():
            self._drop_user(vm, attached.volume)
        left = tuple(host for host in self.places.get(vm.instance, ()) if host != vm.host)
        if left:
            self.places[vm.instance] = left
        else:
            self.places.pop(vm.instance, None)
        self.vm_changed(vm)

    def is_defined(self, vm: VM) -> bool:
        """Whether this very VM still exists."""
        host = self.hosts.get(vm.host)
        return host is not None and host.vms.get(vm.instance) is vm

    def vm_changed(self, vm: VM, *, told: bool = True) -> None:
        """Note that a VM changed; what is not `told` is seen by those who look."""
        if told:
            self.changes.vm(self.hosts[vm.host], vm.instance)
        else:
            self.changes.untold(self.hosts[vm.host])
        self.dirty.add(("vm", vm.host, vm.instance))

    # Disks ---------------------------------------------------------------------------------------------------------

    def add_disk(self, instance: InstanceID, disk: Disk) -> None:
        """Put a new disk into its pool: thin, on top of its image, or as a copy where disks are raw."""
        pool = self.pools[disk.pool]
        pool.disks.setdefault(instance, {})[disk.name] = disk
        pool.used += takes(pool, disk.size)
        if disk.image and not pool.raw:
            pool.layered[disk.image] = pool.layered.get(disk.image, 0) + 1
        self.disk_changed(instance, disk)

    def remove_disk(self, instance: InstanceID, disk: Disk) -> None:
        """Take a disk out of its pool."""
        pool = self.pools.get(disk.pool)
        disks = pool.disks.get(instance, {}) if pool is not None else {}
        if pool is None or disks.pop(disk.name, None) is None:
            return
        if not disks:
            del pool.disks[instance]
        pool.used -= takes(pool, disk.size)
        if disk.image and not pool.raw:
            pool.layered[disk.image] -= 1
        self.disk_changed(instance, disk)

    def disk_changed(self, instance: InstanceID, disk: Disk) -> None:
        """Note that a disk changed."""
        self.dirty.add(("disk", *disk.pool, instance, disk.name))

    # Volumes -------------------------------------------------------------------------------------------------------

    def pool(self, host: HostID, pool: PoolSpec) -> Pool:
        """A pool that a host has. Raises NotFound, Transient."""
        self.host(host)
        if (found := self.find_pool(host, pool)) is None:
            raise NotFound(f"no pool {pool.name!r} on host {host!r}", native_code="SIM_POOL_UNKNOWN")
        return found

    def find_pool(self, host: HostID, pool: PoolSpec) -> Pool | None:
        """The same, or None: also for one that was never made there, or that the host has let go, whatever is in it."""
        has = not pool.has_files or in_place(self.hosts[host].pools, pool)
        return self.pools.get(pool_key(host, pool)) if has else None

    def add_volume(self, volume: Volume) -> None:
        """Put a new volume into its pool. A VM that still names one that was deleted under it has this one then."""
        pool = self.pools[volume.pool]
        pool.volumes[volume.volume] = volume
        pool.used += takes(pool, volume.size)
        for vm in self.attached.get((volume.pool, volume.volume), ()):
            vm.volumes[volume.volume].volume = volume
        self.volume_changed(volume)

    def remove_volume(self, volume: Volume) -> None:
        """Take a volume out of its pool; a VM that has it keeps its entry, as a definition does."""
        pool = self.pools[volume.pool]
        del pool.volumes[volume.volume]
        pool.used -= takes(pool, volume.size)
        self.volume_changed(volume)

    def volume_changed(self, volume: Volume) -> None:
        """Note that a volume changed, and with it the VMs that have it."""
        self.dirty.add(("volume", *volume.pool, volume.volume))
        for vm in self.attached.get((volume.pool, volume.volume), ()):
            self.vm_changed(vm)

    def add_snapshot(self, snapshot: PoolSnapshot) -> None:
        """Put a volume's snapshot into its pool."""
        pool = self.pools[snapshot.pool]
        pool.snapshots[snapshot.snapshot] = snapshot
        pool.used += DISK_OVERHEAD
        self.dirty.add(("snapshot", *snapshot.pool, snapshot.snapshot))

    def remove_snapshot(self, key: PoolKey, snapshot: SnapshotID) -> None:
        """Take a volume's snapshot out of its pool."""
        pool = self.pools[key]
        del pool.snapshots[snapshot]
        pool.used -= DISK_OVERHEAD
        self.dirty.add(("snapshot", *key, snapshot))

    def users(self, scope: Scope, key: PoolKey, volume: VolumeID) -> list[VM]:
        """The VMs within reach of an endpoint that have a volume."""
        return [vm for vm in self.attached.get((key, volume), ()) if self.lists(scope, vm.host)]

    def lun_users(self, scope: Scope, key: PoolKey, lun: int) -> list[VM]:
        """The VMs within reach of an endpoint that have a LUN, as whatever volume."""
        found = (vm for (pool, _), vms in self.attached.items() if pool == key for vm in vms if self.lists(scope, vm.host))
        return [vm for vm in found if any((one.volume.pool, one.volume.lun) == (key, lun) for one in vm.volumes.values())]

    def attach(self, vm: VM, name: str, volume: Volume) -> None:
        """Give a VM a volume."""
        vm.volumes[volume.volume] = Attached(name, volume)
        self._note_user(vm, volume)
        self.vm_changed(vm)

    def detach(self, vm: VM, volume: VolumeID) -> None:
        """Take a volume from a VM."""
        self._drop_user(vm, vm.volumes.pop(volume).volume)
        self.vm_changed(vm)

    def _note_user(self, vm: VM, volume: Volume) -> None:
        place = (volume.pool, volume.volume)
        self.attached[place] = (*self.attached.get(place, ()), vm)

    def _drop_user(self, vm: VM, volume: Volume) -> None:
        place = (volume.pool, volume.volume)
        left = tuple(user for user in self.attached.get(place, ()) if user is not vm)
        if left:
            self.attached[place] = left
        else:
            self.attached.pop(place, None)

    def remove_pool(self, key: PoolKey) -> None:
        """Take a pool away with all that is in it."""
        pool = self.pools.pop(key)
        self.dirty.add(("pool", *key))
        self.dirty.update(("image", *key, name) for name in pool.images)
        self.dirty.update(("disk", *key, instance, name) for instance, disks in pool.disks.items() for name in disks)
        self.dirty.update(("volume", *key, volume) for volume in pool.volumes)
        self.dirty.update(("snapshot", *key, snapshot) for snapshot in pool.snapshots)

    # Work ----------------------------------------------------------------------------------------------------------

    def run(self, method: str, subject: tuple[str, ...], effect: Callable[[], None]) -> Done | Started:
        """Do the work of `method` on `subject` (host first), at once or as a task, as the settings say."""
        fault, self.task_fault = self.task_fault, None
        return self.tasks.run(subject, self.settings.durations.get(method, 0.0), effect, fault)

    def has(self, capability: Capability) -> bool:
        """Whether this datacentre was given the capability."""
        return capability in self.settings.capabilities
