"""Which storage pool of a host a VM's disk goes to, or why none will do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.views import PoolScope, PoolView, Reason, Request

__all__ = ["PoolChooser", "shortage"]

_OVERPROVISIONING: Final = 2
"""How often the capacity of a pool may be promised to thin disks (CloudStack's default `storage.overprovisioning.factor`)."""

_KEPT_FREE: Final = 10
"""A thin disk may go to a pool that can't hold it when full only while a tenth of the pool is really free."""

_STAGES: Final = (Reason.NO_STORAGE_POOL, Reason.STORAGE_TAGS_MISMATCH, Reason.INSUFFICIENT_STORAGE)

Choice = tuple[float, str]
"""Part of the pool that is promised already, then its name: the smaller, the better."""


def shortage(pool: PoolView, allocated: int, disk: int) -> int:
    """How many bytes the pool lacks for a thin disk of this size; 0 or less if it fits."""
    promised = allocated + disk - pool.capacity * _OVERPROVISIONING
    really = min(disk, pool.capacity // _KEPT_FREE) - pool.available
    return max(promised, really)


class PoolChooser:
    """Chooses pools for one request. What all hosts of a cluster share is looked at once."""

    def __init__(self, index: HostIndex, request: Request) -> None:
        self._index = index
        self._request = request
        self._shared: dict[str, Choice | Reason] = {}
        self._failing: dict[str, frozenset[str]] = {}

    def choose(self, host: Candidate) -> str | Reason:
        """Name of the best pool that this host reaches, or the reason why none will do."""
        shared, local = self._best_shared(host), self._best(self._local(host))
        choices = [each for each in (shared, local) if not isinstance(each, Reason)]
        if choices:
            return min(choices)[1]
        return max((each for each in (shared, local) if isinstance(each, Reason)), key=_STAGES.index)

    def lacking(self, host: Candidate) -> int:
        """How many bytes the best tagged pool of this host lacks."""
        pools = [*_usable(self._of_cluster(host), host), *self._local(host)]
        fitting = (each for each in pools if each.enabled and self._request.storage_tags <= each.tags)
        return min(shortage(each, self._index.pool_allocated(each.name), self._request.disk) for each in fitting)

    def _best_shared(self, host: Candidate) -> Choice | Reason:
        """The best pool that the host has in common with its cluster or zone; the same for all hosts where none of those fails."""
        cluster = host.cluster.name
        if cluster not in self._shared:
            pools = self._of_cluster(host)
            self._shared[cluster] = self._best(pools)
            self._failing[cluster] = frozenset().union(*(pool.failing for pool in pools))
        if host.view.name in self._failing[cluster]:
            return self._best(_usable(self._of_cluster(host), host))
        return self._shared[cluster]

    def _of_cluster(self, host: Candidate) -> list[PoolView]:
        zone = self._index.pools(PoolScope.ZONE, host.cluster.zone)
        return [*zone, *self._index.pools(PoolScope.CLUSTER, host.cluster.name)]

    def _local(self, host: Candidate) -> list[PoolView]:
        return _usable(self._index.pools(PoolScope.HOST, host.view.name), host)

    def _best(self, pools: Iterable[PoolView]) -> Choice | Reason:
        reason, best = Reason.NO_STORAGE_POOL, None
        for pool in pools:
            if not pool.enabled:
                continue
            if not self._request.storage_tags <= pool.tags:
                reason = max(reason, Reason.STORAGE_TAGS_MISMATCH, key=_STAGES.index)
                continue
            reason = Reason.INSUFFICIENT_STORAGE
            allocated = self._index.pool_allocated(pool.name)
            if shortage(pool, allocated, self._request.disk) <= 0:
                choice = (allocated / max(pool.capacity, 1), pool.name)
                best = min(best, choice) if best else choice
        return best or reason


def _usable(pools: Iterable[PoolView], host: Candidate) -> list[PoolView]:
    """Those that the host can use."""
    return [pool for pool in pools if host.view.name not in pool.failing]
