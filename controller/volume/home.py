"""Which pool a volume is in, or goes to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from controller.ipam import volume_id
from controller.placing.attachments import WAIT_FOR_CONSUMER
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, waiting
from controller.scheduler import PoolScope, Reason
from controller.scheduler.report import show_size
from controller.shared.lookups import pools_by_zone
from controller.shared.lunpools import only_luns
from controller.shared.translate import has_files, has_volumes, pool_spec
from controller.volume.reach import Reach
from controller.volume.services import Services
from controller.volume.source import Source
from crds.fields import Quantity
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume
from drivers.types import ObservedVolume

_ROOM_LOOKS = 30.0
_HOST_LOOKS = 5.0


class Home:
    """Finds the pool of a volume: from its status, in the pools themselves, or by choosing one."""

    def __init__(self, services: Services, reach: Reach) -> None:
        self._services = services
        self._reach = reach

    def known(self, ctx: Context[Volume]) -> StoragePool | Result | None:
        """The pool that the status names; None if it names none, or one that is gone before anything was made there."""
        name = ctx.object.status.pool
        if name is None:
            return None
        pool = ctx.store.get(StoragePool, name)
        if pool is not None:
            return pool
        if ctx.has_finalizer:
            return waiting("PoolNotFound", f"storage pool {name}, which the volume is in, does not exist")
        ctx.object.status.pool = None
        self._services.rooms.release(ctx.uid)
        return None

    async def find(self, ctx: Context[Volume]) -> StoragePool | Result | None:
        """Look for a volume whose status is lost in every pool that may have it; None if it provably is nowhere.

        Pool and job are written before the finalizer: one with a finalizer and without a pool has lost its status.
        """
        unseen: list[str] = []
        for pool in self._in_question(ctx):
            link = self._reach.link(ctx, pool)
            if isinstance(link, Result):
                unseen.append(pool.metadata.name)
                continue
            contents = await self._services.contents.read(link, pool_spec(pool))
            found = next((each for each in contents.volumes if each.volume == volume_id(ctx.uid)), None)
            if found is not None:
                self._take_over(ctx, pool, link.name, found)
                return pool
        if not unseen:
            return None
        message = f"the volume may be in {len(unseen)} storage pools that no host has ready: {', '.join(unseen[:5])}"
        return waiting("PoolsNotObserved", message, retry_after=_HOST_LOOKS)

    def choose(self, ctx: Context[Volume], source: Source) -> StoragePool | Result:
        """A pool with the room, which is taken at once: the pinned one, the source's, one that all VMs of the zone reach, or else
        one of the host that the first VM which names the volume is on.
        """
        volume = ctx.object
        pinned = volume.spec.pool or source.pool
        if volume.spec.pool and source.pool and volume.spec.pool != source.pool:
            message = f"the snapshot is in storage pool {source.pool}: the volume can't be made in {volume.spec.pool}"
            return failed("SourceInOtherPool", message, terminal=True)
        name = self._pinned(ctx, pinned, source) if pinned else self._fitting(ctx)
        if not isinstance(name, str):
            return name
        pool = ctx.store.get(StoragePool, name)
        if pool is None:
            return waiting("PoolNotFound", f"storage pool {name} does not exist")
        self._services.rooms.reserve(ctx.uid, name, volume.spec.size.bytes)
        volume.status.pool = name
        return pool

    async def give_back(self, ctx: Context[Volume]) -> bool:
        """Give a pool back that turned out to have no room for a volume that is not made yet, so that it may go to another one.

        Not one that was asked for. Nobody may be making it there: all is as before the pool was chosen.
        """
        spec, status = ctx.object.spec, ctx.object.status
        if spec.pool or (spec.source and spec.source.snapshot):
            return False
        await ctx.remove_finalizer()
        status.pool, status.host = None, None
        self._services.rooms.release(ctx.uid)
        return True

    def _pinned(self, ctx: Context[Volume], name: str, source: Source) -> str | Result:
        pool, zone = ctx.store.get(StoragePool, name), ctx.object.spec.zone
        if pool is None:
            return waiting("PoolNotFound", f"storage pool {name} does not exist")
        if pool.spec.zone != zone:
            return failed("PoolNotInZone", f"storage pool {name} is in zone {pool.spec.zone}, the volume in {zone}", terminal=True)
        if not has_volumes(pool):
            message = f"storage pool {name} has LUNs only: apply the volume anew with one of them as lun, or with another pool"
            return failed("LUNNotNamed", message, terminal=True)
        if not has_files(pool) and source != Source():
            message = (
                f"volumes in storage pool {name}, of type {pool.spec.type}, are made empty: apply the volume anew without source"
            )
            return failed("SourceNotPossible", message, terminal=True)
        if pool.deleting:
            return waiting("PoolNotReady", f"storage pool {name} is being deleted")
        return lacking(self._services, ctx, name) or name

    def _fitting(self, ctx: Context[Volume]) -> str | Result:
        spec, rooms = ctx.object.spec, self._services.rooms
        tags, size = frozenset(spec.tags), spec.size.bytes
        full = rooms.refusals.pools(ctx.uid)
        shared = rooms.best([(PoolScope.ZONE, spec.zone)], tags, size, full)
        if not isinstance(shared, Reason):
            return shared
        consumer = self._services.attachments.consumer(ctx.object)
        host = ctx.store.get(Host, consumer.status.host or "") if consumer else None
        if host is None:
            message = (
                f"no storage pool of the whole zone fits ({shared}): the pool is chosen on the host of the first VM that names it"
            )
            message += only_luns(ctx.store, spec.zone) + self._refused(ctx)
            return waiting(WAIT_FOR_CONSUMER, message, retry_after=self._again(ctx))
        name = host.metadata.name
        if given := self._given(ctx, host, full):
            return given
        local = rooms.best([(PoolScope.CLUSTER, host.spec.cluster), (PoolScope.HOST, name)], tags, size, full)
        if isinstance(local, Reason):
            message = (
                f"no storage pool that host {name} reaches has the tags and the room ({local}){only_luns(ctx.store, spec.zone)}"
            )
            return waiting(local, message + self._refused(ctx), retry_after=self._again(ctx))
        return local

    def _given(self, ctx: Context[Volume], host: Host, full: AbstractSet[str]) -> str:
        """The pool with the room that came with the place of its first VM; "" if none did, or it can't be used any more."""
        pool = self._services.rooms.held(ctx.uid)
        found = ctx.store.get(StoragePool, pool) if pool else None
        reached = found is not None and (found.spec.cluster or host.spec.cluster, found.spec.host or host.metadata.name) == (
            host.spec.cluster,
            host.metadata.name,
        )
        if reached and found is not None and not found.deleting and pool not in full:
            return pool
        self._services.rooms.release(ctx.uid)
        return ""

    def _again(self, ctx: Context[Volume]) -> float:
        """Seconds until a pool that refused is to be tried again, or it is looked whether there is room at last."""
        refusals = self._services.rooms.refusals
        return refusals.left(refusals.of(ctx.uid), _ROOM_LOOKS)

    def _refused(self, ctx: Context[Volume]) -> str:
        """What hosts said of pools that are left alone for that."""
        return "".join(f"; {each.message}" for each in self._services.rooms.refusals.of(ctx.uid))

    def _in_question(self, ctx: Context[Volume]) -> list[StoragePool]:
        pinned = ctx.object.spec.pool
        pools = filter(has_volumes, pools_by_zone.of(ctx.store, ctx.object.spec.zone))
        return [pool for pool in pools if pinned in (None, pool.metadata.name)]

    def _take_over(self, ctx: Context[Volume], pool: StoragePool, host: str, found: ObservedVolume) -> None:
        status = ctx.object.status
        status.pool, status.host = pool.metadata.name, host
        status.volume_id, status.size = found.volume, Quantity.of(found.size)
        self._services.rooms.reserve(ctx.uid, pool.metadata.name, max(found.size, ctx.object.spec.size.bytes))
        ctx.event("Normal", "Found", f"found in storage pool {pool.metadata.name}, taken over as it is")


def lacking(services: Services, ctx: Context[Volume], pool: str, beside: int = 0) -> Result | None:
    """Why a pool can't hold the volume at its declared size, None if it can, as far as is known.

    `beside`: bytes that the volume keeps meanwhile, where what it becomes is made as a copy.
    """
    if refusal := services.rooms.refusals.resting(ctx.uid, pool):
        return services.rooms.refusals.wait(refusal)
    lack = services.rooms.lack(ctx.uid, pool, ctx.object.spec.size.bytes + beside)
    if not lack:
        return None
    copied = f", a copy beside the present {show_size(beside)}" if beside else ""
    message = f"storage pool {pool} lacks {show_size(lack)} for {ctx.object.spec.size}{copied}"
    return waiting(Reason.INSUFFICIENT_STORAGE, message, retry_after=_ROOM_LOOKS)
