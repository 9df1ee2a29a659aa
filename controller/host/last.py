"""What would be out of everybody's reach without a Host: the last one that answers and has a storage pool."""

from __future__ import annotations

from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import (
    clusters_by_zone,
    hosts_up_by_cluster,
    pools_of_host,
    snapshots_by_pool,
    templates_by_pool,
    volumes_by_pool,
)
from crds.v1alpha1 import Cluster, Host, StoragePool, Template
from crds.v1alpha1.host import HostState
from crds.v1alpha1.storagepool import PoolScope

LOOKS = 5.0
"""Seconds between two looks at whether they are gone: no watch tells of each."""


def stranded(host: Host, store: Store) -> list[Key]:
    """Volumes and their Snapshots in pools that no other Host shows, and Templates whose images are being removed there.

    A Host that does not answer keeps nobody: nothing can be done through it.
    """
    cluster = store.get(Cluster, host.spec.cluster)
    if cluster is None or host.status.state != HostState.UP:
        return []
    users: list[Key] = []
    for key in pools_of_host(store, host.metadata.name, cluster):
        pool = store.get(StoragePool, key.name)
        if pool is not None and not _shown_by_others(pool, host, store):
            going = (each for each in templates_by_pool.of(store, key.name) if each.deleting)
            users += [*volumes_by_pool.keys(store, key.name), *snapshots_by_pool.keys(store, key.name)]
            users += [Key(Template.KIND, each.metadata.namespace, each.metadata.name) for each in going]
    return users


def _shown_by_others(pool: StoragePool, host: Host, store: Store) -> bool:
    """Whether a Host that answers and is to stay reaches the pool."""
    if pool.spec.scope is PoolScope.HOST:
        return False
    names = [pool.spec.cluster or ""]
    if pool.spec.scope is PoolScope.ZONE:
        names = [each.name for each in clusters_by_zone.keys(store, pool.spec.zone)]
    found = (each for name in names for each in hosts_up_by_cluster.of(store, name))
    return any(each.metadata.name != host.metadata.name and not each.metadata.deletion_timestamp for each in found)
