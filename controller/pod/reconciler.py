"""Pods belong to a zone and count what is in them; they stay as long as a cluster is."""

from __future__ import annotations

from collections.abc import Iterable

from controller.pod.status import counts, overlapping
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done, failed, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, listing
from controller.shared.lookups import COUNT_SETTLE, clusters_by_pod, pods_by_zone
from crds.v1alpha1 import Cluster, Host, Pod, Zone


def _of_zone(zone: Zone, store: Store) -> Iterable[Key]:
    return pods_by_zone.keys(store, zone.metadata.name)


def _of_neighbour(pod: Pod, store: Store) -> Iterable[Key]:
    return pods_by_zone.keys(store, pod.spec.zone)


def _of_cluster(cluster: Cluster, store: Store) -> Iterable[Key]:
    return [Key(Pod.KIND, "", cluster.spec.pod)]


def _of_host(host: Host, store: Store) -> Iterable[Key]:
    cluster = store.get(Cluster, host.spec.cluster)
    return [Key(Pod.KIND, "", cluster.spec.pod)] if cluster else []


class PodReconciler:
    """Publishes what a pod holds, and keeps a pod that is in use from being deleted."""

    kind = Pod
    watches = (
        Watch(Zone, _of_zone, of=existence),
        Watch(Pod, _of_neighbour, of=lambda pod: pod.spec.management_cidr),
        Watch(Cluster, _of_cluster, of=existence),
        Watch(Host, _of_host, of=lambda host: host.status.state, settle=COUNT_SETTLE),
    )

    async def reconcile(self, ctx: Context[Pod]) -> Result:
        """A pod is ready when its zone exists and its management network is its own; its deletion waits for its clusters."""
        pod = ctx.object
        if ctx.deleting:
            return await _delete(ctx)
        await ctx.add_finalizer()
        pod.status.counts = counts(ctx.store, pod.metadata.name)
        if ctx.store.get(Zone, pod.spec.zone) is None:
            return waiting("ZoneNotFound", f"zone {pod.spec.zone} does not exist")
        older = overlapping(pod, pods_by_zone.of(ctx.store, pod.spec.zone))
        if older:
            names = listing([f"{other.metadata.name} ({other.spec.management_cidr})" for other in older])
            message = f"managementCIDR {pod.spec.management_cidr} overlaps that of {names}"
            return failed("ManagementCIDROverlaps", message, terminal=True)
        return done(pod.spec.allocation_state)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is held in memory."""


async def _delete(ctx: Context[Pod]) -> Result:
    if waits := blocked(ctx, clusters_by_pod.keys(ctx.store, ctx.key.name)):
        return waits
    await ctx.remove_finalizer()
    return done("Deleted")
