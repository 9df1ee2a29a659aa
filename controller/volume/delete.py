"""Deleting a volume: never one that a VM has, never anything else."""

from __future__ import annotations

from controller.inventory import HostLink
from controller.ipam import volume_id
from controller.placing.attachments import User
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Failed, Result, done, failed, requeue, waiting
from controller.shared import operation
from controller.shared.deletion import FORCE_DELETE, forced, listing
from controller.shared.translate import pool_spec
from controller.volume import job
from controller.volume.home import Home
from controller.volume.job import Command
from controller.volume.reach import Reach, show_attachment
from controller.volume.services import Services
from controller.volume.steps import Steps
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import DeletionPolicy
from crds.v1alpha1.volume import Volume, VolumeState
from drivers.errors import Conflict
from drivers.types import Started

BLOCKED = "DeletionBlocked"
_POLL = 1.0


class Deletion:
    """Removes volumes from pools, then lets their objects go."""

    def __init__(self, services: Services, home: Home, reach: Reach, steps: Steps) -> None:
        self._services = services
        self._home = home
        self._reach = reach
        self._steps = steps

    async def run(self, ctx: Context[Volume]) -> Result:
        """Drive a deletion one step; the finalizer goes last."""
        if not ctx.has_finalizer:
            return done("Deleted")
        show_attachment(ctx, self._services)
        if forced(ctx):
            ctx.event("Warning", "ForceDeleted", f"given up by {FORCE_DELETE}: what is left in pool {ctx.object.status.pool} stays")
            return await _let_go(ctx)
        if used := await self._used(ctx):
            return used
        if ctx.object.spec.lun is not None:
            ctx.event("Normal", "LetGo", f"LUN {ctx.object.spec.lun} of storage pool {ctx.object.spec.pool} stays as it is")
            return await _let_go(ctx)
        if ctx.object.spec.deletion_policy is DeletionPolicy.RETAIN:
            ctx.event("Normal", "Retained", f"left in storage pool {ctx.object.status.pool} as {ctx.object.status.volume_id}")
            return await _let_go(ctx)
        pool = self._home.known(ctx) or await self._home.find(ctx)
        if pool is None:
            return await _let_go(ctx)
        if isinstance(pool, Result):
            return _unreachable(ctx, pool)
        link = self._reach.link(ctx, pool)
        return _unreachable(ctx, link) if isinstance(link, Result) else await self._remove(ctx, link, pool)

    async def _remove(self, ctx: Context[Volume], link: HostLink, pool: StoragePool) -> Result:
        ctx.conditions.remove(BLOCKED)
        before = job.current(ctx.object)
        unfinished = await self._steps.follow(ctx, link)  # what still makes the volume would leave it behind
        if isinstance(unfinished, Failed) and before is not None and before.command == Command.DELETE:
            return failed(unfinished.reason, unfinished.message, retry_after=operation.RETRY)
        if unfinished is not None and not isinstance(unfinished, Failed):
            return unfinished
        ctx.object.status.host = link.name
        running = await job.begin(ctx, Command.DELETE, self._services, VolumeState.EXPUNGING)
        if isinstance(running, Result):
            return running
        try:
            outcome = await link.volumes.delete(pool_spec(pool), volume_id(ctx.uid))
        except Conflict as error:
            return _blocked(ctx, "InUse", str(error))
        if isinstance(outcome, Started):
            jobs.started(running, outcome.op)
            await ctx.save("Expunging", "the hypervisor is removing the volume")
            return requeue(_POLL, "Expunging", "the hypervisor is removing the volume")
        return await _let_go(ctx)

    async def _used(self, ctx: Context[Volume]) -> Result | None:
        """How the deletion waits for the VMs that have the volume; None if none has."""
        users = self._services.attachments.having(ctx.object)
        if not users:
            ctx.conditions.remove(BLOCKED)
            return None
        if ctx.object.status.volume_id is not None:
            ctx.object.status.state = VolumeState.READY
        for user in users:
            if self._services.attachments.declared(user) is None:
                return await self._left(ctx, user)
        named = listing([user.key for user in users])
        return _blocked(ctx, "InUse", f"attached to {named}: remove it from spec.volumes, or delete the VM")

    async def _left(self, ctx: Context[Volume], user: User) -> Result:
        """How the deletion waits for a VM that has no object any more."""
        link, was = self._services.inventory.link(user.host), f"VM {user.key.name}, whose object is gone"
        if link is None or not link.up:
            return _unreachable(ctx, waiting("HostsNotObserved", f"{was}, may have it on host {user.host}, which does not answer"))
        seen = await link.observe(user.instance)  # nobody else looks at it: there is no object to wake
        if seen is None:
            return waiting(BLOCKED, f"host {user.host} no longer has {was}", retry_after=_POLL)
        where = f"left on host {user.host} as {seen.name}"
        return _unreachable(ctx, waiting("InUse", f"attached to {was}, {where}: detach it there"))


def _blocked(ctx: Context[Volume], reason: str, message: str) -> Result:
    ctx.conditions.set(BLOCKED, True, reason, message)
    return waiting(BLOCKED, message, retry_after=operation.RETRY)


def _unreachable(ctx: Context[Volume], why: Result) -> Result:
    return _blocked(ctx, why.reason, f"{why.message}; annotate with {FORCE_DELETE}={ctx.uid} to give up what may be left there")


async def _let_go(ctx: Context[Volume]) -> Result:
    await ctx.remove_finalizer()
    return done("Deleted")
