"""Pod: a rack of a zone."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE
from crds.fields import CIDR, Count, Name
from crds.references import AllocationState
from crds.status import Status

__all__ = ["Pod", "PodCounts", "PodSpec", "PodStatus"]


class PodSpec(Model):
    """What a pod is."""

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the pod is in. Immutable."""
    management_cidr: CIDR | None = None
    """Network of the hosts' management addresses, IPv4 CIDR; must not overlap another pod's of the zone. Default: not declared."""
    allocation_state: AllocationState = AllocationState.ENABLED
    """Whether new VMs may be placed in the pod: Enabled or Disabled. Default Enabled."""


class PodCounts(Model):
    """What is in a pod."""

    clusters: Count = 0
    """Clusters in the pod."""
    hosts: Count = 0
    """Hosts in the pod."""
    hosts_up: Count = 0
    """Hosts in state Up."""


class PodStatus(Status):
    """State of a pod."""

    counts: PodCounts = Field(default_factory=PodCounts)
    """What is in the pod."""


class Pod(Resource):
    """A rack of a zone: clusters that share power, switches and a management network."""

    KIND: ClassVar[str] = "Pod"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="pods",
        scope="Cluster",
        short_names=("vpod",),
        columns=(
            Column("Zone", ".spec.zone"),
            Column("Allocation", ".spec.allocationState"),
            Column("Hosts", ".status.counts.hosts", "integer"),
            Column("Up", ".status.counts.hostsUp", "integer"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Management", ".spec.managementCIDR", wide=True),
            Column("Clusters", ".status.counts.clusters", "integer", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone",),
    )

    spec: PodSpec
    """What the pod is."""
    status: PodStatus = Field(default_factory=PodStatus)
    """State of the pod."""
