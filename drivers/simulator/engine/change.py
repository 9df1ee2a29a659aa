"""Changes to an existing VM: all of a call together or none."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.errors import Conflict, InvalidSpec, NotFound, Transient
from drivers.types import (
    ApplyMode,
    AttachNIC,
    Change,
    DetachNIC,
    Done,
    GrowDisk,
    HostID,
    InstanceID,
    SetCPUs,
    SetMemory,
    SetSeed,
    Started,
)

from .compute import observed_nic
from .datacentre import Datacentre
from .guest import read_seed
from .model import VM
from .modes import apply_mode
from .observe import observed_vm
from .power import used_memory
from .rules import check_nic

__all__ = ["Changer"]


class Changer:
    """`apply` as `drivers.base.Compute` has it."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def apply(self, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done | Started:
        """Apply changes. Raises NotFound, Conflict, InvalidSpec, Busy, Transient."""
        vm = self._dc.idle_vm(host, instance)
        pending = self._pending(vm, changes)
        if not pending:
            return Done()
        return self._dc.run("compute.apply", (host, instance), lambda: self._apply(vm, changes))

    def _pending(self, vm: VM, changes: Sequence[Change]) -> list[tuple[Change, ApplyMode]]:
        """Changes not in effect yet with their modes. Raises if any of them can't be made now."""
        assert vm.owner is not None
        observed = observed_vm(vm, vm.owner, self._dc.hosts[vm.host], self._dc.settings.capabilities)
        pending = [change for change in changes if not in_effect(vm, change)]
        moded = [(change, apply_mode(change, observed, self._dc.settings.capabilities)) for change in pending]
        for change, mode in moded:
            self._check(vm, change, live=mode is ApplyMode.LIVE)
            if mode is ApplyMode.POWER_OFF and vm.has_power:
                raise Conflict(f"{type(change).__name__} needs VM {vm.instance} powered off", native_code="SIM_VM_RUNS")
        return moded

    def _check(self, vm: VM, change: Change, *, live: bool) -> None:
        """Raises if the change is impossible on this VM, or on its host at this moment."""
        host = self._dc.hosts[vm.host]
        match change:
            case SetCPUs(cpus) if not 1 <= cpus <= host.cpus:
                raise InvalidSpec(f"host {vm.host!r} can't give a VM {cpus} CPUs", native_code="SIM_TOO_LARGE")
            case SetMemory(memory) if not 1 <= memory <= host.memory:
                raise InvalidSpec(f"host {vm.host!r} can't give a VM {memory} bytes", native_code="SIM_TOO_LARGE")
            case SetMemory(memory) if live and vm.has_power and memory - vm.running_memory > host.memory - used_memory(host):
                raise Transient(f"host {vm.host!r} has too little free memory", native_code="SIM_NO_MEMORY")
            case GrowDisk(name, size):
                _check_grow(vm, name, size)
            case AttachNIC(nic):
                check_nic(nic)
                if nic.name in vm.nics or any(other.mac == nic.mac for other in vm.nics.values()):
                    raise Conflict(f"VM {vm.instance} has another NIC {nic.name!r} or {nic.mac}", native_code="SIM_NIC_EXISTS")
            case _:
                pass

    def _apply(self, vm: VM, changes: Sequence[Change]) -> None:
        """Looks again at what is pending, because time has passed if this is the end of a task."""
        self._dc.vm(vm.host, vm.instance)
        for change, mode in self._pending(vm, changes):
            self._make(vm, change, live=mode is ApplyMode.LIVE)
        self._dc.vm_changed(vm)

    def _make(self, vm: VM, change: Change, *, live: bool) -> None:
        match change:
            case SetCPUs(cpus):
                vm.cpus = cpus
                vm.running_cpus = cpus if live else vm.running_cpus
            case SetMemory(memory):
                vm.memory = memory
                vm.running_memory = memory if live else vm.running_memory
            case GrowDisk(name, size):
                vm.disks[name].size = size
                self._dc.disk_changed(vm.instance, vm.disks[name])
            case AttachNIC(nic):
                vm.nics[nic.name] = observed_nic(nic)
            case DetachNIC(name):
                del vm.nics[name]
            case SetSeed(seed):
                vm.seed_digest, vm.guest = seed.digest, read_seed(seed)


def _check_grow(vm: VM, name: str, size: int) -> None:
    if name not in vm.disks:
        raise NotFound(f"VM {vm.instance} has no disk {name!r}", native_code="SIM_DISK_UNKNOWN")
    if size < vm.disks[name].size:
        raise InvalidSpec(f"disk {name!r} can't shrink", native_code="SIM_DISK_SMALL")


def in_effect(vm: VM, change: Change) -> bool:
    """Whether the next start would have it already, and a running VM too if it can."""
    match change:
        case SetCPUs(cpus):
            return vm.cpus == cpus
        case SetMemory(memory):
            return vm.memory == memory
        case GrowDisk(name, size):
            return name in vm.disks and vm.disks[name].size == size
        case AttachNIC(nic):
            return vm.nics.get(nic.name) == observed_nic(nic)
        case DetachNIC(name):
            return name not in vm.nics
        case SetSeed(seed):
            return vm.seed_digest == seed.digest
