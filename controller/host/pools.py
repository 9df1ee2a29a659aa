"""Storage pools that a host has of ours though nobody declares them there: it lets them go.

Those are pools that were deleted while the host was away or a VM used them, and all of them when the Host itself is deleted. What
there is, the host says: nothing is noted down.
"""

from __future__ import annotations

import asyncio
import math

from controller.inventory import HostLink, PoolRegistry
from controller.inventory.pools import PoolFailure
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.lookups import pools_of_host
from controller.shared.translate import pool_spec, same_place
from crds.v1alpha1 import Cluster, Host, StoragePool
from drivers.types import Capability, PoolSpec

PACE = 540.0
"""Seconds between two looks at a host, at least, as long as it stays connected."""

PATIENCE = 2.0
_RETRY = 5.0


class Pools:
    """Looks at hosts at each new connection, and every ten minutes."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry
        self._looked: dict[str, tuple[HostLink, int, float]] = {}
        self._leaving: dict[str, asyncio.Task[list[PoolFailure]]] = {}

    def look(self, ctx: Context[Host], link: HostLink, cluster: Cluster) -> None:
        """Begin a look if it is time for one. It holds up nothing."""
        name, now, store = ctx.key.name, ctx.clock.monotonic(), ctx.store
        before, epoch, at = self._looked.get(name, (None, 0, -math.inf))
        if Capability.STORAGE not in link.capabilities or ((before, epoch) == (link, link.epoch) and now - at < PACE):
            return
        self._looked[name] = (link, link.epoch, now)
        self._registry.tidy(link, lambda pool: _is_declared(pool, name, cluster, store))

    async def leave(self, ctx: Context[Host], link: HostLink) -> Result | None:
        """Have a Host that is to go let go of all; None when it has, or can't, which an Event tells."""
        name = ctx.key.name
        if Capability.STORAGE not in link.capabilities:
            return None
        if name not in self._leaving:
            self._leaving[name] = self._registry.leave(link)
        task = self._leaving[name]
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done():
            return waiting("LettingPoolsGo", "it lets go of its storage pools", retry_after=_RETRY)
        del self._leaving[name]
        if left := [each.message for each in task.result()]:
            ctx.event("Warning", "PoolsLeft", f"storage pools stay defined there: {listing(left)}")
        return None

    def forget(self, host: str) -> None:
        """The Host is gone."""
        self._looked.pop(host, None)
        self._leaving.pop(host, None)


def _is_declared(pool: PoolSpec, host: str, cluster: Cluster, store: Store) -> bool:
    """Whether a StoragePool of the host, by whatever name, is in that place; one that is being deleted sees to it itself."""
    declared = (store.get(StoragePool, key.name) for key in pools_of_host(store, host, cluster))
    return any(same_place(pool_spec(each), pool) for each in declared if each)
