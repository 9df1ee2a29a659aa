"""A drawing of the cloud: zones, pods, clusters, hosts and the VMs on them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry

from controller.app import API_KINDS
from controller.kube import run as kube
from controller.kube.api import KubeApi
from controller.runtime.clock import SystemClock
from crds.base import Resource
from crds.v1alpha1 import Cluster, Host, Pod, VirtualMachine, Zone

T = TypeVar("T", bound=Resource)

HOSTS_WITHOUT_VMS = 5
"""Idle hosts that are shown in a cluster; the others are counted."""


@dataclass
class Node:
    """A line of the drawing and what hangs below it."""

    text: str
    children: list[Node] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The drawing, line by line."""
        yield self.text
        for index, child in enumerate(self.children):
            last = index == len(self.children) - 1
            first, rest = ("└─ ", "   ") if last else ("├─ ", "│  ")
            for number, line in enumerate(child.lines()):
                yield (first if number == 0 else rest) + line


@dataclass(frozen=True)
class Cloud:
    """The objects that the drawing shows."""

    zones: Sequence[Zone]
    pods: Sequence[Pod]
    clusters: Sequence[Cluster]
    hosts: Sequence[Host]
    vms: Sequence[VirtualMachine]


def draw(cloud: Cloud) -> list[Node]:
    """One tree per zone, then the VMs that are on no host, and those on hosts that hang in no zone."""
    vms: dict[str, list[VirtualMachine]] = defaultdict(list)
    for vm in cloud.vms:
        vms[vm.status.host or ""].append(vm)
    clusters = {each.metadata.name: Node(_cluster(each), _hosts(each, cloud.hosts, vms)) for each in cloud.clusters}
    trees = [Node(f"zone {zone.metadata.name}", _pods(zone, cloud, clusters)) for zone in cloud.zones]
    drawn = _drawn(cloud)
    unplaced, stray = vms.get("", []), [vm for vm in cloud.vms if vm.status.host and vm.status.host not in drawn]
    rest = {"on no host": unplaced, "on hosts of no zone": stray}
    return trees + [Node(title, [Node(_vm(vm)) for vm in found]) for title, found in rest.items() if found]


async def show(kubeconfig: str | None) -> None:
    """Print the drawing. Raises CredentialsError, ApiError."""
    settings = kube.Settings(Path(kubeconfig) if kubeconfig else None, "tree", "", "", "", 0)
    log = structlog.get_logger()
    opened = kube.connect(API_KINDS, settings, clock=SystemClock(), random=random.random, registry=CollectorRegistry(), log=log)
    async with opened as connection:
        api = connection.api
        cloud = Cloud(
            await _all(api, Zone),
            await _all(api, Pod),
            await _all(api, Cluster),
            await _all(api, Host),
            await _all(api, VirtualMachine),
        )
    for tree in draw(cloud):
        print(*tree.lines(), sep="\n")


async def _all(api: KubeApi, kind: type[T]) -> list[T]:
    pages = [page async for page in api.list(kind.KIND)]
    return [kind.parse(raw) for page in pages for raw in page.items]


def _drawn(cloud: Cloud) -> set[str]:
    """Hosts that hang in a zone."""
    zones = {zone.metadata.name for zone in cloud.zones}
    pods = {pod.metadata.name for pod in cloud.pods if pod.spec.zone in zones}
    clusters = {cluster.metadata.name for cluster in cloud.clusters if cluster.spec.pod in pods}
    return {host.metadata.name for host in cloud.hosts if host.spec.cluster in clusters}


def _pods(zone: Zone, cloud: Cloud, clusters: dict[str, Node]) -> list[Node]:
    pods = [pod for pod in cloud.pods if pod.spec.zone == zone.metadata.name]
    return [
        Node(f"pod {pod.metadata.name}", [clusters[c.metadata.name] for c in cloud.clusters if c.spec.pod == pod.metadata.name])
        for pod in pods
    ]


def _cluster(cluster: Cluster) -> str:
    status = cluster.status
    return f"cluster {cluster.metadata.name} ({cluster.spec.hypervisor}, {status.hosts_up} of {status.hosts_total} hosts up)"


def _hosts(cluster: Cluster, hosts: Iterable[Host], vms: dict[str, list[VirtualMachine]]) -> list[Node]:
    mine = [host for host in hosts if host.spec.cluster == cluster.metadata.name]
    busy = [Node(_host(host), [Node(_vm(vm)) for vm in vms[host.metadata.name]]) for host in mine if vms.get(host.metadata.name)]
    idle = [host for host in mine if not vms.get(host.metadata.name)]
    nodes = busy + [Node(_host(host)) for host in idle[:HOSTS_WITHOUT_VMS]]
    rest = len(idle) - HOSTS_WITHOUT_VMS
    return [*nodes, Node(f"… and {rest} more hosts without VMs")] if rest > 0 else nodes


def _host(host: Host) -> str:
    return f"host {host.metadata.name} {host.status.state or 'unknown'}"


def _vm(vm: VirtualMachine) -> str:
    name = f"{vm.metadata.namespace}/{vm.metadata.name}"
    return f"vm {name} {vm.status.state or 'Pending'} {vm.status.ip_address or ''}".rstrip()
