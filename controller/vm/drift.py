"""What was changed behind our back."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.results import Result, failed, waiting
from controller.shared.deletion import listing
from controller.vm import job, report
from controller.vm.facets.nics import in_vain
from controller.vm.plan import awaits_guest, differences, field_of, is_on, moved_nics
from controller.vm.report import DRIFT, IN_SYNC, SYNCED
from controller.vm.translate import ROOT
from crds.v1alpha1.virtualmachine import DriftPolicy, PowerState, VirtualMachine
from drivers.types import (
    AttachNIC,
    AttachVolume,
    Change,
    DesiredVM,
    DetachNIC,
    DetachVolume,
    ObservedVM,
    Power,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
)

_CHANGED = "changed on the hypervisor: "
_HELD = (DRIFT, report.LAST_SEEN, report.UNPLUGGED, *report.LEFT_ALONE, *report.HALTED)
_LATER = "the declared is put back when the VM can be driven again"
_REMEDY = "change it back, change spec to match, or set driftPolicy Correct"


def power_drifted(ctx: Context[VirtualMachine], have: ObservedVM) -> Result | None:
    """A power state that was as declared and no longer is: reported, if that is the policy; else the plan corrects it.

    A job under way, or a spec that changed since, is no drift.
    """
    message = power_by_hand(ctx, have)
    if not message:
        return None
    ctx.event("Warning", "PowerStateDrift", message)
    if ctx.object.spec.drift_policy is not DriftPolicy.REPORT:
        return None
    ctx.conditions.set(SYNCED, False, DRIFT, message)
    return failed("PowerStateDrift", f"{message}; driftPolicy is Report", terminal=True)


def power_by_hand(ctx: Context[VirtualMachine], have: ObservedVM, rest: ObservedVM | None = None) -> str:
    """A power state that was as declared, for this very spec or when the VM came to `rest`, and no longer is; "" if it is."""
    vm = ctx.object
    if have.power is Power.UNKNOWN or _as_declared(vm, have) or job.current(vm) is not None:
        return ""
    if not _held(ctx, SYNCED) and not (rest and rest.power is not Power.UNKNOWN and _as_declared(vm, rest)):
        return ""
    return f"the VM is {have.power} on the hypervisor, declared is {vm.spec.power_state}"


def tell_power(ctx: Context[VirtualMachine], have: ObservedVM, by_hand: str) -> None:
    """Tell what was done by hand to the power of a VM that can't be driven; `have` is what it has come to since."""
    if by_hand:
        ctx.event("Warning", "PowerStateDrift", by_hand)
    if by_hand and not _as_declared(ctx.object, have):
        ctx.conditions.set(SYNCED, False, DRIFT, by_hand)
    elif have.power in (Power.ON, Power.OFF) and _as_declared(ctx.object, have) and job.current(ctx.object) is None:
        ctx.conditions.set(SYNCED, True, "AsDeclared")


def hardware_drift(ctx: Context[VirtualMachine], want: DesiredVM, have: ObservedVM, rest: ObservedVM | None = None) -> str:
    """What was changed by hand of CPU, memory, interfaces or volumes, in words; "" for nothing.

    Ask before the conditions are brought up to date. `rest`: what the VM rested on under this spec, see `controller.vm.rests`;
    where that is not known, one that was not ready has no drift. A Network that has another segment, a job under way, what the VM
    lacked when it came to rest, a field whose change waits for a restart, or memory that a guest lets go of when it reboots is
    none.
    """
    vm, coming = ctx.object, {each.field for each in ctx.object.status.pending_changes}
    if job.current(vm) is not None or not (rest or _was_ready(ctx)):
        return ""
    redeclared, awaited = _redeclared(want, have), differences(want, rest) if rest else []
    changes = [each for each in differences(want, have) if type(each) in _NAMES and not awaits_guest(each, have)]
    by_hand = [
        each for each in changes if _nic(each) not in redeclared and field_of(each, have) not in coming and each not in awaited
    ]
    named, nics = {_NAMES[type(each)] for each in by_hand}, {_nic(each) for each in by_hand}
    astray = [f"{name} is {where}" for name, where in moved_nics(have).items() if name in nics]
    astray += [told for name, told in report.in_the_air(have).items() if name in nics]
    return ", ".join(f"{each} ({listing(astray)})" if astray and each == _INTERFACES else each for each in sorted(named))


