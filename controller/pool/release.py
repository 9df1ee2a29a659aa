"""A pool that is being deleted is let go by its hosts: what was defined and mounted for it there goes, its files stay."""

from __future__ import annotations

from collections.abc import Sequence

from controller.inventory import Inventory, PoolRegistry
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.translate import pool_spec, same_place
from crds.v1alpha1 import StoragePool

PATIENCE = 2.0
RETRY = 15.0


class Release:
    """Asks the hosts of a pool that answer, and goes by what they say now: nothing of it is kept."""

    def __init__(self, inventory: Inventory, registry: PoolRegistry) -> None:
        self._inventory = inventory
        self._registry = registry

    async def let_go(self, ctx: Context[StoragePool], hosts: Sequence[str], *, at_once: bool) -> Result | None:
        """None when no host that answers has the pool but where a VM of whoever uses it; `at_once`, without waiting for any.

        An Event names those that still have it. They are asked again when they are looked at: see the Hosts.
        """
        if _has_successor(ctx.object, ctx.store):
            return None
        left = await self._registry.release(pool_spec(ctx.object), hosts, patience=PATIENCE)
        unfinished = [each for each in left if not each.definite]
        if unfinished and not at_once:
            text = listing([f"{each.host}: {each.message}" for each in unfinished])
            return waiting(unfinished[0].reason, f"{len(unfinished)} hosts have yet to let it go: {text}", retry_after=RETRY)
        kept = [f"{each.host}: {each.message}" for each in left] + [f"{host}: it does not answer" for host in self._away(hosts)]
        if kept:
            ctx.event("Warning", "LeftOnHosts", f"{len(kept)} hosts have it still, and let it go when they can: {listing(kept)}")
        return None

    def _away(self, hosts: Sequence[str]) -> list[str]:
        links = {host: self._inventory.link(host) for host in hosts}
        return [host for host, link in links.items() if link is None or not link.up]


def _has_successor(pool: StoragePool, store: Store) -> bool:
    """Whether another StoragePool is in the same place: its hosts may have it under either name."""
    others = (each for each in store.list(StoragePool) if each.metadata.uid != pool.metadata.uid and not each.deleting)
    return any(same_place(pool_spec(each), pool_spec(pool)) for each in others)
