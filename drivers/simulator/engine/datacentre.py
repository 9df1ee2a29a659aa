"""The state of a datacentre and the small operations on it that everything else is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from drivers.errors import Conflict, NotFound, Transient
from drivers.types import Capability, Done, Failed, HostID, InstanceID, Started

from .changes import Changes
from .clock import Clock, Timers
from .model import VM, Disk, Host, Pool, PoolKey
from .settings import Settings
from .tasks import Tasks

__all__ = ["Datacentre", "Scope"]

DISK_OVERHEAD = 256 * 1024
"""Bytes that a fresh thin disk takes in its pool."""

Scope = HostID | None
"""Which hosts an endpoint reaches: one, or with None all."""


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
    made: Counter[InstanceID] = field(default_factory=Counter)
    """How often each identity was defined by `compute.create`."""
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
        if (host := self.hosts.get(name)) is None:
            raise NotFound(f"no host {name!r}", native_code="SIM_HOST_UNKNOWN")
        if not (host.up and host.reachable):
            raise Transient(f"host {name!r} does not answer", native_code="SIM_HOST_UNREACHABLE")
        return host

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
        self.vm_changed(vm)

    def remove_vm(self, vm: VM) -> None:
        """Forget a VM's definition; its disks stay."""
        self.hosts[vm.host].vms.pop(vm.instance, None)
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

    def vm_changed(self, vm: VM) -> None:
        """Note that a VM changed."""
        self.changes.vm(self.hosts[vm.host], vm.instance)
        self.dirty.add(("vm", vm.host, vm.instance))

    # Disks ---------------------------------------------------------------------------------------------------------

    def add_disk(self, instance: InstanceID, disk: Disk) -> None:
        """Put a new thin disk into its pool."""
        pool = self.pools[disk.pool]
        pool.disks.setdefault(instance, {})[disk.name] = disk
        pool.used += DISK_OVERHEAD
        if disk.image:
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
        pool.used -= DISK_OVERHEAD
        if disk.image:
            pool.layered[disk.image] -= 1
        self.disk_changed(instance, disk)

    def disk_changed(self, instance: InstanceID, disk: Disk) -> None:
        """Note that a disk changed."""
        self.dirty.add(("disk", *disk.pool, instance, disk.name))

    def remove_pool(self, key: PoolKey) -> None:
        """Take a pool away with all that is in it."""
        pool = self.pools.pop(key)
        self.dirty.add(("pool", *key))
        self.dirty.update(("image", *key, name) for name in pool.images)
        self.dirty.update(("disk", *key, instance, name) for instance, disks in pool.disks.items() for name in disks)

    # Work ----------------------------------------------------------------------------------------------------------

    def run(self, method: str, subject: tuple[str, ...], effect: Callable[[], None]) -> Done | Started:
        """Do the work of `method` on `subject` (host first), at once or as a task, as the settings say."""
        fault, self.task_fault = self.task_fault, None
        return self.tasks.run(subject, self.settings.durations.get(method, 0.0), effect, fault)

    def has(self, capability: Capability) -> bool:
        """Whether this datacentre was given the capability."""
        return capability in self.settings.capabilities