def known_drift(ctx: Context[VirtualMachine]) -> str:
    """What an earlier look under this spec has told of hardware that was changed by hand, "" for nothing."""
    told = ctx.conditions.get(IN_SYNC)
    if told is None or told.reason != DRIFT or told.observed_generation != ctx.object.metadata.generation:
        return ""
    return told.message.removeprefix(_CHANGED).partition(";")[0] if told.message.startswith(_CHANGED) else "hardware"


def _redeclared(want: DesiredVM, have: ObservedVM) -> frozenset[str]:
    """NICs whose Network has another segment than they were made with: nobody did that on the hypervisor."""
    made = {nic.name: (nic.network, nic.segment) for nic in have.nics}
    return frozenset(nic.name for nic in want.nics if nic.name in made and made[nic.name] != (nic.network, nic.segment))


def _nic(change: Change) -> str | None:
    match change:
        case AttachNIC(nic):
            return nic.name
        case DetachNIC(name):
            return name
        case _:
            return None


_INTERFACES = "interfaces"
_NAMES = {
    SetCPUs: "CPUs",
    SetMemory: "memory",
    SetDiskLimits: "disk limits",
    AttachNIC: _INTERFACES,
    DetachNIC: _INTERFACES,
    AttachVolume: "volumes",
    DetachVolume: "volumes",
}


def report_hardware(ctx: Context[VirtualMachine], have: ObservedVM, changed: str) -> Result | None:
    """Say so, beside what else was done by hand, and leave it; None if the policy is to put it right."""
    if ctx.object.spec.drift_policy is DriftPolicy.CORRECT:
        ctx.event("Warning", "HardwareDrift", f"{_CHANGED}{changed}; the declared is put back")
        return None
    return failed("HardwareDrift", leave_hardware(ctx, have, changed), terminal=True)


def leave_hardware(ctx: Context[VirtualMachine], have: ObservedVM, changed: str) -> str:
    """Say so, beside what else was done by hand, of what is left as it is, for good or until the VM can be driven. Returns what was
    said.
    """
    corrected = ctx.object.spec.drift_policy is DriftPolicy.CORRECT
    message = f"{_CHANGED}{changed}; {_LATER if corrected else _REMEDY}"
    ctx.event("Warning", "HardwareDrift", message)
    others = [each for each in report.amiss(ctx.object, have, ctx.store) if each[0] != report.UNPLUGGED]
    report.out_of_sync(ctx.conditions, [(DRIFT, message), *others])
    return message


def waits_for_network(want: DesiredVM, have: ObservedVM) -> Result | None:
    """Which NICs wait for their host to have their network again, to be put back there; None if none does.

    Nobody need look: what is seen of the host then wakes the VM.
    """
    lacking, told = {nic.name for nic in in_vain(want, have)}, report.in_the_air(have)
    if not lacking:
        return None
    return waiting("NetworkMissing", f"{listing([told[name] for name in sorted(lacking)])}; put back as soon as that is there")


def rootless(ctx: Context[VirtualMachine], have: ObservedVM) -> Result | None:
    """Why a VM whose root disk somebody took away is not well, whatever its power: it is not started either. None if it has it."""
    if ROOT in {disk.name for disk in have.disks} or ROOT not in {disk.name for disk in ctx.object.status.disks}:
        return None
    message = f"the disk {ROOT} was removed from the VM on the hypervisor: attach it there again, or delete the VM's object"
    if job.current(ctx.object):
        job.fail(ctx, message)
    return failed(report.DISK_MISSING, message, terminal=True)


def _as_declared(vm: VirtualMachine, seen: ObservedVM) -> bool:
    return is_on(seen) == (vm.spec.power_state is PowerState.ON)


def _was_ready(ctx: Context[VirtualMachine]) -> bool:
    return _held(ctx, IN_SYNC) and (ctx.conditions.is_true("Ready") or _found(ctx, DRIFT, report.DISK_MISSING))


def _held(ctx: Context[VirtualMachine], type: str) -> bool:
    """Whether the VM was as declared for this very spec, or was already found to have drifted from it.

    Devices do not count, nor that it is suspended: it had the power that was declared.
    """
    condition = ctx.conditions.get(type)
    if condition is None or condition.observed_generation != ctx.object.metadata.generation:
        return False
    return condition.status == "True" or condition.reason in _HELD


def _found(ctx: Context[VirtualMachine], *reasons: str) -> bool:
    condition = ctx.conditions.get(IN_SYNC)
    return condition is not None and condition.reason in reasons
