"""The job slot of a VM and the CloudStack commands that fill it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.shared.holds import keep_vm, on_vm
from controller.shared.operation import fail as fail
from controller.shared.operation import finish as finish
from controller.shared.operation import now
from crds.status import Job
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState

_HELD_LOOKS = 1.0


class Command(StrEnum):
    """CloudStack's names of the operations on a VM (its API reference, "Virtual Machine")."""

    DEPLOY = "DeployVirtualMachine"
    START = "StartVirtualMachine"
    STOP = "StopVirtualMachine"
    REBOOT = "RebootVirtualMachine"
    UPDATE = "UpdateVirtualMachine"
    SCALE = "ScaleVirtualMachine"
    ATTACH = "AttachVolume"
    DETACH = "DetachVolume"
    DESTROY = "DestroyVirtualMachine"
    IMPORT = "ImportUnmanagedInstance"
    UNMANAGE = "UnmanageVirtualMachine"


async def ensure(
    ctx: Context[VirtualMachine], command: Command, new_id: Callable[[], str], state: VirtualMachineState | None = None
) -> Job:
    """Have a job of this command under way and written down before the hypervisor is called.

    A deployment or restart goes on through the stops and starts that it consists of. `state` is the transitional state to show.
    Raises ApiError: the caller must not go on.
    """
    job = current(ctx.object)
    if job is None or not _continues(job.command, command):
        if job is not None:
            jobs.cancelled(job, ctx.conditions, at=now(ctx), text=f"replaced by {command}")
        job = jobs.begin(Job, ctx.conditions, id=new_id(), command=command, at=now(ctx))
        ctx.object.status.job = job
        if state is not None:
            ctx.object.status.state = state
        await ctx.save(state or "Updating", f"{command} is under way")
    return job


async def begin(
    ctx: Context[VirtualMachine], command: Command, new_id: Callable[[], str], state: VirtualMachineState | None = None
) -> Job | Result:
    """The same as `ensure`, unless somebody began to work on the VM while that was written: then the job ends before it does
    anything, and the result says who. Whoever works on VMs looks for jobs after their own mark: one of the two sees the other.
    """
    before = ctx.object.status.state
    job = await ensure(ctx, command, new_id, state)
    if keep_vm(ctx) is None or (hold := on_vm(ctx.store, ctx.object)) is None:
        return job
    if job.native_ref is None:
        jobs.cancelled(job, ctx.conditions, at=now(ctx), text=str(hold))
    if hold.restoring:
        return waiting("Restoring", str(hold), retry_after=_HELD_LOOKS)
    ctx.object.status.state = before
    return waiting("SnapshotUnderWay", str(hold), retry_after=_HELD_LOOKS)


def current(vm: VirtualMachine) -> Job | None:
    """The job under way, None if there is none."""
    return vm.status.job if jobs.running(vm.status.job) else None


def elapsed(ctx: Context[VirtualMachine], job: Job) -> float:
    """Seconds since the job began."""
    if job.started_at is None:
        return 0.0
    return (ctx.clock.now() - job.started_at.datetime).total_seconds()


def _continues(running: str, wanted: Command) -> bool:
    changes = {Command.UPDATE, Command.SCALE, Command.ATTACH, Command.DETACH}
    whole = {Command.DEPLOY: {Command.START}, Command.REBOOT: {Command.START, Command.STOP, *changes}}
    return running == wanted or wanted in whole.get(Command(running) if running in set(Command) else wanted, set())
