"""Which storage pool of a host a VM's disk goes to, or why none will do."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.views import NewVolume, PoolScope, PoolView, Reason, Request

__all__ = ["UNKNOWN", "Offer", "PoolChooser", "shortage"]

_OVERPROVISIONING: Final = 2
"""How often the capacity of a pool may be promised to thin disks (CloudStack's default `storage.overprovisioning.factor`)."""

_KEPT_FREE: Final = 10
"""A thin disk may go to a pool that can't hold it when full only while a tenth of the pool is really free."""

UNKNOWN: Final = sys.maxsize

_STAGES: Final = (Reason.NO_STORAGE_POOL, Reason.STORAGE_TAGS_MISMATCH, Reason.INSUFFICIENT_STORAGE)

Choice = tuple[float, str]
"""Part of the pool that is promised already, then its name: the smaller, the better."""


def shortage(pool: PoolView, allocated: int, disk: int) -> int:
    """How many bytes the pool lacks for a disk of this size; 0 or less if it fits."""
    if pool.thick:
        return max(allocated + disk - pool.capacity, disk - pool.available)
    promised = allocated + disk - pool.capacity * _OVERPROVISIONING
    really = min(disk, pool.capacity // _KEPT_FREE) - pool.available
    return promised if promised > really else really


class Offer(NamedTuple):
    """What some pools offer: how far the best of them came (a place in `_STAGES`), what is chosen, and the least that one lacks;
    `UNKNOWN` where only those lack room that said so themselves.
    """

    stage: int = 0
    choice: Choice | None = None
    lacking: int = UNKNOWN

    @property
    def reason(self) -> Reason:
        """Why there is no choice."""
        return _STAGES[self.stage]

    @property
    def verdict(self) -> str | Reason:
        """The pool to use, or why there is none."""
        return self.reason if self.choice is None else self.choice[1]

    def join(self, other: Offer) -> Offer:
        """What those and these offer together."""
        if self.stage != other.stage:
            return self if self.stage > other.stage else other
        choices = [each.choice for each in (self, other) if each.choice is not None]
        return Offer(self.stage, min(choices, default=None), min(self.lacking, other.lacking))


class PoolChooser:
    """Chooses pools for one request. What all hosts of a cluster share is looked at once."""

    def __init__(self, index: HostIndex, request: Request) -> None:
        self._index = index
        self._request = request
        self._shared: dict[str, Offer] = {}
        self._failing: dict[str, frozenset[str]] = {}

    def special(self, host: Candidate, names: AbstractSet[str]) -> AbstractSet[str]:
        """Those of these hosts, all in the cluster of `host`, that don't reach the same pools as the rest of their cluster."""
        self._of_cluster(host)
        failing = self._failing[host.cluster.name]
        local = names & self._index.with_local_pools()
        return local | (names & failing) if failing else local

    def offer(self, host: Candidate) -> Offer:
        """What the pools that this host reaches offer."""
        shared, name = self._of_cluster(host), host.view.name
        if name in self._failing[host.cluster.name]:
            shared = self._best(self._shared_pools(host), name)
        local = self._index.pools(PoolScope.HOST, name)
        offer = shared.join(self._best(local, name)) if local else shared
        if offer.choice is None or not self._request.volumes:
            return offer
        return self._with_volumes(self._usable(host), offer)

    def _with_volumes(self, pools: list[PoolView], offer: Offer) -> Offer:
        """The offer, with the emptiest pool for the disk that leaves room for the new volumes; or what they lack."""
        least, wanted = UNKNOWN, self._request
        tagged = [pool for pool in pools if wanted.storage_tags <= pool.tags and pool.name not in wanted.refused]
        shares = [(self._index.pool_allocated(pool.name), pool) for pool in tagged]
        choices = [(given / max(pool.capacity, 1), pool.name) for given, pool in shares if shortage(pool, given, wanted.disk) <= 0]
        for choice in sorted(choices):
            lacking, _ = self._spread(pools, choice[1])
            if lacking is None:
                return Offer(1)
            if lacking <= 0:
                return offer._replace(choice=choice)
            least = min(least, lacking)
        return Offer(2, None, least)

    def places(self, host: Candidate, chosen: str) -> list[tuple[NewVolume, str]]:
        """The pool of each new volume on this host, which fits, beside the disk in `chosen`."""
        return self._spread(self._usable(host), chosen)[1] if self._request.volumes else []

    def _usable(self, host: Candidate) -> list[PoolView]:
        name = host.view.name
        pools = (*self._shared_pools(host), *self._index.pools(PoolScope.HOST, name))
        return [pool for pool in pools if pool.enabled and name not in pool.failing]

    def _spread(self, pools: list[PoolView], chosen: str) -> tuple[int | None, list[tuple[NewVolume, str]]]:
        """Bytes that the pools lack for the new volumes beside the disk in `chosen`, None if they lack the tags; where each goes.

        The volumes go one after the other to the emptiest pool that has not refused them.
        """
        given, places = Counter({chosen: self._request.disk}), list[tuple[NewVolume, str]]()
        for volume in self._request.volumes:
            tagged = [pool for pool in pools if volume.tags <= pool.tags]
            if not tagged:
                return None, places
            tagged = [pool for pool in tagged if pool.name not in volume.refused]
            taken = {pool.name: self._index.pool_allocated(pool.name) + given[pool.name] for pool in tagged}
            lacking = {pool.name: shortage(pool, taken[pool.name], volume.size) for pool in tagged}
            if (least := min(lacking.values(), default=volume.size)) > 0:
                return least, places
            fitting = [(taken[pool.name] / max(pool.capacity, 1), pool.name) for pool in tagged if lacking[pool.name] <= 0]
            places.append((volume, min(fitting)[1]))
            given[places[-1][1]] += volume.size
        return 0, places

    def _of_cluster(self, host: Candidate) -> Offer:
        """What the host has in common with its cluster or zone; the same for all hosts where none of those pools fails."""
        cluster = host.cluster.name
        if cluster not in self._shared:
            pools = self._shared_pools(host)
            self._shared[cluster] = self._best(pools, "")
            self._failing[cluster] = frozenset().union(*(pool.failing for pool in pools))
        return self._shared[cluster]

    def _shared_pools(self, host: Candidate) -> list[PoolView]:
        zone = self._index.pools(PoolScope.ZONE, host.cluster.zone)
        return [*zone, *self._index.pools(PoolScope.CLUSTER, host.cluster.name)]

    def _best(self, pools: Iterable[PoolView], host: str) -> Offer:
        """Look at pools, those left out that fail on this host."""
        stage, best, least = 0, None, UNKNOWN
        tags, disk, refused = self._request.storage_tags, self._request.disk, self._request.refused
        for pool in pools:
            if not pool.enabled or host in pool.failing:
                continue
            if not tags <= pool.tags:
                stage = max(stage, 1)
                continue
            allocated, stage = self._index.pool_allocated(pool.name), 2
            if pool.name in refused:
                continue
            lacking = shortage(pool, allocated, disk)
            if lacking < least:
                least = lacking
            if lacking <= 0:
                choice = (allocated / max(pool.capacity, 1), pool.name)
                best = min(best, choice) if best else choice
        return Offer(stage, best, least)
