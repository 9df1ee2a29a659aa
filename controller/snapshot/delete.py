"""Deleting a snapshot: what still reads from it goes first, what was made from it stays."""

from __future__ import annotations

from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Requeue, Result, done, waiting
from controller.shared.deletion import FORCE_DELETE, blocked, forced
from controller.shared.lookups import qualified, restores_by_snapshot, volumes_by_snapshot
from controller.snapshot.ofvm import OfVM
from controller.snapshot.ofvolume import OfVolume
from crds.v1alpha1.snapshot import Snapshot

BLOCKED = "DeletionBlocked"
_RETRY = 15.0
_PASSING = {"VirtualMachineBusy", "VirtualMachineDeleting"}
"""Reasons to wait that end by themselves."""


async def delete(ctx: Context[Snapshot], sort: OfVM | OfVolume) -> Result:
    """Drive a deletion one step; the finalizer goes last."""
    if not ctx.has_finalizer:
        return done("Deleted")
    if forced(ctx):
        where = ctx.object.status.pool or ctx.object.status.host
        ctx.event("Warning", "ForceDeleted", f"given up by {FORCE_DELETE}: what is left on {where} is not removed")
    else:
        if used := blocked(ctx, _users(ctx)):
            return used
        if unfinished := await sort.remove(ctx):
            return _waits(ctx, unfinished)
    await ctx.remove_finalizer()
    return done("Deleted")


def _users(ctx: Context[Snapshot]) -> list[Key]:
    """Restores and new volumes that are reading from it now."""
    name = qualified(ctx.key.namespace, ctx.key.name)
    restores = [Key.of(each) for each in restores_by_snapshot.of(ctx.store, name) if jobs.running(each.status.job)]
    volumes = volumes_by_snapshot.of(ctx.store, name)
    return [*restores, *(Key.of(each) for each in volumes if each.status.volume_id is None and jobs.running(each.status.job))]


def _waits(ctx: Context[Snapshot], why: Result) -> Result:
    """A deletion that can't go on says so, and how to give up."""
    if isinstance(why, Requeue) or why.reason in _PASSING:
        ctx.conditions.remove(BLOCKED)
        return why
    message = f"{why.message}; annotate with {FORCE_DELETE}={ctx.uid} to give up what may be left there"
    ctx.conditions.set(BLOCKED, True, why.reason, message)
    return waiting(BLOCKED, message, retry_after=_RETRY)
