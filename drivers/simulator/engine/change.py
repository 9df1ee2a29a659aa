"""Changes to an existing VM: all of a call together or none."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.errors import Conflict, InvalidSpec, NotFound, Transient, Unsupported
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Capability,
    Change,
    DetachNIC,
    DetachVolume,
    DiskLimits,
    Done,
    GrowDisk,
    HostID,
    InstanceID,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    Started,
    VolumeID,
)

from .datacentre import Datacentre, Scope
from .guest import read_seed
from .interfaces import attach, detach, in_place, observed_nic, port_of
from .model import VM
from .modes import apply_mode
from .networks import require_place
from .observe import limits_of, observed_vm
from .power import used_memory
from .rules import check_attachment, check_limits, check_nic
from .volumes import attachable

__all__ = ["Changer"]


class Changer:
    """`apply` as `drivers.base.Compute` has it."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def apply(self, scope: Scope, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done | Started:
        """Apply changes. Raises NotFound, Conflict, InvalidSpec, Busy, Transient, Unsupported."""
        if any(isinstance(change, AttachVolume | DetachVolume) for change in changes) and not self._dc.has(Capability.VOLUMES):
            raise Unsupported(f"this endpoint lacks {Capability.VOLUMES}", native_code="SIM_UNSUPPORTED")
        for limits in map(_limits, changes):
            check_limits(limits, self._dc.settings.capabilities)
        vm = self._dc.idle_vm(host, instance)
        pending = self._pending(scope, vm, changes)
        if not pending:
            return Done()
        return self._dc.run("compute.apply", (host, instance), lambda: self._apply(scope, vm, changes))

    def _pending(self, scope: Scope, vm: VM, changes: Sequence[Change]) -> list[tuple[Change, ApplyMode]]:
        """Changes not in effect yet with their modes. Raises if any of them can't be made now."""
        assert vm.owner is not None
        observed = observed_vm(vm, vm.owner, self._dc.hosts[vm.host], self._dc.settings.capabilities)
        modes = [(change, apply_mode(change, observed, self._dc.settings.capabilities)) for change in changes]
        moded = [(change, mode) for change, mode in modes if not in_effect(vm, change, live=mode is ApplyMode.LIVE)]
        going = {change.name for change, _ in moded if isinstance(change, DetachNIC)}
        gone = {change.volume for change, _ in moded if isinstance(change, DetachVolume)}
        for change, mode in moded:
            self._check(vm, change, live=mode is ApplyMode.LIVE)
            _check_snapshots(vm, change)
            if isinstance(change, AttachNIC):
                _check_nic(vm, change, going)
            elif isinstance(change, AttachVolume):
                self._check_volume(scope, vm, change, gone)
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
            case AttachNIC(nic) if vm.has_power:
                require_place(host, nic.name, port_of(nic))
            case GrowDisk(name, size):
                _check_grow(vm, name, size)
            case SetDiskLimits(name) if name not in _names(vm):
                raise NotFound(f"VM {vm.instance} has no disk {name!r}", native_code="SIM_DISK_UNKNOWN")
            case _:
                pass

    def _check_volume(self, scope: Scope, vm: VM, change: AttachVolume, gone: set[VolumeID]) -> None:
        """Raises if the VM can't have this volume, even without those that are `gone` by then."""
        attachment = change.attachment
        check_attachment(attachment)
        taken = {attached.name for volume, attached in vm.volumes.items() if volume not in gone} | vm.disks.keys()
        if attachment.name in taken or attachment.volume in vm.volumes:
            raise Conflict(
                f"VM {vm.instance} has another disk {attachment.name!r}, or volume {attachment.volume} under another name",
                native_code="SIM_DISK_EXISTS",
            )
        attachable(self._dc, scope, vm.host, vm.instance, attachment)

    def _apply(self, scope: Scope, vm: VM, changes: Sequence[Change]) -> None:
        """Looks again at what is pending, because time has passed if this is the end of a task."""
        self._dc.vm(vm.host, vm.instance)
        for change, mode in self._pending(scope, vm, changes):
            self._make(scope, vm, change, live=mode is ApplyMode.LIVE)
        self._dc.vm_changed(vm)

    def _make(self, scope: Scope, vm: VM, change: Change, *, live: bool) -> None:
        match change:
            case SetCPUs(cpus):
                vm.cpus = cpus
                vm.running_cpus = cpus if live else vm.running_cpus
            case SetMemory(memory):
                _set_memory(vm, memory, live=live)
            case GrowDisk(name, size):
                vm.disks[name].size = size
                self._dc.disk_changed(vm.instance, vm.disks[name])
            case SetDiskLimits(name, limits):
                vm.limits[name] = limits
            case AttachNIC(nic):
                attach(vm, nic)
            case DetachNIC(name):
                detach(vm, name)
            case AttachVolume(attachment):
                vm.limits[attachment.name] = attachment.limits
                self._dc.attach(vm, attachment.name, attachable(self._dc, scope, vm.host, vm.instance, attachment))
            case DetachVolume(volume):
                vm.limits.pop(vm.volumes[volume].name, None)
                self._dc.detach(vm, volume)
            case SetSeed(seed):
                vm.seed_digest, vm.guest = seed.digest, read_seed(seed)


