"""Zones count what is in them; they stay as long as anything is."""

from __future__ import annotations

from collections.abc import Iterable

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, if_deleting
from controller.shared.lookups import COUNT_SETTLE
from controller.zone.status import counts, segments, users
from crds.v1alpha1 import Cluster, Host, Network, Pod, StoragePool, VirtualMachine, Zone


def _of_pod_or_cluster(inside: Pod | Cluster | Network, store: Store) -> Iterable[Key]:
    return [Key(Zone.KIND, "", inside.spec.zone)]


def _of_host(host: Host, store: Store) -> Iterable[Key]:
    cluster = store.get(Cluster, host.spec.cluster)
    return [Key(Zone.KIND, "", cluster.spec.zone)] if cluster else []


class ZoneReconciler:
    """Publishes what a zone holds, and keeps a zone that is in use from being deleted."""

    kind = Zone
    watches = (
        Watch(Pod, _of_pod_or_cluster, of=existence),
        Watch(Cluster, _of_pod_or_cluster, of=existence),
        Watch(Host, _of_host, of=lambda host: host.status.state, settle=COUNT_SETTLE),
        Watch(Network, _of_pod_or_cluster, of=lambda network: network.status.segment),
        Watch(StoragePool, if_deleting(Zone, lambda pool: [pool.spec.zone]), of=existence),
        Watch(VirtualMachine, if_deleting(Zone, lambda vm: [vm.spec.zone]), of=existence),
    )

    async def reconcile(self, ctx: Context[Zone]) -> Result:
        """A zone is ready as it is, also when it is declared Disabled; its deletion waits for all that is in it."""
        zone = ctx.object
        if ctx.deleting:
            return await _delete(ctx)
        await ctx.add_finalizer()
        zone.status.counts = counts(ctx.store, zone.metadata.name)
        zone.status.segments = segments(ctx.store, zone)
        return done(zone.spec.allocation_state)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is held in memory."""


async def _delete(ctx: Context[Zone]) -> Result:
    if waits := blocked(ctx, users(ctx.store, ctx.key.name)):
        return waits
    await ctx.remove_finalizer()
    return done("Deleted")
