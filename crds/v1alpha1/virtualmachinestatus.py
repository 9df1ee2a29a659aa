"""Status of a VirtualMachine: what Vireo chose for it and what the hypervisor and the guest report."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from crds.base import Model
from crds.fields import MAC, Count, Label, ListType, Name, ObservedIPv4, Quantity, Text, Timestamp
from crds.status import Job, Known, Status

__all__ = [
    "AdoptionPhase",
    "AdoptionStatus",
    "Difference",
    "DiskStatus",
    "Effect",
    "GuestStatus",
    "NICStatus",
    "Needs",
    "PendingChange",
    "PlacementReport",
    "VirtualMachineState",
    "VirtualMachineStatus",
    "VolumeMountStatus",
]


class VirtualMachineState(StrEnum):
    """CloudStack's VM states (com.cloud.vm.VirtualMachine.State)."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    DESTROYED = "Destroyed"
    EXPUNGING = "Expunging"
    MIGRATING = "Migrating"
    ERROR = "Error"
    UNKNOWN = "Unknown"
    RESTORING = "Restoring"


class Needs(StrEnum):
    """What must happen before a change takes effect."""

    RESTART = "Restart"
    POWER_OFF = "PowerOff"
    RECREATE = "Recreate"


class NICStatus(Model):
    """A network interface as it was made."""

    name: Label
    """Name from spec.networks."""
    mac: MAC
    """MAC address; stays for the VM's life."""
    ip: ObservedIPv4 | None = None
    """IPv4 address given to the guest; absent where Vireo does not manage addresses."""
    network: Annotated[str, Field(max_length=317)]
    """Network, as namespace/name."""
    segment: Annotated[str, Field(max_length=64)] | None = None
    """Layer-2 segment, such as vlan-120."""


class DiskStatus(Model):
    """A disk as it was made."""

    name: Label
    """Name of the disk; root for the first."""
    pool: Name
    """StoragePool that the disk is in."""
    volume_id: Annotated[str, Field(max_length=1024)] | None = None
    """The hypervisor's path or identifier of the disk."""
    size: Quantity
    """Size that the guest sees, a quantity in bytes."""


class VolumeMountStatus(Model):
    """A volume that the VM has."""

    name: Label
    """Name from spec.volumes."""
    volume: Name | None = None
    """Name of the Volume; absent where there is none with that identity."""
    volume_id: Annotated[str, Field(max_length=1024)]
    """UUID of the volume in the hypervisor."""
    size: Quantity
    """Size that the guest sees, a quantity in bytes."""


class GuestStatus(Model):
    """What the guest agent reports."""

    agent: bool = False
    """Whether the guest agent answers."""
    hostname: Annotated[str, Field(max_length=253)] | None = None
    """Host name that the guest has."""
    addresses: Annotated[list[Annotated[str, Field(max_length=45)]], Field(max_length=64), ListType("atomic")] = Field(
        default_factory=list
    )
    """Addresses that the guest has, IPv4 and IPv6, without those of its own loopback and link."""


class PendingChange(Model):
    """A field of spec that the running VM does not have yet."""

    field: Annotated[str, Field(max_length=256)]
    """Field, such as spec.offering."""
    current: Text | None = None
    """What the VM has."""
    desired: Text | None = None
    """What spec says."""
    needs: Known[Needs]
    """What it takes: Restart, PowerOff or Recreate."""


class AdoptionPhase(StrEnum):
    """How far the adoption of a VM is."""

    NOT_FOUND = "NotFound"
    REFUSED = "Refused"
    DIFFERS = "Differs"
    MATCHES = "Matches"
    ADOPTED = "Adopted"


class Effect(StrEnum):
    """What adopting a VM does about a difference."""

    LIVE = "Live"
    RESTART = "Restart"
    POWER_OFF = "PowerOff"
    REFUSED = "Refused"
    IGNORED = "Ignored"


