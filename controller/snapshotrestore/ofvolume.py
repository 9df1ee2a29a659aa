"""Bringing a Volume back to one of its snapshots."""

from __future__ import annotations

from functools import partial

from controller.inventory import HostLink
from controller.ipam import snapshot_id, volume_id
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, waiting
from controller.shared import holds, operation
from controller.shared.deletion import listing
from controller.shared.lookups import qualified, vms_by_volume
from controller.shared.translate import pool_spec
from controller.snapshotrestore.ending import Command, Services, completed, followed, given_up, pending
from crds.status import Job
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.snapshotrestore import RestoreState, SnapshotRestore
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume

_HELD = 2.0


class OfVolume:
    """The volume is on no VM meanwhile, and nobody else works on it. The hypervisor remembers with it which requests took
    effect, by our uid: a call that comes late, when somebody has written to the volume again, does nothing.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._attachments = services.attachments

    async def drive(self, ctx: Context[SnapshotRestore], snapshot: Snapshot) -> Result:
        """Restore when nothing forbids it, and follow it to its end."""
        volume = ctx.store.get(Volume, snapshot.spec.volume or "", ctx.key.namespace)
        if volume is None or volume_id(volume.metadata.uid) != snapshot.status.source_id:
            message = f"volume {snapshot.spec.volume} was deleted; make a new one from the snapshot (spec.source.snapshot)"
            return given_up(ctx, "SourceGone", message)
        name = snapshot.status.pool or ""
        pool = ctx.store.get(StoragePool, name)
        if pool is None:
            return pending(ctx, waiting("PoolNotFound", f"storage pool {name} does not exist", retry_after=_HELD))
        link = self._link(ctx, name, volume)
        if not isinstance(link, HostLink):
            return pending(ctx, link)
        if unfinished := await followed(ctx, self._services.calls, link):
            return unfinished
        job = operation.current(ctx)
        if job is not None and job.phase == operation.ENDED:
            return completed(ctx)
        return await self._restore(ctx, snapshot, volume, pool, link)

    def _link(self, ctx: Context[SnapshotRestore], pool: str, volume: Volume) -> HostLink | Result:
        """The host that is at work on it, or any that has the pool; the one that the volume was made through first."""
        job, reach, host = operation.current(ctx), self._services.reach, ctx.object.status.host
        if job is not None and (job.native_ref or self._services.calls.under_way(ctx.uid)) and host:
            return reach.host(host)
        return reach.pool(pool, volume.status.host)

    async def _restore(
        self, ctx: Context[SnapshotRestore], snapshot: Snapshot, volume: Volume, pool: StoragePool, link: HostLink
    ) -> Result:
        first = operation.current(ctx) is None
        if first and (not_now := self._not_now(ctx, volume)):
            return pending(ctx, not_now)
        ctx.object.status.host = link.name
        job = await operation.begin(ctx, Command.VOLUME, RestoreState.REVERTING, self._services.new_id)
        await ctx.add_finalizer()
        if contended := self._contended(ctx, volume, job, first=first):
            return pending(ctx, contended)
        identity, content = volume_id(volume.metadata.uid), snapshot_id(snapshot.metadata.uid)
        bring_back = partial(link.volumes.restore, pool_spec(pool), identity, content, ctx.uid)
        return await operation.call(ctx, self._services.calls, link, job, bring_back) or completed(ctx)

    def _contended(self, ctx: Context[SnapshotRestore], volume: Volume, job: Job, *, first: bool) -> Result | None:
        """Who has got the volume while our job was being written, or before a repeated call: a VM must not lose what it writes.

        A VM that only names it does not have it: it writes down that it is about to, then looks for our job, and waits. One that
        has got it before our first call lets us wait like one that had it before; later nobody knows what the call has done.
        """
        name = volume.metadata.name
        volume = ctx.store.get(Volume, name, ctx.key.namespace) or volume
        if users := self._attachments.users(volume):
            why = f"volume {name} was attached to {listing(users)} meanwhile"
            return operation.let_pass(ctx, job, why) if first else given_up(ctx, "VolumeAttached", why)
        hold = holds.on_volume(ctx.store, volume, (), besides=ctx.key)
        return operation.contended(ctx, job, first=first, theirs=[volume.status.job], hold=hold)

    def _not_now(self, ctx: Context[SnapshotRestore], volume: Volume) -> Result | None:
        name = volume.metadata.name
        if volume.deleting:
            return failed("VolumeDeleting", f"volume {name} is being deleted", terminal=True)
        users = {*self._attachments.users(volume), *vms_by_volume.keys(ctx.store, qualified(ctx.key.namespace, name))}
        if users:
            text = f"volume {name} is attached to {listing(sorted(users))}: remove it from spec.volumes first"
            return failed("VolumeAttached", text, terminal=True)
        job = volume.status.job
        if job is not None and jobs.running(job):
            return waiting("VolumeBusy", f"volume {name} is being worked on: {job.command}", retry_after=_HELD)
        hold = holds.on_volume(ctx.store, volume, (), besides=ctx.key)
        return waiting("VolumeBusy", f"volume {name}: {hold}", retry_after=_HELD) if hold else None
