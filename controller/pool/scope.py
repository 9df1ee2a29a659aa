"""Which hosts reach a pool."""

from __future__ import annotations

from controller.runtime.results import Result, failed, waiting
from controller.runtime.store import Store
from controller.shared.lookups import clusters_by_zone, hosts_by_cluster, hosts_of_clusters
from crds.v1alpha1 import Cluster, Host, StoragePool, Zone
from crds.v1alpha1.storagepool import PoolScope


def resolve(pool: StoragePool, store: Store) -> list[str] | Result:
    """The names of the Hosts in the pool's scope, sorted; or what is missing or does not fit, which a watch tells of."""
    zone = pool.spec.zone
    if store.get(Zone, zone) is None:
        return waiting("ZoneNotFound", f"zone {zone} does not exist")
    match pool.spec.scope:
        case PoolScope.ZONE:
            return sorted(key.name for key in hosts_of_clusters(store, clusters_by_zone.keys(store, zone)))
        case PoolScope.CLUSTER:
            return _of_cluster(pool, pool.spec.cluster or "", store)
        case PoolScope.HOST:
            return _of_host(pool, pool.spec.host or "", store)


def _of_cluster(pool: StoragePool, name: str, store: Store) -> list[str] | Result:
    cluster = store.get(Cluster, name)
    if cluster is None:
        return waiting("ClusterNotFound", f"cluster {name} does not exist")
    if cluster.spec.zone != pool.spec.zone:
        message = f"cluster {name} is in zone {cluster.spec.zone}, not in {pool.spec.zone}; create the pool anew"
        return failed("ClusterNotInZone", message, terminal=True)
    return [key.name for key in hosts_by_cluster.keys(store, name)]


def _of_host(pool: StoragePool, name: str, store: Store) -> list[str] | Result:
    host = store.get(Host, name)
    if host is None:
        return waiting("HostNotFound", f"host {name} does not exist")
    cluster = store.get(Cluster, host.spec.cluster)
    if cluster is None:
        return waiting("ClusterNotFound", f"cluster {host.spec.cluster} of host {name} does not exist")
    if cluster.spec.zone != pool.spec.zone:
        message = f"host {name} is in zone {cluster.spec.zone}, not in {pool.spec.zone}; create the pool anew"
        return failed("HostNotInZone", message, terminal=True)
    return [name]