class Difference(Model):
    """How a VM that is to be adopted differs from spec."""

    field: Annotated[str, Field(max_length=256)]
    """Field of spec, such as spec.offering, or the device of the VM that spec says nothing of."""
    declared: Text | None = None
    """What spec says."""
    actual: Text | None = None
    """What the VM has."""
    effect: Known[Effect]
    """Live (is changed at once), Restart, PowerOff (waits for that), Refused (forbids the adoption), Ignored (stays as it is)."""
    message: Text | None = None
    """Why, where that is not plain."""


class AdoptionStatus(Model):
    """What is known of a VM that is to be adopted."""

    phase: Known[AdoptionPhase]
    """NotFound, Refused, Differs, Matches or Adopted."""
    host: Name | None = None
    """Host that the VM was found on."""
    differences: Annotated[list[Difference], Field(max_length=64), ListType("map", ("field",))] = Field(default_factory=list)
    """Differences between spec and the VM; of an adopted VM status.pendingChanges tells what is left of them."""


HostNames = Annotated[list[Name], Field(max_length=3), ListType("atomic")]


class PlacementReport(Model):
    """Why no host was found."""

    rejected: Annotated[dict[str, Count], Field(max_length=32)] = Field(default_factory=dict)
    """Hosts that do not fit, counted by reason."""
    examples: Annotated[dict[str, HostNames], Field(max_length=32)] = Field(default_factory=dict)
    """The first of these hosts by name, at most three for each reason."""
    message: Text = ""
    """The same in a sentence."""


class VirtualMachineStatus(Status):
    """State of a VM."""

    state: Known[VirtualMachineState] | None = None
    """Starting, Running, Stopping, Stopped, Destroyed, Expunging, Migrating, Error, Unknown or Restoring.

    Migrating is reserved for moves between hosts, which Vireo does not make yet.
    """
    job: Job | None = None
    """The running or last job."""
    host: Name | None = None
    """Host that the VM is placed on."""
    cluster: Name | None = None
    """Cluster of that host."""
    shard: Annotated[int, Field(ge=1, le=15)] | None = None
    """Shard of that cluster, which works on the VM; absent while shard 0 does. See docs/how-to/shards.md."""
    instance_id: Annotated[str, Field(max_length=64)] | None = None
    """UUID of the VM in the hypervisor; made from this object's uid, or that of the VM that was adopted."""
    hypervisor_name: Annotated[str, Field(max_length=255)] | None = None
    """Name of the VM in the hypervisor."""
    ip_address: ObservedIPv4 | None = None
    """First address, for kubectl get."""
    nics: Annotated[list[NICStatus], Field(max_length=16), ListType("map", ("name",))] = Field(default_factory=list)
    """Network interfaces, by name."""
    former_nics: Annotated[list[NICStatus], Field(max_length=16), ListType("atomic")] = Field(default_factory=list)
    """Network interfaces that the VM was last seen with and that are not declared so any more. Their addresses are nobody else's
    until they are seen to be gone."""
    disks: Annotated[list[DiskStatus], Field(max_length=64), ListType("map", ("name",))] = Field(default_factory=list)
    """Disks, by name."""
    volumes: Annotated[list[VolumeMountStatus], Field(max_length=64), ListType("map", ("name",))] = Field(default_factory=list)
    """Volumes that the VM has, by name."""
    guest: GuestStatus | None = None
    """What the guest agent reports; absent before it was ever asked."""
    pending_changes: Annotated[list[PendingChange], Field(max_length=32), ListType("map", ("field",))] = Field(default_factory=list)
    """Fields of spec that the running VM does not have yet."""
    adoption: AdoptionStatus | None = None
    """The report on a VM that is to be adopted, or that it was; absent for every other VM."""
    placement_report: PlacementReport | None = None
    """Why no host was found; absent once placed."""
    stopped_at: Timestamp | None = None
    """When the VM was seen stopped; absent while it runs. RFC 3339 UTC."""
    room_released: bool | None = None
    """True once a stopped VM has given CPU and memory back, after the Cluster's stoppedReservation; to start, it needs room
    again."""
    applied_restart_at: Timestamp | None = None
    """spec.restartedAt as last carried out; RFC 3339 UTC."""
