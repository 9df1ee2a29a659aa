"""Cluster: hosts of one hypervisor kind."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule
from crds.fields import Count, Duration, Name
from crds.references import Allocated, AllocationState, AllowedNamespaces, Capacity, Endpoint
from crds.status import Status

__all__ = [
    "VXLAN",
    "Cluster",
    "ClusterSpec",
    "ClusterStatus",
    "DisableThreshold",
    "GuestNetwork",
    "GuestNetworkBackend",
    "Hypervisor",
    "Overcommit",
]


class Hypervisor(StrEnum):
    """Kinds of hypervisor that have a driver."""

    KVM = "KVM"
    SIMULATOR = "Simulator"


class GuestNetworkBackend(StrEnum):
    """How a host carries guest segments."""

    OVS = "OVS"
    BRIDGE = "Bridge"
    LINUX = "Linux"


class VXLAN(Model):
    """A VXLAN overlay."""

    group: Annotated[str, Field(max_length=15, pattern=r"^2(2[4-9]|3[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}$")]
    """Multicast group in which the hosts find each other, IPv4, such as 239.1.1.1; one for all hosts of a Zone, and no other's."""


class GuestNetwork(Model):
    """How the cluster's hosts carry guest segments."""

    RULES = (
        Rule(
            "(self.backend != 'Linux') == has(self.bridge)",
            "bridge is required for OVS and Bridge, not allowed for Linux",
            ".bridge",
        ),
        Rule(
            "(self.backend == 'Linux') == has(self.uplink)",
            "uplink is required for Linux, not allowed for OVS and Bridge",
            ".uplink",
        ),
        Rule("self.backend == 'Linux' || !has(self.vxlan)", "vxlan is for backend Linux only", ".vxlan"),
        Rule(
            "!has(self.bridge) || (self.backend == 'Bridge') == self.bridge.contains('{segment}')",
            "bridge must contain {segment} for backend Bridge, and must not for OVS",
            ".bridge",
        ),
        Rule(
            "!has(self.bridge) || size(self.bridge.replace('{segment}', '4094')) <= 15",
            "bridge must be at most 15 characters with the VLAN id filled in",
            ".bridge",
        ),
    )

    backend: GuestNetworkBackend
    """OVS: one Open vSwitch bridge, VLANs as tags on its ports. Bridge: an existing Linux bridge per VLAN. Linux: Vireo makes a
    bridge per VLAN over SSH, and carries it over `uplink`."""
    bridge: Annotated[str, Field(min_length=1, max_length=20, pattern=r"^[A-Za-z0-9_.-]*(\{segment\})?[A-Za-z0-9_.-]*$")] | None = (
        None
    )
    """Name of the bridge on each host; for Bridge a pattern such as br-vlan{segment}, where {segment} becomes the VLAN id.
    Required for OVS and Bridge, not allowed for Linux."""
    uplink: Annotated[str, Field(max_length=15, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] | None = None
    """Interface of each host that carries the segments, such as eno2; for VXLAN with an IPv4 address and MTU 1550. Required for
    Linux, not allowed for the others."""
    vxlan: VXLAN | None = None
    """For Linux: carry segments as VXLANs, the VLAN id as VNI. Default: as VLANs on the uplink."""


Factor = Annotated[str, Field(max_length=5, pattern=r"^[1-9][0-9]?(\.[0-9]{1,2})?$")]
Threshold = Annotated[int, Field(ge=1, le=100)]


class Overcommit(Model):
    """How much more than a host has may be promised to VMs."""

    cpu: Factor = "1"
    """Virtual CPUs per logical CPU, a decimal number from "1" to "99.99". Default "1"."""
    memory: Factor = "1"
    """Guest memory per host memory, a decimal number from "1" to "99.99". Default "1"."""


class DisableThreshold(Model):
    """Use above which a cluster gets no new VMs."""

    cpu: Threshold = 85
    """Allocated CPU in percent of the overcommitted capacity, 1–100. Default 85."""
    memory: Threshold = 85
    """Allocated memory in percent of the overcommitted capacity, 1–100. Default 85."""


class ClusterSpec(Model):
    """What a cluster is."""

    RULES = (
        Rule(
            "self.hypervisor != 'KVM' || has(self.guestNetwork)",
            "guestNetwork is required for hypervisor KVM",
            ".guestNetwork",
        ),
        Rule(
            "self.hypervisor == 'KVM' || !has(self.cpuModel)",
            "cpuModel is for hypervisor KVM",
            ".cpuModel",
        ),
    )

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the cluster is in. Immutable."""
    pod: Annotated[Name, IMMUTABLE]
    """Pod that the cluster is in. Immutable."""
    hypervisor: Annotated[Hypervisor, IMMUTABLE]
    """Kind of hypervisor of all hosts: KVM or Simulator. Immutable."""
    endpoint: Endpoint | None = None
    """Endpoint that all hosts share; default: each Host has its own."""
    overcommit: Overcommit = Field(default_factory=Overcommit)
    """How much more than a host has may be promised to VMs; default: no more."""
    disable_threshold: DisableThreshold = Field(default_factory=DisableThreshold)
    """Use above which the cluster gets no new VMs; default 85 percent of each."""
    allocation_state: AllocationState = AllocationState.ENABLED
    """Whether new VMs may be placed in the cluster: Enabled or Disabled. Default Enabled."""
    cpu_model: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] | None = None
    """CPU that new VMs get, by the name of a model that all hosts have (status.guests.cpuModels), so that a VM fits each of
    them. A host without it gets no VMs. KVM only. Default: the CPU of the host that a VM is made on."""
    max_guests_per_host: Annotated[int, Field(ge=1, le=10000)] | None = None
    """VMs that a host may carry at most, 1–10000, those not counted that gave their room back. Default: no limit."""
    stopped_reservation: Annotated[
        Duration,
        Rule("duration(self) <= duration('87600h')", "must be at most 87600h (ten years)"),
    ] = Duration("1h")
    """Time that a stopped VM keeps CPU and memory on its host, a duration from 0s to 87600h; its disks stay. Default 1h."""
    adopters: AllowedNamespaces = Field(default_factory=AllowedNamespaces)
    """Namespaces whose VirtualMachines may adopt VMs found on the hosts: All, or Selector; Same means none. Default: none."""
    guest_network: GuestNetwork | None = None
    """How the hosts carry guest segments; required for KVM, not used by Simulator."""


class ClusterStatus(Status):
    """State of a cluster."""

    hosts_total: Count = 0
    """Hosts in the cluster."""
    hosts_up: Count = 0
    """Hosts in state Up."""
    capacity: Capacity = Field(default_factory=Capacity)
    """Sum of the hosts' CPU and memory, before overcommit."""
    allocated: Allocated = Field(default_factory=Allocated)
    """Sum of what is promised to VMs."""


class Cluster(Resource):
    """Hosts of one hypervisor kind that share networks and storage."""

    KIND: ClassVar[str] = "Cluster"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="clusters",
        scope="Cluster",
        short_names=("vcluster",),
        columns=(
            Column("Zone", ".spec.zone"),
            Column("Pod", ".spec.pod"),
            Column("Hypervisor", ".spec.hypervisor"),
            Column("Hosts", ".status.hostsTotal", "integer"),
            Column("Up", ".status.hostsUp", "integer"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Allocation", ".spec.allocationState", wide=True),
            Column("CPUs", ".status.capacity.cpus", "integer", wide=True),
            Column("Memory", ".status.capacity.memory", wide=True),
            Column("VMs", ".status.allocated.vms", "integer", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone", ".spec.pod", ".spec.hypervisor"),
    )

    spec: ClusterSpec
    """What the cluster is."""
    status: ClusterStatus = Field(default_factory=ClusterStatus)
    """State of the cluster."""
