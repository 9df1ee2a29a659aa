"""What is in a zone, counted."""

from __future__ import annotations

from collections.abc import Sequence

from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import (
    clusters_by_zone,
    hosts_of_clusters,
    hosts_up_by_cluster,
    networks_by_zone,
    pods_by_zone,
    pools_by_zone,
    vms_by_zone,
)
from crds.v1alpha1 import Zone
from crds.v1alpha1.zone import VLANRange, ZoneCounts, ZoneSegments


def counts(store: Store, zone: str) -> ZoneCounts:
    """Pods, clusters and hosts of the zone."""
    clusters = clusters_by_zone.keys(store, zone)
    return ZoneCounts(
        pods=len(pods_by_zone.keys(store, zone)),
        clusters=len(clusters),
        hosts=len(hosts_of_clusters(store, clusters)),
        hosts_up=sum(len(hosts_up_by_cluster.keys(store, cluster.name)) for cluster in clusters),
    )


def segments(store: Store, zone: Zone) -> ZoneSegments:
    """VLAN ids of the zone's ranges, each counted once where ranges overlap, and how many of them networks have.

    A network's pinned segment outside the ranges is not counted: it takes nothing from them.
    """
    ids = vlan_ids(zone.spec.guest_vlans)
    networks = networks_by_zone.of(store, zone.metadata.name)
    taken = {network.status.segment.vlan for network in networks if network.status.segment}
    return ZoneSegments(vlans_total=len(ids), vlans_allocated=len(ids & taken))


def vlan_ids(ranges: Sequence[VLANRange]) -> set[int]:
    """The VLAN ids of these ranges."""
    return {vlan for each in ranges for vlan in range(each.start, each.end + 1)}


def users(store: Store, zone: str) -> list[Key]:
    """What keeps a zone from being deleted: everything in it."""
    lookups = (pods_by_zone, clusters_by_zone, pools_by_zone, networks_by_zone, vms_by_zone)
    return [key for lookup in lookups for key in lookup.keys(store, zone)]
