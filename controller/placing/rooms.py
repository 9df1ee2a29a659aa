"""Room for volumes and their snapshots in storage pools, counted together with the disks of VMs."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from controller.placing.refusals import Refusals
from controller.runtime.slices import sliced
from controller.runtime.store import Change, Store
from controller.scheduler import Allocation, PoolScope, PoolView, Reason
from controller.scheduler.index import HostIndex
from controller.scheduler.storage import shortage
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume

Scope = tuple[PoolScope, str]
"""Which pools: their scope, and the zone, cluster or host that it names."""


class Rooms:
    """Which pool has room, and who was given how much of it; one book with the scheduler's, so that nothing is given twice.

    `take` is told of every change of an object: what a status records counts, from the start on. `refusals`
    are what hosts said against the book.
    """

    def __init__(self, store: Store, index: HostIndex, refusals: Refusals) -> None:
        self.refusals = refusals
        self._store = store
        self._index = index

    def take(self, change: Change) -> None:
        """Take over what the status of a Volume or a Snapshot says, unless this process knows better already."""
        self.refusals.take(change)
        if change.key.kind not in (Volume.KIND, Snapshot.KIND):
            return
        if change.gone:
            self._index.release(change.gone)
        self._record(change.after())

    async def from_statuses(self) -> None:
        """Take over what all statuses record, whatever was known before: others have given room out.

        Others have their turns meanwhile.
        """
        for kind in (Volume, Snapshot):
            async for each in sliced(self._store.list(kind)):
                self._index.release(each.metadata.uid)
                self._record(each)

    def _record(self, obj: Any) -> None:
        match obj:
            case Volume() as volume if volume.status.pool and self._index.allocation(volume.metadata.uid) is None:
                self.reserve(volume.metadata.uid, volume.status.pool, (volume.status.size or volume.spec.size).bytes)
            case Snapshot(metadata=metadata, status=status) if status.pool and status.size:
                self.reserve(metadata.uid, status.pool, status.size.bytes)

    def reserve(self, uid: str, pool: str, size: int) -> None:
        """Give a volume so many bytes of a pool, in place of what it had."""
        self._index.assign(uid, Allocation("", pool, 0, 0, size))

    def release(self, uid: str) -> None:
        """Give back what a volume had."""
        self._index.release(uid)

    def held(self, uid: str) -> str:
        """The pool that a volume was given room in, by itself or with the place of its VM; "" if none."""
        held = self._index.allocation(uid)
        return held.pool if held else ""

    def lack(self, uid: str, pool: str, size: int) -> int:
        """How many bytes the pool lacks so that this volume, or the root disk of this VM, has `size` bytes; 0 if it fits."""
        held = self._index.allocation(uid)
        more = size - (held.disk if held and held.pool == pool else 0)
        view = self._view(pool) if more > 0 else None
        if view is None:
            return 0
        return max(0, shortage(view, self._index.pool_allocated(pool), more))

    def best(
        self, scopes: Iterable[Scope], tags: frozenset[str], size: int, besides: AbstractSet[str] = frozenset()
    ) -> str | Reason:
        """The emptiest pool of these scopes with the tags and the room, or why there is none; `besides` have none."""
        pools = [pool for scope, of in scopes for pool in self._index.pools(scope, of) if pool.enabled]
        tagged = [pool for pool in pools if tags <= pool.tags]
        fitting = [
            (given / max(pool.capacity, 1), pool.name)
            for pool in tagged
            if pool.name not in besides and shortage(pool, given := self._index.pool_allocated(pool.name), size) <= 0
        ]
        if fitting:
            return min(fitting)[1]
        if tagged:
            return Reason.INSUFFICIENT_STORAGE
        return Reason.STORAGE_TAGS_MISMATCH if pools else Reason.NO_STORAGE_POOL

    def _view(self, name: str) -> PoolView | None:
        pool = self._store.get(StoragePool, name)
        if pool is None:
            return None
        views = self._index.pools(PoolScope(pool.spec.scope.value), pool.spec.cluster or pool.spec.host or pool.spec.zone)
        return next((view for view in views if view.name == name), None)