def _limits(change: Change) -> DiskLimits:
    match change:
        case SetDiskLimits(_, limits):
            return limits
        case AttachVolume(attachment):
            return attachment.limits
        case _:
            return DiskLimits()


def _names(vm: VM) -> set[str]:
    """Of its disks and volumes."""
    return vm.disks.keys() | {attached.name for attached in vm.volumes.values()}


def _check_nic(vm: VM, change: AttachNIC, going: set[str]) -> None:
    """Raises if the VM can't have this NIC, even without those that are `going`."""
    nic = change.nic
    check_nic(nic)
    others = [other for other in vm.nics.values() if other.name not in going and other != observed_nic(nic)]
    if any(nic.name == other.name or nic.mac == other.mac for other in others):
        raise Conflict(f"VM {vm.instance} has another NIC {nic.name!r} or {nic.mac}", native_code="SIM_NIC_EXISTS")


def _set_memory(vm: VM, memory: int, *, live: bool) -> None:
    """A guest may not take what it is given while it runs."""
    vm.memory, refused = memory, live and vm.has_power and vm.ignores_memory and memory > vm.running_memory
    if refused:
        vm.offered_memory = memory
    elif live:
        vm.running_memory, vm.offered_memory = memory, 0


def _check_snapshots(vm: VM, change: Change) -> None:
    """Raises for a change that would part a VM from its snapshots."""
    if vm.snapshots and isinstance(change, GrowDisk | AttachVolume | DetachVolume):
        raise Conflict(f"VM {vm.instance} has snapshots, which forbid {type(change).__name__}", native_code="SIM_VM_HAS_SNAPSHOTS")


def _check_grow(vm: VM, name: str, size: int) -> None:
    if name not in vm.disks:
        raise NotFound(f"VM {vm.instance} has no disk {name!r}", native_code="SIM_DISK_UNKNOWN")
    if vm.disks[name].pool.raw and size > vm.disks[name].size:
        raise InvalidSpec(f"disk {name!r} is in a volume group, where it can't grow", native_code="SIM_RAW")
    if size < vm.disks[name].size:
        raise InvalidSpec(f"disk {name!r} can't shrink", native_code="SIM_DISK_SMALL")


def in_effect(vm: VM, change: Change, *, live: bool) -> bool:
    """Whether the next start would have it already, and a running VM too if it can: one that was restored with its memory runs
    with the size of then.
    """
    running = live and vm.has_power
    match change:
        case SetCPUs(cpus):
            return vm.cpus == cpus and not (running and vm.running_cpus != cpus)
        case SetMemory(memory):
            return vm.memory == memory and not (running and vm.running_memory != memory)
        case GrowDisk(name, size):
            return name in vm.disks and vm.disks[name].size == size
        case SetDiskLimits(name, limits):
            return name in _names(vm) and limits_of(vm, name) == limits
        case AttachNIC(nic):
            return in_place(vm, nic)
        case DetachNIC(name):
            return name not in vm.nics
        case AttachVolume(attachment):
            there = vm.volumes.get(attachment.volume)
            return there is not None and there.name == attachment.name
        case DetachVolume(volume):
            return volume not in vm.volumes
        case SetSeed(seed):
            return vm.seed_digest == seed.digest
