"""Power, and what the guest does with it: boots, announces itself, obeys or ignores a soft stop."""

from __future__ import annotations

from drivers.errors import Conflict, InvalidSpec, Transient
from drivers.types import Done, HostID, InstanceID, Power, Started, StopMode

from .datacentre import Datacentre
from .model import VM, Host
from .networks import require_networks

__all__ = ["PowerControl", "power_off", "require_disks", "used_memory", "watch_guest"]


class PowerControl:
    """Power calls as `drivers.base.Power` has them."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def start(self, host: HostID, instance: InstanceID) -> Done | Started:
        """Power on, or resume a paused VM. Raises NotFound, Conflict, Busy, Transient, InvalidSpec."""
        vm = self._dc.idle_vm(host, instance)
        if vm.power is Power.ON:
            return Done()
        self._check_room(vm)
        require_disks(self._dc, vm)
        self._check_networks(vm)
        return self._dc.run("power.start", (host, instance), lambda: self._start(vm))

    def _check_room(self, vm: VM) -> None:
        host = self._dc.hosts[vm.host]
        if vm.cpus > host.cpus or vm.memory > host.memory:
            raise InvalidSpec(f"VM {vm.instance} is larger than host {vm.host!r}", native_code="SIM_TOO_LARGE")
        if not vm.has_power and vm.memory > host.memory - used_memory(host):
            raise Transient(f"host {vm.host!r} has too little free memory", native_code="SIM_NO_MEMORY")

    def _check_networks(self, vm: VM) -> None:
        if not vm.has_power:
            require_networks(self._dc.hosts[vm.host], vm)

    def _start(self, vm: VM) -> None:
        self._dc.vm(vm.host, vm.instance)
        if vm.power is Power.PAUSED:
            self._go_on(vm)
            return
        if vm.power is Power.ON:
            return
        self._check_room(vm)
        self._check_networks(vm)
        vm.power = Power.ON
        vm.starts += 1
        vm.running_cpus, vm.running_memory = vm.cpus, vm.memory
        vm.ready_at = self._dc.clock.now() + self._dc.settings.boot if _has_system(vm) else None
        watch_guest(self._dc, vm)
        self._dc.vm_changed(vm)

    def resume(self, host: HostID, instance: InstanceID) -> Done:
        """Let a VM go on that was suspended for an error of a disk, and for nothing else. Raises NotFound, Conflict, Busy."""
        vm = self._dc.idle_vm(host, instance)
        if vm.power is Power.PAUSED and vm.failures:
            self._go_on(vm)
        return Done()

    def _go_on(self, vm: VM) -> None:
        """What failed is tried again, and may fail again."""
        vm.failing = {name: full for name, full in vm.failing.items() if not (full and _has_room(self._dc, vm, name))}
        if vm.failures and vm.failing:
            vm.failures = dict(vm.failing)
        else:
            vm.power, vm.failures = Power.ON, {}
            watch_guest(self._dc, vm)
        self._dc.vm_changed(vm)

    def stop(self, host: HostID, instance: InstanceID, mode: StopMode) -> Done | Started:
        """SOFT asks the guest; HARD cuts the power. Raises NotFound, Conflict, Busy, Transient."""
        vm = self._dc.idle_vm(host, instance)
        if not vm.has_power:
            if vm.power is Power.CRASHED:
                power_off(self._dc, vm)
            return Done()
        if mode is StopMode.HARD:
            return self._dc.run("power.stop", (host, instance), lambda: power_off(self._dc, vm))
        if vm.power is Power.PAUSED:
            raise Conflict(f"VM {instance} is paused, its guest can't be asked", native_code="SIM_VM_PAUSED")
        self._ask_guest(vm)
        return Done()

    def _ask_guest(self, vm: VM) -> None:
        """A guest that has not booted yet, or was told to ignore it, does nothing, as real ones do."""
        if vm.booted is None or vm.ignores_stop or vm.stop_at is not None:
            return
        vm.stop_at = self._dc.clock.now() + self._dc.settings.shutdown
        self._dc.dirty.add(("vm", vm.host, vm.instance))
        watch_guest(self._dc, vm)


def require_disks(dc: Datacentre, vm: VM) -> None:
    """Raises InvalidSpec if a disk or volume of the VM was removed under it."""
    for disk in vm.disks.values():
        pool = dc.pools.get(disk.pool)
        if pool is None or disk.name not in pool.disks.get(vm.instance, {}):
            raise InvalidSpec(f"disk {disk.name!r} of VM {vm.instance} is gone", native_code="SIM_DISK_MISSING")
    for attached in vm.volumes.values():
        pool = dc.pools.get(attached.volume.pool)
        there = pool is not None and (attached.volume.volume in pool.volumes or attached.volume.lun in pool.luns)
        if not there:
            raise InvalidSpec(f"volume {attached.name!r} of VM {vm.instance} is gone", native_code="SIM_VOLUME_MISSING")


def _has_room(dc: Datacentre, vm: VM, name: str) -> bool:
    disk = vm.disks.get(name)
    pool = None if disk is None else dc.pools.get(disk.pool)
    return pool is None or pool.used < pool.capacity


def used_memory(host: Host) -> int:
    """Bytes that the running VMs of a host occupy."""
    return sum(vm.running_memory for vm in host.vms.values() if vm.has_power)


def _has_system(vm: VM) -> bool:
    """A disk that was made from an image has an operating system; an empty one boots nothing."""
    return any(disk.image for disk in vm.disks.values())


def power_off(dc: Datacentre, vm: VM, state: Power = Power.OFF) -> None:
    """The VM has lost power."""
    vm.power, vm.failures = state, {}
    vm.booted = vm.ready_at = vm.stop_at = None
    vm.running_cpus, vm.running_memory, vm.offered_memory = vm.cpus, vm.memory, 0
    vm.unplugged = frozenset()
    dc.vm_changed(vm)


def watch_guest(dc: Datacentre, vm: VM) -> None:
    """Set the timers for what the guest will do next; a timer that no longer fits the VM does nothing.

    Called again when a paused guest goes on: what was due meanwhile happens then.
    """
    ready_at, stop_at = vm.ready_at, vm.stop_at

    def booted() -> None:
        if vm.ready_at == ready_at and vm.power is Power.ON and dc.is_defined(vm):
            vm.ready_at, vm.booted = None, vm.guest
            dc.vm_changed(vm)

    def stopped() -> None:
        if vm.stop_at == stop_at and vm.power is Power.ON and dc.is_defined(vm):
            power_off(dc, vm)

    if ready_at is not None:
        dc.timers.at(ready_at, booted)
    if stop_at is not None:
        dc.timers.at(stop_at, stopped)
