"""Host: one hypervisor."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE
from crds.fields import ListType, Name, Tag, Tags, Text
from crds.references import Allocated, Capacity, Endpoint
from crds.status import Known, Status
from crds.v1alpha1.cluster import GuestNetworkBackend
from crds.v1alpha1.template import Firmware

__all__ = [
    "AdminState",
    "Host",
    "HostGuests",
    "HostNetwork",
    "HostResourceState",
    "HostSpec",
    "HostState",
    "HostStatus",
    "OrphanedVM",
]


class AdminState(StrEnum):
    """What the operator wants of a host."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    MAINTENANCE = "Maintenance"


class HostState(StrEnum):
    """CloudStack's host status (com.cloud.host.Status)."""

    CREATING = "Creating"
    CONNECTING = "Connecting"
    UP = "Up"
    DOWN = "Down"
    DISCONNECTED = "Disconnected"
    ALERT = "Alert"
    REMOVED = "Removed"
    ERROR = "Error"


class HostResourceState(StrEnum):
    """CloudStack's resource state (com.cloud.resource.ResourceState)."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PREPARE_FOR_MAINTENANCE = "PrepareForMaintenance"
    MAINTENANCE = "Maintenance"


class HostNetwork(Model):
    """How far a host can carry guest segments with one backend."""

    backend: Known[GuestNetworkBackend]
    """OVS, Bridge or Linux, as a Cluster's guestNetwork names them."""
    available: Literal["True", "False", "Unknown"]
    """Whether the host has it; Unknown where that cannot be seen from outside."""
    addresses_guarded: bool
    """Whether a guest that claims another's MAC or address is not heard."""
    message: Text = ""
    """Why not, if it is not both."""


NativeName = Annotated[str, Field(min_length=1, max_length=64)]


class HostGuests(Model):
    """What guests may have on a host, by the hypervisor's own names."""

    domain_types: Annotated[list[NativeName], Field(max_length=128), ListType("set")] = Field(default_factory=list)
    """Kinds of guests: kvm, which the processor runs, and qemu, which are emulated."""
    machine_types: Annotated[list[NativeName], Field(max_length=128), ListType("set")] = Field(default_factory=list)
    """Machine types, the newest first. New VMs get the newest, and keep it."""
    firmwares: Annotated[list[Known[Firmware]], Field(max_length=8), ListType("set")] = Field(default_factory=list)
    """BIOS, UEFI."""
    cpu_model: NativeName | None = None
    """The host's CPU by the name of a model."""
    cpu_models: Annotated[list[NativeName], Field(max_length=128), ListType("set")] = Field(default_factory=list)
    """CPU models that guests can have on this host."""
    lacks: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=16), ListType("atomic")] = Field(
        default_factory=list
    )
    """What other hosts have and this one does not, in words."""


class HostSpec(Model):
    """What a host is."""

    cluster: Annotated[Name, IMMUTABLE]
    """Cluster that the host is in. Immutable."""
    endpoint: Endpoint | None = None
    """Endpoint of this host; default: the Cluster's."""
    native_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """The host's name as a shared endpoint lists it. Default: metadata.name."""
    tags: Tags = Field(default_factory=list)
    """Host tags; offerings and VMs ask for them. Default: none."""
    admin_state: AdminState = AdminState.ENABLED
    """Enabled; Disabled: no new VMs, those there stay; or Maintenance: none is started either, see status.running. Default
    Enabled."""


class OrphanedVM(Model):
    """A VM with Vireo's mark that no VirtualMachine declares."""

    instance_id: Annotated[str, Field(max_length=64)]
    """UUID of the VM in the hypervisor."""
    owner: Annotated[str, Field(max_length=317)]
    """The VirtualMachine that it was made for, as namespace/name."""


class HostStatus(Status):
    """State of a host."""

    state: Known[HostState] | None = None
    """Connection: Creating, Connecting, Up, Down, Disconnected, Alert, Removed or Error.

    Removed is reserved for a client of CloudStack's API: a Host that was removed has no object that could say so.
    """
    resource_state: Known[HostResourceState] | None = None
    """Enabled, Disabled, PrepareForMaintenance (VMs still run) or Maintenance (none does), as last carried out."""
    version: Annotated[str, Field(max_length=128)] | None = None
    """Version of the hypervisor."""
    native_id: Annotated[str, Field(max_length=128)] | None = None
    """The hypervisor's own identifier of the host."""
    hypervisor: Annotated[str, Field(max_length=64)] | None = None
    """Kind of the hypervisor, as it names itself."""
    capacity: Capacity = Field(default_factory=Capacity)
    """What the host has."""
    allocatable: Capacity = Field(default_factory=Capacity)
    """What may be promised to VMs, after overcommit."""
    allocated: Allocated = Field(default_factory=Allocated)
    """What is promised to VMs."""
    running: Annotated[list[Annotated[str, Field(max_length=317)]], Field(max_length=100), ListType("set")] = Field(
        default_factory=list
    )
    """VMs that keep a host from Maintenance, as namespace/name, the first 100: they run, and can't move to another host."""
    orphans: Annotated[list[OrphanedVM], Field(max_length=100), ListType("map", ("instanceID",))] = Field(default_factory=list)
    """VMs on the host that Vireo made and nobody declares any more, the first 100. They are not touched, and keep their
    addresses, until a VirtualMachine adopts them."""
    capabilities: Annotated[list[Tag], Field(max_length=64), ListType("set")] = Field(default_factory=list)
    """What the host can do, such as GuestAgent or CPUAddLive."""
    networks: Annotated[list[HostNetwork], Field(max_length=8), ListType("map", ("backend",))] = Field(default_factory=list)
    """What the host can carry guest segments with; empty for hypervisors without such a choice."""
    guests: HostGuests | None = None
    """What guests may have on the host; absent for hypervisors that do not tell."""


class Host(Resource):
    """One hypervisor that runs VMs."""

    KIND: ClassVar[str] = "Host"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="hosts",
        scope="Cluster",
        short_names=("vhost",),
        columns=(
            Column("Cluster", ".spec.cluster"),
            Column("State", ".status.state"),
            Column("Resource", ".status.resourceState"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("VMs", ".status.allocated.vms", "integer"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("CPUs", ".status.capacity.cpus", "integer", wide=True),
            Column("Memory", ".status.capacity.memory", wide=True),
            Column("CPUs-Used", ".status.allocated.cpus", "integer", wide=True),
            Column("Memory-Used", ".status.allocated.memory", wide=True),
            Column("Hypervisor", ".status.hypervisor", wide=True),
            Column("Version", ".status.version", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.cluster", ".spec.adminState", ".status.state"),
    )

    spec: HostSpec
    """What the host is."""
    status: HostStatus = Field(default_factory=HostStatus)
    """State of the host."""
