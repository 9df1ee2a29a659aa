"""Virtual machines: observe, create, delete. Changes are in `change`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import (
    DesiredDisk,
    DesiredVM,
    Done,
    HostID,
    InstanceID,
    ObservedVM,
    PoolSpec,
    Power,
    Started,
)

from .adoption import require_unshared
from .datacentre import Datacentre, Scope, pool_key, require_room, takes
from .guest import read_seed
from .interfaces import observed_nic, port_of
from .model import VM, Disk, GuestConfig, Host
from .observe import observed_vm
from .rules import check_pool, check_vm
from .volumes import attachable

__all__ = ["Compute", "HostVMs", "VMPage"]

PAGE = 2_000
"""VMs in a page of observations, at least; a host is never split."""


class HostVMs(NamedTuple):
    """All VMs of ours on one host."""

    host: HostID
    vms: tuple[ObservedVM, ...]


class VMPage(NamedTuple):
    """Hosts that changed after a cursor, each with all its VMs; ask again from `cursor` while there is `more`.

    A cursor means nothing in another epoch: then the pages begin anew, and what was seen before is void.
    """

    hosts: tuple[HostVMs, ...]
    epoch: str
    cursor: int
    more: bool


class Compute:
    """VM calls as `drivers.base.Compute` has them; `scope` is what the caller's endpoint reaches."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def observe_page(self, scope: Scope, epoch: str, cursor: int) -> VMPage:
        """VMs of the hosts that changed after `cursor` (0: of all)."""
        dc = self._dc
        changed = dc.changes.hosts_after(cursor if epoch == dc.epoch else 0, scope)
        hosts: list[HostVMs] = []
        total = 0
        for name, number in changed:
            host = dc.hosts.get(name)
            hosts.append(self._host_vms(host) if host is not None and host.listed else HostVMs(name, ()))
            total += len(hosts[-1].vms)
            if total >= PAGE:
                return VMPage(tuple(hosts), dc.epoch, number, number != changed[-1][1])
        return VMPage(tuple(hosts), dc.epoch, changed[-1][1] if changed else cursor, False)

    def _host_vms(self, host: Host) -> HostVMs:
        capabilities = self._dc.settings.capabilities
        ours = ((vm, vm.owner) for vm in host.vms.values())
        return HostVMs(host.host, tuple(observed_vm(vm, owner, host, capabilities) for vm, owner in ours if owner is not None))

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        """One VM. Raises NotFound, Conflict, Transient."""
        vm = self._dc.vm(host, instance)
        assert vm.owner is not None
        return observed_vm(vm, vm.owner, self._dc.hosts[host], self._dc.settings.capabilities)

    def create(self, scope: Scope, host: HostID, vm: DesiredVM) -> Done | Started:
        """Define a VM, powered off. Raises Conflict, InvalidSpec, NoRoom, NotFound, Busy, Transient, Unsupported."""
        subject = (host, vm.instance)
        there = self._dc.host(host)
        self._dc.tasks.require_idle(subject)
        check_vm(vm, self._dc.settings.capabilities)
        if self._exists(scope, there, vm.instance):
            return Done()
        self._check_fits(there, vm)
        self._check_storage(scope, host, vm)
        return self._dc.run("compute.create", subject, lambda: self._define(scope, there, vm))

    def _exists(self, scope: Scope, host: Host, instance: InstanceID) -> bool:
        """Whether it is there already. An endpoint of many hosts, like a XenServer pool, has each identity once."""
        if instance in host.vms:
            self._dc.vm(host.host, instance)
            return True
        others = [place for place in self._dc.places.get(instance, ()) if self._dc.lists(scope, place)]
        if scope is None and others:
            raise Conflict(f"VM {instance} exists on host {others[0]!r}", native_code="SIM_VM_ELSEWHERE")
        return False

    def _check_fits(self, host: Host, vm: DesiredVM) -> None:
        if vm.cpus > host.cpus or vm.memory > host.memory:
            message = f"VM {vm.instance} with {vm.cpus} CPUs and {vm.memory} bytes is larger than host {host.host!r}"
            raise InvalidSpec(message, native_code="SIM_TOO_LARGE")

    def _check_storage(self, scope: Scope, host: HostID, vm: DesiredVM) -> None:
        """Raises what forbids its disks or volumes."""
        for disk in vm.disks:
            self._check_disk(host, vm.instance, disk)
        for attachment in vm.volumes:
            attachable(self._dc, scope, host, vm.instance, attachment)

    def _check_disk(self, host: HostID, instance: InstanceID, disk: DesiredDisk) -> None:
        """Raises what forbids this disk; one of ours that exists is used as it is."""
        pool = self._dc.pool(host, disk.pool)
        if disk.name in pool.disks.get(instance, {}):
            return
        if disk.image and disk.image not in pool.images:
            raise NotFound(f"no image {disk.image!r} in pool {disk.pool.name!r}", native_code="SIM_IMAGE_UNKNOWN")
        if disk.image and disk.size < pool.images[disk.image].virtual_size:
            raise InvalidSpec(f"disk {disk.name!r} is smaller than its image {disk.image!r}", native_code="SIM_DISK_SMALL")
        require_room(pool, disk.pool.name, takes(pool, disk.size))

    def _define(self, scope: Scope, host: Host, vm: DesiredVM) -> None:
        """Checks again, because time has passed if this is the end of a task; then makes disks and VM in one step."""
        if self._exists(scope, host, vm.instance):
            return
        self._check_storage(scope, host.host, vm)
        self._dc.made[vm.instance] += 1
        made = self._vm(host, vm)
        self._dc.add_vm(made)
        for attachment in vm.volumes:
            self._dc.attach(made, attachment.name, attachable(self._dc, scope, host.host, vm.instance, attachment))

    def _vm(self, host: Host, vm: DesiredVM) -> VM:
        return VM(
            instance=vm.instance,
            host=host.host,
            name=vm.name,
            owner=vm.owner,
            cpus=vm.cpus,
            memory=vm.memory,
            running_cpus=vm.cpus,
            running_memory=vm.memory,
            firmware=vm.firmware,
            disks={disk.name: self._disk(host.host, vm.instance, disk) for disk in vm.disks},
            nics={nic.name: observed_nic(nic) for nic in vm.nics},
            ports={nic.name: port_of(nic) for nic in vm.nics},
            seed_digest=vm.seed.digest if vm.seed else "",
            guest=read_seed(vm.seed) if vm.seed else GuestConfig(),
            limits={disk.name: disk.limits for disk in vm.disks} | {volume.name: volume.limits for volume in vm.volumes},
        )

    def _disk(self, host: HostID, instance: InstanceID, disk: DesiredDisk) -> Disk:
        key = pool_key(host, disk.pool)
        if (existing := self._dc.pools[key].disks.get(instance, {}).get(disk.name)) is not None:
            return existing
        made = Disk(disk.name, key, disk.pool.name, disk.size, disk.image, content=disk.image)
        self._dc.add_disk(instance, made)
        return made

    def delete(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec]) -> Done | Started:
        """Remove a VM with its snapshots and disks, running or not; its volumes stay.

        Raises Conflict if it isn't ours, Busy, Transient.
        """
        there = self._dc.host(host)
        self._dc.tasks.require_idle((host, instance))
        for pool in pools:
            check_pool(pool)
        if instance in there.vms:
            require_unshared(self._dc, self._dc.vm(host, instance))
        elif not self._leftovers(host, instance, pools):
            return Done()
        return self._dc.run("compute.delete", (host, instance), lambda: self._remove(there, instance, pools))

    def _leftovers(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec]) -> list[Disk]:
        found = (self._dc.find_pool(host, pool) for pool in pools)
        disks = (disk for pool in found if pool is not None for disk in pool.disks.get(instance, {}).values())
        return [disk for disk in disks if not disk.file]

    def _remove(self, host: Host, instance: InstanceID, pools: Sequence[PoolSpec]) -> None:
        disks = self._leftovers(host.host, instance, pools)
        if instance in host.vms:
            vm = self._dc.vm(host.host, instance)
            vm.power = Power.OFF
            disks += [disk for disk in vm.disks.values() if disk.pool_name or not disk.file]
            self._dc.remove_vm(vm)
        for disk in disks:
            self._dc.remove_disk(instance, disk)
