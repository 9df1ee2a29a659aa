"""What is in a pod, and whether its management network is its own."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from controller.runtime.store import Store
from controller.shared.lookups import clusters_by_pod, hosts_of_clusters, hosts_up_by_cluster
from crds.v1alpha1 import Pod
from crds.v1alpha1.pod import PodCounts


def counts(store: Store, pod: str) -> PodCounts:
    """Clusters and hosts of the pod."""
    clusters = clusters_by_pod.keys(store, pod)
    return PodCounts(
        clusters=len(clusters),
        hosts=len(hosts_of_clusters(store, clusters)),
        hosts_up=sum(len(hosts_up_by_cluster.keys(store, cluster.name)) for cluster in clusters),
    )


def overlapping(pod: Pod, others: Iterable[Pod]) -> list[Pod]:
    """Older pods whose management network overlaps this one's: of two, only the younger is refused."""
    if pod.spec.management_cidr is None:
        return []
    mine = IPv4Network(pod.spec.management_cidr)
    return [
        other
        for other in others
        if other.spec.management_cidr and _age(other) < _age(pod) and mine.overlaps(IPv4Network(other.spec.management_cidr))
    ]


def _age(pod: Pod) -> tuple[str, str]:
    """Sorts the older first; the uid decides between those of the same second."""
    return pod.metadata.creation_timestamp or "", pod.metadata.uid
