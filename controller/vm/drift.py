"""What was changed behind our back."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.results import Result, failed
from controller.vm import job
from controller.vm.plan import is_on
from crds.v1alpha1.virtualmachine import DriftPolicy, PowerState, VirtualMachine
from drivers.types import ObservedVM, Power

SYNCED = "PowerStateSynced"


def power_drifted(ctx: Context[VirtualMachine], have: ObservedVM) -> Result | None:
    """A power state that was as declared and no longer is: reported, if that is the policy; else the plan corrects it.

    A job under way, or a spec that changed since, is no drift.
    """
    vm = ctx.object
    if have.power is Power.UNKNOWN or is_on(have) == (vm.spec.power_state is PowerState.ON):
        return None
    if job.current(vm) is not None or not _was_synced(ctx):
        return None
    message = f"the VM is {have.power} on the hypervisor, declared is {vm.spec.power_state}"
    ctx.event("Warning", "PowerStateDrift", message)
    if vm.spec.drift_policy is DriftPolicy.CORRECT:
        return None
    ctx.conditions.set(SYNCED, False, "Drift", message)
    return failed("PowerStateDrift", f"{message}; driftPolicy is Report", terminal=True)


def _was_synced(ctx: Context[VirtualMachine]) -> bool:
    condition = ctx.conditions.get(SYNCED)
    if condition is None or condition.observed_generation != ctx.object.metadata.generation:
        return False
    return condition.status == "True" or condition.reason == "Drift"
