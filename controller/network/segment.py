"""Which segment a Network has."""

from __future__ import annotations

from controller.ipam import Refusal, SegmentAllocator, VLANRange
from controller.shared.owners import segment_owner
from crds.v1alpha1.network import Network, Segment
from crds.v1alpha1.zone import Zone


def reserve(network: Network, zone: Zone, segments: SegmentAllocator) -> Segment | Refusal:
    """The segment that the Network has, pins, or is given out of the Zone's ranges."""
    pinned = network.spec.segment.vlan if network.spec.segment else None
    ranges = [VLANRange(each.start, each.end) for each in zone.spec.guest_vlans]
    found = segments.reserve(zone.metadata.name, ranges, segment_owner(network), pinned)
    return found if isinstance(found, Refusal) else Segment(vlan=found.vlan or 0)
