"""Volumes that are LUNs of an iSCSI target: found there and let go of, never made, formatted or removed."""

from __future__ import annotations

from controller.inventory.contents import KEPT
from controller.ipam import volume_id
from controller.runtime.context import Context
from controller.runtime.results import Result, done, failed, waiting
from controller.shared.lookups import lun_of, volumes_by_lun
from controller.shared.translate import has_volumes, pool_spec
from controller.volume.reach import Reach
from controller.volume.services import Services
from crds.fields import Quantity
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume, VolumeState
from drivers.types import InstanceID, ObservedLUN

LOOKS = 600.0
"""Seconds between looks at whether the LUN is still there."""

_RETRY = 30.0


class Luns:
    """Keeps one Volume for each LUN, whoever asks.

    Nothing on a LUN says whose it is, so that is told by what a restored status does not lose: of the Volumes that name it the
    one with a finalizer has it, which it gets with the LUN, else the oldest. Two that come at the same moment are told apart here.
    """

    def __init__(self, services: Services, reach: Reach) -> None:
        self._services = services
        self._reach = reach
        self._holders: dict[str, str] = {}
        self._looked: dict[str, float] = {}

    async def drive(self, ctx: Context[Volume]) -> Result:
        """Find the LUN, have it for this volume alone, and let the volume grow as far as the LUN has."""
        if ctx.object.status.state is None:
            ctx.object.status.state = VolumeState.ALLOCATED
        pool = self._pool(ctx)
        if not isinstance(pool, StoragePool):
            return pool
        if holder := self._holder(ctx):
            message = f"LUN {ctx.object.spec.lun} of storage pool {pool.metadata.name} is volume {holder}"
            return waiting("LUNInUse", message, retry_after=_RETRY)
        if self._settled(ctx):
            return self._ready(ctx)
        link = self._reach.link(ctx, pool)
        if isinstance(link, Result):
            return self._ready(ctx) if self._whole(ctx) else link
        older_than = KEPT if self._whole(ctx) else 0.0
        contents = await self._services.contents.read(link, pool_spec(pool), older_than=older_than)
        self._looked[ctx.uid] = ctx.clock.monotonic()
        found = next((each for each in contents.luns if each.lun == ctx.object.spec.lun), None)
        if found is None:
            return self._missing(ctx, pool, [each.lun for each in contents.luns])
        if found.size < ctx.object.spec.size.bytes:
            return self._too_small(ctx, found)
        ctx.object.status.host = ctx.object.status.host or link.name
        await ctx.add_finalizer()
        await self._take(ctx, pool, found)
        return self._ready(ctx)

    def forget(self, uid: str) -> None:
        """The volume is gone."""
        self._looked.pop(uid, None)
        for lun in [lun for lun, holder in self._holders.items() if holder == uid]:
            del self._holders[lun]

    def _pool(self, ctx: Context[Volume]) -> StoragePool | Result:
        name, zone = ctx.object.spec.pool or "", ctx.object.spec.zone
        pool = ctx.store.get(StoragePool, name)
        if pool is None:
            return waiting("PoolNotFound", f"storage pool {name} does not exist")
        if pool.spec.zone != zone:
            return failed("PoolNotInZone", f"storage pool {name} is in zone {pool.spec.zone}, the volume in {zone}", terminal=True)
        if has_volumes(pool):
            message = f"storage pool {name} has no LUNs, it is of type {pool.spec.type}: apply the volume anew without lun"
            return failed("PoolHasNoLUNs", message, terminal=True)
        if pool.deleting and not ctx.has_finalizer:
            return waiting("PoolNotReady", f"storage pool {name} is being deleted")
        return pool

    def _holder(self, ctx: Context[Volume]) -> str | None:
        """The other volume that has the LUN, as `namespace/name`; None if it is this one's, from now on."""
        lun = lun_of(ctx.object)
        rivals = {each.metadata.uid: each for each in volumes_by_lun.of(ctx.store, lun)}
        holder = rivals.get(self._holders.get(lun, "")) or min([*rivals.values(), ctx.object], key=_rank)
        self._holders[lun] = holder.metadata.uid
        return None if holder.metadata.uid == ctx.uid else f"{holder.metadata.namespace}/{holder.metadata.name}"

    def _whole(self, ctx: Context[Volume]) -> bool:
        """Whether the volume was there, as large as declared, when it was last looked at."""
        status = ctx.object.status
        there = status.volume_id is not None and status.size is not None and status.state == VolumeState.READY
        return there and status.size is not None and status.size.bytes >= ctx.object.spec.size.bytes and ctx.has_finalizer

    def _settled(self, ctx: Context[Volume]) -> bool:
        """Whether there is nothing to do before the next look; at the start not all are looked at."""
        now = ctx.clock.monotonic()
        return self._whole(ctx) and now - self._looked.setdefault(ctx.uid, now) < LOOKS - 1

    def _missing(self, ctx: Context[Volume], pool: StoragePool, luns: list[int]) -> Result:
        there = ", ".join(map(str, sorted(luns)[:20])) or "none"
        message = f"storage pool {pool.metadata.name} has no LUN {ctx.object.spec.lun}; it has {there}"
        if ctx.object.status.volume_id is None:
            return waiting("LUNNotFound", message, retry_after=_RETRY)
        ctx.object.status.state = VolumeState.ERROR
        return failed("LUNMissing", message, retry_after=_RETRY)

    def _too_small(self, ctx: Context[Volume], found: ObservedLUN) -> Result:
        message = f"LUN {found.lun} has {Quantity.of(found.size)}, less than {ctx.object.spec.size}: make it larger on its server"
        return waiting("LUNTooSmall", message, retry_after=_RETRY)

    async def _take(self, ctx: Context[Volume], pool: StoragePool, found: ObservedLUN) -> None:
        """Record the LUN; a VM that runs with it is told how large it has become."""
        status = ctx.object.status
        having = status.attached_to
        if having is not None and having.host is not None and status.size is not None and status.size.bytes < found.size:
            link = self._services.inventory.link(having.host)
            if link is not None:
                instance = InstanceID(having.instance_id) if having.instance_id else None
                await link.volumes.grow(pool_spec(pool), volume_id(ctx.uid), found.size, instance)
        status.pool, status.volume_id, status.size = pool.metadata.name, volume_id(ctx.uid), Quantity.of(found.size)

    def _ready(self, ctx: Context[Volume]) -> Result:
        ctx.object.status.state = VolumeState.READY
        return done("Ready", recheck_after=LOOKS)


def _rank(volume: Volume) -> tuple[bool, str, str]:
    """The least has the LUN."""
    meta = volume.metadata
    return not meta.finalizers, meta.creation_timestamp or "", meta.uid
