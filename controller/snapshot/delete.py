"""Deleting a snapshot: what still reads from it goes first, what was made from it stays."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.results import Requeue, Result, done, waiting
from controller.shared import operation
from controller.shared.deletion import FORCE_DELETE, blocked, forced
from controller.snapshot.ofvm import OfVM
from controller.snapshot.ofvolume import OfVolume
from controller.snapshot.services import readers
from crds.v1alpha1.snapshot import Snapshot

BLOCKED = "DeletionBlocked"
_PASSING = {"Busy", "VirtualMachineBusy", "VirtualMachineDeleting"}
"""Reasons to wait that end by themselves."""


async def delete(ctx: Context[Snapshot], sort: OfVM | OfVolume) -> Result:
    """Drive a deletion one step; the finalizer goes last."""
    if not ctx.has_finalizer:
        return done("Deleted")
    if forced(ctx):
        where = ctx.object.status.pool or ctx.object.status.host
        ctx.event("Warning", "ForceDeleted", f"given up by {FORCE_DELETE}: what is left on {where} is not removed")
    else:
        if used := blocked(ctx, readers(ctx)):
            return used
        if unfinished := await sort.remove(ctx):
            return waits(ctx, unfinished)
    await ctx.remove_finalizer()
    return done("Deleted")


def waits(ctx: Context[Snapshot], why: Result) -> Result:
    """A deletion that can't go on says so, and how to give up."""
    if isinstance(why, Requeue) or why.reason in _PASSING:
        ctx.conditions.remove(BLOCKED)
        return why
    message = f"{why.message}; annotate with {FORCE_DELETE}={ctx.uid} to give up what may be left there"
    ctx.conditions.set(BLOCKED, True, why.reason, message)
    return waiting(BLOCKED, message, retry_after=operation.RETRY)
