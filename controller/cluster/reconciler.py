"""Clusters belong to a zone and a pod and sum up their hosts; they stay as long as a host or a storage pool is theirs."""

from __future__ import annotations

from collections.abc import Iterable

from controller.cluster.status import sums
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done, failed, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, if_deleting
from controller.shared.lookups import COUNT_SETTLE, SETTLE, clusters_by_pod, clusters_by_zone, hosts_by_cluster, pools_by_cluster
from crds.v1alpha1 import Cluster, Host, Pod, StoragePool, Zone


def _of_zone(zone: Zone, store: Store) -> Iterable[Key]:
    return clusters_by_zone.keys(store, zone.metadata.name)


def _of_pod(pod: Pod, store: Store) -> Iterable[Key]:
    return clusters_by_pod.keys(store, pod.metadata.name)


def _of_host(host: Host, store: Store) -> Iterable[Key]:
    return [Key(Cluster.KIND, "", host.spec.cluster)]


def _figures(host: Host) -> object:
    return host.status.capacity, host.status.allocated


class ClusterReconciler:
    """Publishes what a cluster has, and keeps a cluster that is in use from being deleted."""

    kind = Cluster
    watches = (
        Watch(Zone, _of_zone, of=existence),
        Watch(Pod, _of_pod, of=lambda pod: pod.spec.zone),
        Watch(Host, _of_host, of=lambda host: host.status.state, settle=COUNT_SETTLE),
        Watch(Host, _of_host, of=_figures, settle=SETTLE),
        Watch(StoragePool, if_deleting(Cluster, lambda pool: [pool.spec.cluster or ""]), of=existence),
    )

    async def reconcile(self, ctx: Context[Cluster]) -> Result:
        """A cluster is ready when its zone and pod exist and fit; its deletion waits for its hosts and storage pools."""
        if ctx.deleting:
            return await _delete(ctx)
        await ctx.add_finalizer()
        status, now = ctx.object.status, sums(hosts_by_cluster.of(ctx.store, ctx.key.name))
        status.hosts_total, status.hosts_up, status.capacity, status.allocated = now.total, now.up, now.capacity, now.allocated
        return _resolve(ctx.object, ctx.store) or done(ctx.object.spec.allocation_state)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is held in memory."""


def _resolve(cluster: Cluster, store: Store) -> Result | None:
    zone, name = cluster.spec.zone, cluster.spec.pod
    if store.get(Zone, zone) is None:
        return waiting("ZoneNotFound", f"zone {zone} does not exist")
    pod = store.get(Pod, name)
    if pod is None:
        return waiting("PodNotFound", f"pod {name} does not exist")
    if pod.spec.zone != zone:
        message = f"pod {name} is in zone {pod.spec.zone}, not in {zone}; both are immutable: create the cluster anew"
        return failed("PodNotInZone", message, terminal=True)
    return None


async def _delete(ctx: Context[Cluster]) -> Result:
    name = ctx.key.name
    if waits := blocked(ctx, [*hosts_by_cluster.keys(ctx.store, name), *pools_by_cluster.keys(ctx.store, name)]):
        return waits
    await ctx.remove_finalizer()
    return done("Deleted")
