"""Zone: a datacentre."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import Rule
from crds.fields import VLAN, Count, IPv4, ListType
from crds.references import AllocationState
from crds.status import Status

__all__ = ["VLANRange", "Zone", "ZoneCounts", "ZoneSegments", "ZoneSpec", "ZoneStatus"]


class VLANRange(Model):
    """VLAN ids from start to end, both included."""

    RULES = (Rule("self.start <= self.end", "start must not be greater than end"),)

    start: VLAN
    """First VLAN id, 1–4094."""
    end: VLAN
    """Last VLAN id, 1–4094."""


class ZoneSpec(Model):
    """What a zone offers."""

    allocation_state: AllocationState = AllocationState.ENABLED
    """Whether new VMs may be placed in the zone: Enabled or Disabled. Default Enabled."""
    dns: Annotated[list[IPv4], Field(max_length=3), ListType("atomic")] = Field(default_factory=list)
    """Name servers for guests, IPv4, in order; used where a network names none. Default: none."""
    guest_vlans: Annotated[list[VLANRange], Field(max_length=64), ListType("atomic")] = Field(default_factory=list)
    """VLAN ids that networks without a segment of their own are given. Default: none to give."""


class ZoneCounts(Model):
    """What is in a zone."""

    pods: Count = 0
    """Pods in the zone."""
    clusters: Count = 0
    """Clusters in the zone."""
    hosts: Count = 0
    """Hosts in the zone."""
    hosts_up: Count = 0
    """Hosts in state Up."""


class ZoneSegments(Model):
    """Use of the zone's segments."""

    vlans_total: Count = 0
    """VLAN ids in spec.guestVlans."""
    vlans_allocated: Count = 0
    """VLAN ids of those that networks have."""


class ZoneStatus(Status):
    """State of a zone."""

    counts: ZoneCounts = Field(default_factory=ZoneCounts)
    """What is in the zone."""
    segments: ZoneSegments = Field(default_factory=ZoneSegments)
    """Use of the zone's segments."""


class Zone(Resource):
    """A datacentre: its guest VLANs, its name servers, and whether new VMs may be placed in it."""

    KIND: ClassVar[str] = "Zone"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="zones",
        scope="Cluster",
        short_names=("vzone",),
        columns=(
            Column("Allocation", ".spec.allocationState"),
            Column("Hosts", ".status.counts.hosts", "integer"),
            Column("Up", ".status.counts.hostsUp", "integer"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Pods", ".status.counts.pods", "integer", wide=True),
            Column("Clusters", ".status.counts.clusters", "integer", wide=True),
            Column("VLANs", ".status.segments.vlansTotal", "integer", wide=True),
            Column("VLANs-Used", ".status.segments.vlansAllocated", "integer", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
    )

    spec: ZoneSpec
    """What the zone offers."""
    status: ZoneStatus = Field(default_factory=ZoneStatus)
    """State of the zone."""
