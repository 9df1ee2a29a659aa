"""How objects find each other: every index on the Store, declared once.

A lookup says which kind it finds and by what; `of` gives the objects, `keys` only their keys, unparsed, for watches and counts.
Namespaced objects are looked up by `namespace/name`, see `qualified`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controller.ipam import volume_id
from controller.runtime.keys import Key
from controller.runtime.objects import Resource
from controller.runtime.store import Store
from controller.shared.leaving import leaves, nics_of
from crds.references import Endpoint
from crds.v1alpha1 import (
    KINDS,
    Cluster,
    Host,
    Network,
    Pod,
    Snapshot,
    SnapshotRestore,
    StoragePool,
    Template,
    VirtualMachine,
    Volume,
)
from crds.v1alpha1.host import HostState
from crds.v1alpha1.storagepool import PoolScope

__all__ = [
    "COUNT_SETTLE",
    "LOOKUPS",
    "NOWHERE",
    "SETTLE",
    "Lookup",
    "clusters_by_pod",
    "clusters_by_secret",
    "clusters_by_zone",
    "hosts_by_cluster",
    "hosts_by_native_id",
    "hosts_by_secret",
    "hosts_of_clusters",
    "hosts_up_by_cluster",
    "hosts_using_secret",
    "hosts_with_orphans",
    "lun_of",
    "networks_by_left",
    "networks_by_zone",
    "pods_by_zone",
    "pools_by_cluster",
    "pools_by_host",
    "pools_by_scope",
    "pools_by_secret",
    "pools_by_zone",
    "pools_of_host",
    "qualified",
    "register_all",
    "restores_by_snapshot",
    "snapshots_by_pool",
    "snapshots_by_vm",
    "snapshots_by_volume",
    "templates_by_pool",
    "vms_by_adopted",
    "vms_by_cluster",
    "vms_by_host",
    "vms_by_network",
    "vms_by_offering",
    "vms_by_pool",
    "vms_by_secret",
    "vms_by_template",
    "vms_by_volume",
    "vms_by_zone",
    "vms_leaving",
    "vms_unplaced",
    "volumes_by_attached_host",
    "volumes_by_host",
    "volumes_by_id",
    "volumes_by_lun",
    "volumes_by_pool",
    "volumes_by_snapshot",
    "volumes_by_template",
    "volumes_by_zone",
]

T = TypeVar("T", bound=Resource)

_BATCH = 100

SETTLE = 30.0
"""Seconds for which watches gather changes before a sum over many objects is written anew, so that a VM costs less than one write
for each sum that it is part of."""

NOWHERE = ""
"""What Snapshots are found under whose status says of no pool that they are in it."""

COUNT_SETTLE = 1.0
"""Seconds for which watches gather changes of single hosts before what counts hosts is looked at again."""


@dataclass(frozen=True, slots=True)
class Lookup(Generic[T]):
    """Finds objects of `kind` by the values that `values` reads from them; `index` is its name on the Store."""

    kind: type[T]
    index: str
    values: Callable[[T], Iterable[str]]

    def of(self, store: Store, value: str) -> Sequence[T]:
        """The objects found under a value, by name; shared and read only."""
        return store.by_index(self.kind, self.index, value)

    async def slowly(self, store: Store, value: str) -> AsyncIterator[T]:
        """The same as `of`, for thousands: others get their turn in between, so what is found may change on the way."""
        for number, found in enumerate(self.of(store, value), start=1):
            if number % _BATCH == 0:
                await asyncio.sleep(0)
            yield found

    async def statuses(self, store: Store, value: str) -> AsyncIterator[Mapping[str, Any]]:
        """The same, but the statuses alone, as JSON: a seventh of the work. Objects that don't fit their model are not found."""
        for number, key in enumerate(self.keys(store, value), start=1):
            if number % _BATCH == 0:
                await asyncio.sleep(0)
            yield store.status(key)

    def keys(self, store: Store, value: str) -> Sequence[Key]:
        """The keys of the objects found under a value, sorted."""
        return store.keys_by_index(self.kind, self.index, value)


def qualified(namespace: str, name: str) -> str:
    """How a namespaced object is looked up: `namespace/name`."""
    return f"{namespace}/{name}"


def register_all(store: Store) -> None:
    """Make the Store accept every kind, with the indexes of `LOOKUPS`. Call it before the first object arrives."""
    kinds: Sequence[type[Any]] = KINDS
    for kind in kinds:
        store.register(kind, {lookup.index: lookup.values for lookup in LOOKUPS if lookup.kind is kind})


def lun_of(volume: Volume) -> str:
    """The LUN that a volume names, as `pool/number`; empty for a volume that is none."""
    return "" if volume.spec.lun is None else f"{volume.spec.pool}/{volume.spec.lun}"


