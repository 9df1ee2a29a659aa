"""Snapshots of Volumes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from controller.inventory import HostLink
from controller.ipam import snapshot_id, volume_id
from controller.placing.attachments import User
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, done, failed, requeue, waiting
from controller.shared import holds, operation
from controller.shared.deletion import listing
from controller.shared.translate import has_files, keeps_snapshots, pool_spec
from controller.snapshot.services import LOOKS, Command, Services, as_it_was, desired, followed, lost, no_room, readers
from crds.fields import Quantity, Timestamp
from crds.status import Job
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume, VolumeState
from drivers.types import Capability, Power, VolumeSnapshot

_SHARED_LOOK = 60.0
"""How old, in seconds, an answer about a pool may be that other snapshots asked for."""


class OfVolume:
    """Takes and removes snapshots of volumes. Each is a content of its own in the volume's pool, and outlives the volume."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looked: dict[str, float] = {}

    def forget(self, uid: str) -> None:
        """The snapshot is gone."""
        self._looked.pop(uid, None)

    async def drive(self, ctx: Context[Snapshot]) -> Result:
        """Have the snapshot taken, once, and look now and then whether it is still there."""
        status = ctx.object.status
        if status.created_at is not None and operation.current(ctx) is None and not self._due(ctx):
            return done("Ready", recheck_after=LOOKS)
        if status.pool is None and ctx.has_finalizer and (elsewhere := await self._find(ctx)):
            return elsewhere
        volume = _volume(ctx)
        name = status.pool or (volume.status.pool if volume else None)
        if name is None:
            return self._unready(ctx, volume) or waiting(
                "VolumeNotReady", f"volume {ctx.object.spec.volume} is in no storage pool yet"
            )
        place = self._place(ctx, name, volume)
        return await self._at(ctx, volume, *place) if isinstance(place, tuple) else as_it_was(ctx, place)

    async def remove(self, ctx: Context[Snapshot]) -> Result | None:
        """Remove the snapshot from its pool; None once nothing is left."""
        if ctx.object.status.pool is None and (unseen := await self._find(ctx)):
            return unseen
        name = ctx.object.status.pool
        if name is None:
            return None
        place = self._place(ctx, name, None)
        if not isinstance(place, tuple):
            return place
        pool, link = place
        if unfinished := await followed(ctx, self._services.calls, link):
            return unfinished
        ctx.object.status.host, first = link.name, operation.current(ctx) is None
        job = await operation.begin(ctx, Command.DELETE_OF_VOLUME, SnapshotState.DESTROYING, self._services.new_id)
        if first and (used := readers(ctx)):
            ctx.object.status.state = SnapshotState.BACKED_UP
            return operation.let_pass(ctx, job, f"{listing(used)} began to read from it")
        remove = partial(link.volumes.delete_snapshot, pool_spec(pool), snapshot_id(ctx.uid))
        return await operation.call(ctx, self._services.calls, link, job, remove)

    async def _at(self, ctx: Context[Snapshot], volume: Volume | None, pool: StoragePool, link: HostLink) -> Result:
        if unfinished := await followed(ctx, self._services.calls, link):
            return unfinished
        for attempt in (1, 2):
            if ctx.has_finalizer and (found := await self._look(ctx, link, pool)):
                return self._taken(ctx, pool, link, found)
            if ctx.object.status.created_at is not None:
                return lost(ctx, "SnapshotMissing", f"deleted in storage pool {pool.metadata.name} on the hypervisor")
            if volume is None or ctx.object.status.source_id not in (None, volume_id(volume.metadata.uid)):
                return lost(ctx, "SourceGone", f"volume {ctx.object.spec.volume} was deleted before the snapshot was taken")
            if attempt == 1 and (unfinished := await self._take(ctx, volume, pool, link)):
                return unfinished
        return requeue(operation.RETRY, "NotThereYet", "taken, but the hypervisor does not show it yet")

    async def _take(self, ctx: Context[Snapshot], volume: Volume, pool: StoragePool, link: HostLink) -> Result | None:
        """Take it, when nothing forbids it at this moment; what is asked for again after a crash was allowed before."""
        status = ctx.object.status
        first = operation.current(ctx) is None
        if first and (not_now := self._not_now(ctx, volume, link)):
            status.state = SnapshotState.ALLOCATED
            return not_now
        status.snapshot_id, status.source_id = snapshot_id(ctx.uid), volume_id(volume.metadata.uid)
        status.pool, status.host = pool.metadata.name, link.name
        job = await operation.begin(ctx, Command.CREATE_OF_VOLUME, SnapshotState.CREATING, self._services.new_id)
        await ctx.add_finalizer()
        if contended := self._contended(ctx, volume, link, job, first=first):
            status.state = SnapshotState.ALLOCATED if operation.current(ctx) is None else status.state
            return contended
        source = volume_id(volume.metadata.uid)
        copy = partial(link.volumes.snapshot, pool_spec(pool), source, desired(ctx.object))
        return await operation.call(ctx, self._services.calls, link, job, copy)

    def _place(self, ctx: Context[Snapshot], name: str, volume: Volume | None) -> tuple[StoragePool, HostLink] | Result:
        """The pool, and the host to call: the one whose task runs, the one whose VM has the volume, or any that has the pool.

        While a VM may write to the volume, only its own host knows what is in it.
        """
        pool = ctx.store.get(StoragePool, name)
        if pool is None:
            return waiting("PoolNotFound", f"storage pool {name} does not exist", retry_after=operation.RETRY)
        job, reach = operation.current(ctx), self._services.reach
        if job is not None and (job.native_ref or self._services.calls.under_way(ctx.uid)) and ctx.object.status.host:
            link = reach.host(ctx.object.status.host)
        elif ctx.object.status.created_at is None and volume and (users := self._services.attachments.having(volume)):
            link = self._through(users)
        else:
            link = reach.pool(name, ctx.object.status.host)
        return (pool, link) if isinstance(link, HostLink) else link

    def _through(self, users: Sequence[User]) -> HostLink | Result:
        hosts = {user.host for user in users}
        if len(hosts) == 1 and all(hosts):
            return self._services.reach.host(hosts.pop())
        message = f"the volume may be on {listing([user.key for user in users])}, where nobody can look now"
        return waiting("HostsNotObserved", message, retry_after=operation.RETRY)

    def _contended(self, ctx: Context[Snapshot], volume: Volume, link: HostLink, job: Job, *, first: bool) -> Result | None:
        """Who has begun to work on the volume, or has got it on another host, while our job was being written."""
        volume = ctx.store.get(Volume, volume.metadata.name, volume.metadata.namespace) or volume
        users = self._services.attachments.having(volume)
        if elsewhere := [user.key for user in users if user.host != link.name]:
            return operation.let_pass(ctx, job, f"the volume came to {listing(elsewhere)} meanwhile")
        having = [vm.status.job for user in users if (vm := self._services.attachments.declared(user))]
        hold = holds.on_volume(ctx.store, volume, [user.key for user in users], besides=ctx.key)
        return operation.contended(ctx, job, first=first, theirs=[volume.status.job, *having], hold=hold)

    async def _find(self, ctx: Context[Snapshot]) -> Result | None:
        """Look for a snapshot whose status is lost in every pool; its pool is in the status then, or it provably is nowhere.

        The pool is written before the finalizer: one with a finalizer and without a pool has lost its status.
        """
        unseen: list[str] = []
        for pool in filter(has_files, ctx.store.list(StoragePool)):
            link = self._services.reach.pool(pool.metadata.name, None)
            if not isinstance(link, HostLink):
                unseen.append(pool.metadata.name)
            elif await self._look(ctx, link, pool):
                ctx.object.status.pool = pool.metadata.name
                return None
        if not unseen:
            return None
        message = f"the snapshot may be in {len(unseen)} storage pools that no host has ready: {', '.join(unseen[:5])}"
        return waiting("PoolsNotObserved", message, retry_after=operation.RETRY)

    async def _look(self, ctx: Context[Snapshot], link: HostLink, pool: StoragePool) -> VolumeSnapshot | None:
        older_than = 0.0 if ctx.object.status.created_at is None else _SHARED_LOOK
        contents = await self._services.contents.read(link, pool_spec(pool), older_than=older_than)
        self._looked[ctx.uid] = ctx.clock.monotonic()
        return next((each for each in contents.snapshots if each.snapshot == snapshot_id(ctx.uid)), None)

    def _taken(self, ctx: Context[Snapshot], pool: StoragePool, link: HostLink, found: VolumeSnapshot) -> Result:
        """One found without a status gets its object's own time, which is the latest that is known to be before."""
        status = ctx.object.status
        if status.created_at is None:
            job = operation.current(ctx)
            status.created_at = (job.started_at if job else None) or Timestamp(ctx.object.metadata.creation_timestamp)
            ctx.event("Normal", "Taken", f"of volume {ctx.object.spec.volume} in storage pool {pool.metadata.name}")
        status.snapshot_id, status.size, status.memory = found.snapshot, Quantity.of(found.size), False
        status.pool, status.host = pool.metadata.name, link.name
        operation.finish(ctx)
        status.state = SnapshotState.BACKED_UP
        return done("Ready", recheck_after=LOOKS)

    def _unready(self, ctx: Context[Snapshot], volume: Volume | None) -> Result | None:
        """What a snapshot of the volume waits for."""
        name = ctx.object.spec.volume
        if volume is None:
            return waiting("VolumeNotFound", f"volume {name} does not exist")
        if volume.deleting:
            return waiting("VolumeNotReady", f"volume {name} is being deleted")
        if volume.status.state != VolumeState.READY:
            return waiting("VolumeNotReady", f"volume {name} is {volume.status.state or 'not processed yet'}")
        job = volume.status.job
        if job is not None and jobs.running(job):
            return waiting("VolumeBusy", f"volume {name} is being worked on: {job.command}")
        hold = holds.on_volume(ctx.store, volume, self._services.attachments.users(volume), besides=ctx.key)
        # its end wakes this one, unless the volume's VM has lost its object meanwhile
        return waiting("VolumeBusy", f"volume {name}: {hold}", retry_after=operation.RETRY) if hold else None

    def _not_now(self, ctx: Context[Snapshot], volume: Volume, link: HostLink) -> Result | None:
        return self._unready(ctx, volume) or self._forbidden(ctx, volume, link) or no_room(ctx, self._services.refusals)

    def _forbidden(self, ctx: Context[Snapshot], volume: Volume, link: HostLink) -> Result | None:
        """What the VMs that have the volume keep from being done; `link` is their host then."""
        if volume.spec.lun is not None:
            message = f"volume {volume.metadata.name} is a LUN: only its storage server can take snapshots of it"
            return failed("SnapshotsUnsupported", message, terminal=True)
        pool = ctx.store.get(StoragePool, volume.status.pool or "")
        if pool is not None and not keeps_snapshots(pool):
            message = (
                f"volume {volume.metadata.name} is in storage pool {pool.metadata.name}, of whose volumes there are no snapshots"
            )
            return failed("SnapshotsUnsupported", message, terminal=True)
        if Capability.VOLUME_SNAPSHOTS not in link.capabilities:
            message = f"host {link.name} can't take snapshots of volumes"
            return failed("SnapshotsUnsupported", message, terminal=True)
        for user in self._services.attachments.having(volume):
            vm, have = self._services.attachments.declared(user), link.known(user.instance)
            job = vm.status.job if vm else None
            if job is not None and jobs.running(job):
                message = f"VM {user.key.name}, which has the volume, is being worked on: {job.command}"
                return waiting("VirtualMachineBusy", message, retry_after=operation.RETRY)
            if Capability.VOLUME_SNAPSHOT_LIVE not in link.capabilities and have is not None and have.power is not Power.OFF:
                text = f"host {link.name} takes snapshots of the volumes of stopped VMs only: stop VM {user.key.name} first"
                return failed("VirtualMachineRunning", text, terminal=True)
        return None

    def _due(self, ctx: Context[Snapshot]) -> bool:
        """Whether it is time to look whether the snapshot is there; not at the start, when all would be looked at."""
        if ctx.object.status.state == SnapshotState.ERROR:
            return True
        now = ctx.clock.monotonic()
        return now - self._looked.setdefault(ctx.uid, now) >= LOOKS


def _volume(ctx: Context[Snapshot]) -> Volume | None:
    return ctx.store.get(Volume, ctx.object.spec.volume or "", ctx.key.namespace)
