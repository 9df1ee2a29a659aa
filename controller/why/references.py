"""What an object of each kind refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.runtime.keys import Key
from crds.v1alpha1 import (
    Cluster,
    Host,
    Network,
    Pod,
    Snapshot,
    SnapshotRestore,
    StoragePool,
    VirtualMachine,
    Volume,
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One object that another names, and the field that does."""

    key: Key
    field: str


def references(obj: Any) -> list[Reference]:
    """Everything that the object names, in the order in which it is needed; each object once."""
    find = _FINDERS.get(obj.KIND)
    found: dict[Key, Reference] = {}
    for reference in find(obj) if find else ():
        if reference.key.name:
            found.setdefault(reference.key, reference)
    return list(found.values())


def _to(kind: str, name: str | None, field: str, namespace: str = "") -> Reference:
    return Reference(Key(kind, namespace, name or ""), field)


def _vm(vm: VirtualMachine) -> Iterator[Reference]:
    own = vm.metadata.namespace
    yield _to("Zone", vm.spec.zone, "spec.zone")
    yield _to("ServiceOffering", vm.spec.offering, "spec.offering")
    if template := vm.spec.template:
        yield _to("Template", template.name, "spec.template", template.namespace or own)
    for nic in vm.spec.networks:
        yield _to("Network", nic.network, f"spec.networks[{nic.name}]", nic.network_namespace or own)
    for volume in vm.spec.volumes:
        yield _to("Volume", volume.volume, f"spec.volumes[{volume.name}]", own)
    yield _to("Cluster", vm.spec.placement.cluster, "spec.placement.cluster")
    yield _to("Host", vm.spec.placement.host, "spec.placement.host")
    yield _to("Host", vm.status.host, "status.host")
    for disk in vm.status.disks:
        yield _to("StoragePool", disk.pool, f"status.disks[{disk.name}]")


def _volume(volume: Volume) -> Iterator[Reference]:
    own, source = volume.metadata.namespace, volume.spec.source
    yield _to("Zone", volume.spec.zone, "spec.zone")
    yield _to("StoragePool", volume.spec.pool, "spec.pool")
    if source and source.snapshot:
        yield _to("Snapshot", source.snapshot.name, "spec.source.snapshot", own)
    if source and source.template:
        yield _to("Template", source.template.name, "spec.source.template", source.template.namespace or own)
    yield _to("StoragePool", volume.status.pool, "status.pool")
    yield _to("Host", volume.status.host, "status.host")


def _snapshot(snapshot: Snapshot) -> Iterator[Reference]:
    own = snapshot.metadata.namespace
    yield _to("VirtualMachine", snapshot.spec.virtual_machine, "spec.virtualMachine", own)
    yield _to("Volume", snapshot.spec.volume, "spec.volume", own)
    yield _to("Host", snapshot.status.host, "status.host")
    yield _to("StoragePool", snapshot.status.pool, "status.pool")


def _restore(restore: SnapshotRestore) -> Iterator[Reference]:
    yield _to("Snapshot", restore.spec.snapshot, "spec.snapshot", restore.metadata.namespace)


def _pod(pod: Pod) -> Iterator[Reference]:
    yield _to("Zone", pod.spec.zone, "spec.zone")


def _cluster(cluster: Cluster) -> Iterator[Reference]:
    yield _to("Zone", cluster.spec.zone, "spec.zone")
    yield _to("Pod", cluster.spec.pod, "spec.pod")


def _host(host: Host) -> Iterator[Reference]:
    yield _to("Cluster", host.spec.cluster, "spec.cluster")


def _pool(pool: StoragePool) -> Iterator[Reference]:
    yield _to("Zone", pool.spec.zone, "spec.zone")
    yield _to("Cluster", pool.spec.cluster, "spec.cluster")
    yield _to("Host", pool.spec.host, "spec.host")


def _network(network: Network) -> Iterator[Reference]:
    yield _to("Zone", network.spec.zone, "spec.zone")


_FINDERS: dict[str, Callable[[Any], Iterator[Reference]]] = {
    "VirtualMachine": _vm,
    "Volume": _volume,
    "Snapshot": _snapshot,
    "SnapshotRestore": _restore,
    "Pod": _pod,
    "Cluster": _cluster,
    "Host": _host,
    "StoragePool": _pool,
    "Network": _network,
}