def hosts_of_clusters(store: Store, clusters: Iterable[Key]) -> list[Key]:
    """The keys of the Hosts of these Clusters."""
    return [host for cluster in clusters for host in hosts_by_cluster.keys(store, cluster.name)]


def hosts_using_secret(store: Store, namespace: str, name: str) -> list[Key]:
    """The keys of the Hosts whose endpoint, their own or their Cluster's, takes credentials or an authority from a Secret."""
    secret = qualified(namespace, name)
    shared = hosts_of_clusters(store, clusters_by_secret.keys(store, secret))
    return sorted({*hosts_by_secret.keys(store, secret), *shared})


def users_of_secret(store: Store, namespace: str, name: str) -> list[Key]:
    """The keys of all objects that something is done with whenever the Secret is another one."""
    secret = qualified(namespace, name)
    return [
        *hosts_using_secret(store, namespace, name),
        *pools_by_secret.keys(store, secret),
        *vms_by_secret.keys(store, secret),
    ]


def pools_of_host(store: Store, host: str, cluster: Cluster) -> list[Key]:
    """The keys of the StoragePools that a Host of this Cluster reaches."""
    scopes = (f"{PoolScope.ZONE}/{cluster.spec.zone}", f"{PoolScope.CLUSTER}/{cluster.metadata.name}", f"{PoolScope.HOST}/{host}")
    return [key for scope in scopes for key in pools_by_scope.keys(store, scope)]


def _some(value: str | None) -> Iterable[str]:
    return (value,) if value else ()


def _secrets(endpoint: Endpoint | None) -> Iterator[str]:
    if endpoint and endpoint.credentials:
        secret = endpoint.credentials.secret_ref
        yield qualified(secret.namespace, secret.name)
    if endpoint and endpoint.tls and endpoint.tls.ca_secret_ref:
        authority = endpoint.tls.ca_secret_ref
        yield qualified(authority.namespace, authority.name)


def _networks(vm: VirtualMachine) -> Iterator[str]:
    for nic in vm.spec.networks:
        yield qualified(nic.network_namespace or vm.metadata.namespace, nic.network)
    yield from (nic.network for nic in nics_of(vm))


def _template(vm: VirtualMachine) -> Iterable[str]:
    template = vm.spec.template
    return (qualified(template.namespace or vm.metadata.namespace, template.name),) if template else ()


def _volumes(vm: VirtualMachine) -> Iterator[str]:
    names = [*(each.volume for each in vm.spec.volumes), *(each.volume for each in vm.status.volumes)]
    yield from (qualified(vm.metadata.namespace, name) for name in names if name)


def _volume_template(volume: Volume) -> Iterable[str]:
    template = volume.spec.source.template if volume.spec.source else None
    return (qualified(template.namespace or volume.metadata.namespace, template.name),) if template else ()


def _volume_snapshot(volume: Volume) -> Iterable[str]:
    snapshot = volume.spec.source.snapshot if volume.spec.source else None
    return (qualified(volume.metadata.namespace, snapshot.name),) if snapshot else ()


def _attached_host(volume: Volume) -> Iterable[str]:
    return _some(volume.status.attached_to.host if volume.status.attached_to else None)


def _own(name: Callable[[T], str | None]) -> Callable[[T], Iterable[str]]:
    """By an object of the same namespace that `name` reads."""

    def values(each: T) -> Iterable[str]:
        named = name(each)
        return (qualified(each.metadata.namespace or "", named),) if named else ()

    return values


def _user_data_secret(vm: VirtualMachine) -> Iterable[str]:
    secret = vm.spec.user_data.secret_ref if vm.spec.user_data else None
    return (qualified(vm.metadata.namespace, secret.name),) if secret else ()


def _ceph_secret(pool: StoragePool) -> Iterable[str]:
    secret = pool.spec.rbd.secret_ref if pool.spec.rbd else None
    return (qualified(secret.namespace, secret.name),) if secret else ()


def _scope(pool: StoragePool) -> Iterable[str]:
    return (f"{pool.spec.scope}/{pool.spec.host or pool.spec.cluster or pool.spec.zone}",)


