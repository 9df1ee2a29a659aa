"""Network: a guest network."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule, immutable_optional
from crds.fields import CIDR, MAC, VLAN, Count, IPv4, Label, ListType, Name, ObservedIPv4
from crds.references import AllowedNamespaces
from crds.status import Known, Status

__all__ = [
    "MOST_LEFT",
    "AddressRange",
    "Addressing",
    "LeftNIC",
    "Network",
    "NetworkAddresses",
    "NetworkSpec",
    "NetworkState",
    "NetworkStatus",
    "NetworkType",
    "Segment",
    "Subnet",
]

# CEL does not order addresses, so they are compared as numbers.
_NUMBER = "int({0}[0]) * 16777216 + int({0}[1]) * 65536 + int({0}[2]) * 256 + int({0}[3])"
_MALFORMED = "!isIP({0}) || ip({0}).family() != 4"  # such text has a message of its own; the rules here keep silent about it


class NetworkType(StrEnum):
    """Types of guest network, CloudStack's names."""

    L2 = "L2"
    SHARED = "Shared"


class Addressing(StrEnum):
    """Who gives guests their addresses."""

    MANAGED = "Managed"
    EXTERNAL = "External"


class NetworkState(StrEnum):
    """CloudStack's network states (com.cloud.network.Network.State), as far as a network without a router has them."""

    ALLOCATED = "Allocated"
    IMPLEMENTED = "Implemented"
    SHUTDOWN = "Shutdown"


class Segment(Model):
    """A layer-2 segment."""

    vlan: VLAN
    """VLAN id, 1–4094."""


class AddressRange(Model):
    """Addresses from start to end, both included."""

    RULES = (
        Rule(
            f"[self.start, self.end].exists(a, {_MALFORMED.format('a')}) || "
            f"[self.start.split('.')].all(s, [self.end.split('.')].all(e, {_NUMBER.format('s')} <= {_NUMBER.format('e')}))",
            "start must not be greater than end",
        ),
    )

    start: IPv4
    """First address, IPv4."""
    end: IPv4
    """Last address, IPv4."""


class Subnet(Model):
    """The addresses of a network."""

    RULES = (
        Rule(
            f"!has(self.gateway) || {_MALFORMED.format('self.gateway')} || !isCIDR(self.cidr) || "
            "cidr(self.cidr).containsIP(self.gateway)",
            "gateway must be an address of cidr",
            ".gateway",
        ),
        Rule(
            "!has(self.ranges) || !isCIDR(self.cidr) || "
            f"self.ranges.all(r, [r.start, r.end].all(a, {_MALFORMED.format('a')} || cidr(self.cidr).containsIP(a)))",
            "ranges must lie within cidr",
            ".ranges",
        ),
    )

    cidr: Annotated[
        CIDR,
        IMMUTABLE,
        Rule(
            "!isCIDR(self) || cidr(self).ip().family() != 4 || (cidr(self).prefixLength() >= 8 && cidr(self).prefixLength() <= 30)",
            "must be a /8 to /30",
        ),
    ]
    """Network of the subnet, IPv4 CIDR, /8 to /30. Immutable."""
    gateway: IPv4 | None = None
    """Default gateway of the guests. Default: none."""
    dns: Annotated[list[IPv4], Field(max_length=3), ListType("atomic")] = Field(default_factory=list)
    """Name servers of the guests, IPv4, in order. Default: the Zone's."""
    ranges: Annotated[list[AddressRange], Field(max_length=32), ListType("atomic")] = Field(default_factory=list)
    """Addresses that VMs are given. Default: all of cidr but its first and last address and the gateway."""
    addressing: Addressing = Addressing.MANAGED
    """Managed: Vireo gives addresses and tells guests through cloud-init. External: the network runs DHCP. Default Managed."""


class NetworkSpec(Model):
    """What a network is."""

    RULES = (
        Rule("(self.type == 'Shared') == has(self.subnet)", "subnet is required for type Shared and not allowed for L2", ".subnet"),
        immutable_optional("segment"),
    )

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the network is in. Immutable."""
    type: Annotated[NetworkType, IMMUTABLE]
    """L2 (a segment without addresses) or Shared (a segment with a subnet). Immutable."""
    segment: Segment | None = None
    """Pinned segment. Default: one of the Zone's guestVlans, see status.segment. Immutable."""
    subnet: Subnet | None = None
    """Addresses of the network; for type Shared only."""
    allowed_namespaces: AllowedNamespaces = Field(default_factory=AllowedNamespaces)
    """Namespaces whose VMs may use the network. Default: its own only."""


class NetworkAddresses(Model):
    """Use of the addresses."""

    total: Count = 0
    """Addresses that VMs can be given."""
    allocated: Count = 0
    """Addresses that VMs have."""


MOST_LEFT = 1000


class LeftNIC(Model):
    """A network interface that is in use though no VirtualMachine declares it."""

    instance_id: Annotated[str, Field(min_length=1, max_length=64)]
    """UUID of the VM in the hypervisor."""
    name: Label
    """Name of the interface."""
    virtual_machine: Annotated[str, Field(max_length=317)]
    """The VirtualMachine that it was made for, as namespace/name."""
    uid: Annotated[str, Field(max_length=64)]
    """UID of that object."""
    host: Name | None = None
    """Host that the VM was left on."""
    mac: MAC
    """MAC address."""
    ip: ObservedIPv4 | None = None
    """IPv4 address given to the guest; absent where Vireo does not manage addresses."""


class NetworkStatus(Status):
    """State of a network."""

    state: Known[NetworkState] | None = None
    """Allocated (no segment yet), Implemented or Shutdown."""
    segment: Segment | None = None
    """Segment of the network, pinned or allocated; stays for its life."""
    addresses: NetworkAddresses = Field(default_factory=NetworkAddresses)
    """Use of the addresses."""
    left: Annotated[list[LeftNIC], Field(max_length=MOST_LEFT), ListType("map", ("instanceID", "name"))] = Field(
        default_factory=list
    )
    """Interfaces of VMs that were left in a hypervisor when their objects went: their addresses are given to nobody else."""


class Network(Resource):
    """A guest network: a layer-2 segment, with or without addresses that Vireo manages."""

    KIND: ClassVar[str] = "Network"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="networks",
        scope="Namespaced",
        short_names=("vnet",),
        columns=(
            Column("Zone", ".spec.zone"),
            Column("Type", ".spec.type"),
            Column("State", ".status.state"),
            Column("VLAN", ".status.segment.vlan", "integer"),
            Column("CIDR", ".spec.subnet.cidr"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Addresses", ".status.addresses.total", "integer", wide=True),
            Column("Addresses-Used", ".status.addresses.allocated", "integer", wide=True),
            Column("Gateway", ".spec.subnet.gateway", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone", ".spec.type", ".status.state"),
    )

    spec: NetworkSpec
    """What the network is."""
    status: NetworkStatus = Field(default_factory=NetworkStatus)
    """State of the network."""
