"""Manifests of a small cloud, as a user would write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Manifest = dict[str, Any]
API_VERSION = "vireo.dev/v1alpha1"
NAMESPACED = {"Template", "Network", "VirtualMachine", "Volume", "Snapshot", "SnapshotRestore"}


def manifest(kind: str, name: str, **spec: Any) -> Manifest:
    """An object of ours; fields as in YAML."""
    metadata = {"name": name, "namespace": "shop"} if kind in NAMESPACED else {"name": name}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def secret(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "stringData": data}


def zone(name: str = "z", first: int = 100, last: int = 199) -> Manifest:
    return manifest("Zone", name, guestVlans=[{"start": first, "end": last}])


def offering(name: str, cpus: int, memory: str) -> Manifest:
    return manifest("ServiceOffering", name, cpus=cpus, memory=memory)


def cluster(url: str = "", name: str = "c") -> Manifest:
    endpoint = {"endpoint": {"url": url}} if url else {}
    return manifest("Cluster", name, zone="z", pod="p", hypervisor="Simulator", **endpoint)


def host(name: str, url: str = "", cluster: str = "c", **endpoint: Any) -> Manifest:
    return manifest("Host", name, cluster=cluster, **({"endpoint": {"url": url, **endpoint}} if url else {}))


def pool(name: str = "shared", cluster: str = "c") -> Manifest:
    return manifest("StoragePool", name, zone="z", scope="Cluster", cluster=cluster, type="Directory", path=f"/pools/{name}")


def template(url: str, checksum: str = "", name: str = "tiny") -> Manifest:
    return manifest("Template", name, source={"url": url, **({"checksum": checksum} if checksum else {})})


def network(name: str = "front", cidr: str = "10.1.0.0/24", **spec: Any) -> Manifest:
    first = cidr.rpartition(".")[0]
    subnet = {"cidr": cidr, "gateway": f"{first}.1"}
    return manifest("Network", name, zone="z", type="Shared", subnet=subnet, **spec)


def vm(name: str, networks: Sequence[str | Manifest] = ("front",), **spec: Any) -> Manifest:
    nics = [{"name": each, "network": each} if isinstance(each, str) else each for each in networks]
    return manifest(
        "VirtualMachine", name, **{"zone": "z", "offering": "small", "template": {"name": "tiny"}, "networks": nics, **spec}
    )


def kvm_site(url: str, pool: str) -> tuple[Manifest, ...]:
    """A zone with one libvirt host, `kvm-1`, where guests' segments are VLANs of Open vSwitch, and a pool on it."""
    guests = {"backend": "OVS", "bridge": "ovsbr0"}
    return (
        *(zone(), manifest("Pod", "p", zone="z"), network()),
        manifest("Cluster", "c", zone="z", pod="p", hypervisor="KVM", guestNetwork=guests, overcommit={"cpu": "8"}),
        host("kvm-1", url),
        manifest("StoragePool", "local", zone="z", scope="Host", host="kvm-1", type="Directory", path=pool),
    )