pods_by_zone = Lookup(Pod, "zone", lambda pod: (pod.spec.zone,))
clusters_by_zone = Lookup(Cluster, "zone", lambda cluster: (cluster.spec.zone,))
clusters_by_pod = Lookup(Cluster, "pod", lambda cluster: (cluster.spec.pod,))
clusters_by_secret = Lookup(Cluster, "secret", lambda cluster: _secrets(cluster.spec.endpoint))
hosts_by_cluster = Lookup(Host, "cluster", lambda host: (host.spec.cluster,))
hosts_up_by_cluster = Lookup(Host, "upInCluster", lambda host: (host.spec.cluster,) if host.status.state == HostState.UP else ())
hosts_with_orphans = Lookup(Host, "orphans", lambda host: (str(bool(host.status.orphans)),))
hosts_by_native_id = Lookup(Host, "nativeID", lambda host: _some(host.status.native_id))
hosts_by_secret = Lookup(Host, "secret", lambda host: _secrets(host.spec.endpoint))
pools_by_scope = Lookup(StoragePool, "scope", _scope)
pools_by_secret = Lookup(StoragePool, "secret", _ceph_secret)
pools_by_zone = Lookup(StoragePool, "zone", lambda pool: (pool.spec.zone,))
pools_by_cluster = Lookup(StoragePool, "cluster", lambda pool: _some(pool.spec.cluster))
pools_by_host = Lookup(StoragePool, "host", lambda pool: _some(pool.spec.host))
networks_by_left = Lookup(Network, "left", lambda each: (v for left in each.status.left for v in (left.uid, left.instance_id)))
networks_by_zone = Lookup(Network, "zone", lambda network: (network.spec.zone,))
templates_by_pool = Lookup(Template, "pool", lambda template: (entry.pool for entry in template.status.pools))
vms_by_zone = Lookup(VirtualMachine, "zone", lambda vm: (vm.spec.zone,))
vms_by_adopted = Lookup(VirtualMachine, "adopted", lambda vm: (vm.spec.adopt.instance_id,) if vm.spec.adopt else ())
vms_by_cluster = Lookup(VirtualMachine, "cluster", lambda vm: _some(vm.status.cluster))
vms_by_host = Lookup(VirtualMachine, "host", lambda vm: _some(vm.status.host))
vms_by_offering = Lookup(VirtualMachine, "offering", lambda vm: (vm.spec.offering,))
vms_by_template = Lookup(VirtualMachine, "template", _template)
vms_by_network = Lookup(VirtualMachine, "network", _networks)
vms_by_pool = Lookup(VirtualMachine, "pool", lambda vm: (disk.pool for disk in vm.status.disks))
vms_leaving = Lookup(VirtualMachine, "leaving", lambda vm: (nic.network for nic in nics_of(vm)) if leaves(vm) else ())
vms_unplaced = Lookup(VirtualMachine, "unplaced", lambda vm: () if vm.status.host else (vm.spec.zone,))
vms_by_volume = Lookup(VirtualMachine, "volume", _volumes)
vms_by_secret = Lookup(VirtualMachine, "secret", _user_data_secret)
volumes_by_zone = Lookup(Volume, "zone", lambda volume: (volume.spec.zone,))
volumes_by_pool = Lookup(Volume, "pool", lambda volume: _some(volume.status.pool))
volumes_by_host = Lookup(Volume, "host", lambda volume: _some(volume.status.host))
volumes_by_attached_host = Lookup(Volume, "attachedHost", _attached_host)
volumes_by_id = Lookup(Volume, "id", lambda volume: (volume_id(volume.metadata.uid),))
volumes_by_lun = Lookup(Volume, "lun", lambda volume: _some(lun_of(volume)))
volumes_by_template = Lookup(Volume, "template", _volume_template)
volumes_by_snapshot = Lookup(Volume, "snapshot", _volume_snapshot)
snapshots_by_vm = Lookup(Snapshot, "virtualMachine", _own(lambda each: each.spec.virtual_machine))
snapshots_by_volume = Lookup(Snapshot, "volume", _own(lambda each: each.spec.volume))
snapshots_by_pool = Lookup(Snapshot, "pool", lambda snapshot: (snapshot.status.pool or NOWHERE,))
restores_by_snapshot = Lookup(SnapshotRestore, "snapshot", _own(lambda each: each.spec.snapshot))

LOOKUPS: tuple[Lookup[Any], ...] = (
    pods_by_zone,
    clusters_by_zone,
    clusters_by_pod,
    clusters_by_secret,
    hosts_by_cluster,
    hosts_up_by_cluster,
    hosts_by_native_id,
    hosts_with_orphans,
    hosts_by_secret,
    pools_by_scope,
    pools_by_secret,
    pools_by_zone,
    pools_by_cluster,
    pools_by_host,
    networks_by_left,
    networks_by_zone,
    templates_by_pool,
    vms_by_zone,
    vms_by_adopted,
    vms_by_cluster,
    vms_by_host,
    vms_by_offering,
    vms_by_template,
    vms_by_network,
    vms_by_pool,
    vms_by_secret,
    vms_by_volume,
    vms_leaving,
    vms_unplaced,
    volumes_by_zone,
    volumes_by_pool,
    volumes_by_host,
    volumes_by_attached_host,
    volumes_by_id,
    volumes_by_lun,
    volumes_by_template,
    volumes_by_snapshot,
    snapshots_by_vm,
    snapshots_by_volume,
    snapshots_by_pool,
    restores_by_snapshot,
)
"""Every lookup."""
