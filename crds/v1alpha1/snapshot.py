"""Snapshot: the content of a VM or of a Volume at one moment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule, immutable_optional
from crds.fields import Name, Quantity, Timestamp
from crds.status import Job, Known, Status

__all__ = ["Snapshot", "SnapshotSpec", "SnapshotState", "SnapshotStatus"]


class SnapshotState(StrEnum):
    """CloudStack's states: of a VM snapshot (com.cloud.vm.snapshot.VMSnapshot.State) and of a volume's (Snapshot.State)."""

    ALLOCATED = "Allocated"
    CREATING = "Creating"
    READY = "Ready"
    REVERTING = "Reverting"
    EXPUNGING = "Expunging"
    BACKED_UP = "BackedUp"
    DESTROYING = "Destroying"
    ERROR = "Error"


class SnapshotSpec(Model):
    """What to take a snapshot of, and how."""

    RULES = (
        Rule("has(self.virtualMachine) != has(self.volume)", "exactly one of virtualMachine and volume must be set"),
        Rule("!(self.includeMemory && self.quiesce)", "includeMemory and quiesce exclude each other"),
        Rule(
            "has(self.virtualMachine) || !(self.includeMemory || self.quiesce)",
            "includeMemory and quiesce go with virtualMachine only",
        ),
        immutable_optional("virtualMachine"),
        immutable_optional("volume"),
    )

    virtual_machine: Name | None = None
    """VirtualMachine of this namespace: all its disks and volumes at one moment. It goes with the VM. Immutable."""
    volume: Name | None = None
    """Volume of this namespace: a content of its own in the same pool, which outlives the volume. Immutable."""
    include_memory: Annotated[bool, IMMUTABLE] = False
    """Take the running state of the VM too; it must run. Default false. Immutable."""
    quiesce: Annotated[bool, IMMUTABLE] = False
    """Have the guest agent freeze the guest's filesystems meanwhile. Default false. Immutable."""


class SnapshotStatus(Status):
    """State of a snapshot."""

    state: Known[SnapshotState] | None = None
    """Of a VM: Allocated, Creating, Ready, Reverting, Expunging or Error. Of a volume: Allocated, Creating, BackedUp, Destroying
    or Error."""
    job: Job | None = None
    """The running or last job."""
    snapshot_id: Annotated[str, Field(max_length=64)] | None = None
    """UUID of the snapshot in the hypervisor; made from this object's uid."""
    source_id: Annotated[str, Field(max_length=64)] | None = None
    """UUID in the hypervisor of the VM or volume that it was taken of; another one of that name has none of its content."""
    created_at: Timestamp | None = None
    """When it was taken; RFC 3339 UTC."""
    size: Quantity | None = None
    """Size of the content as a guest sees it, a quantity in bytes; of a volume's snapshot only."""
    parent: Annotated[str, Field(max_length=253)] | None = None
    """The VM's snapshot that this one continues from: name of its Snapshot, or its UUID where there is none; absent at the root."""
    host: Name | None = None
    """Host that it was taken on."""
    pool: Name | None = None
    """StoragePool that a volume's snapshot is in."""
    memory: bool | None = None
    """Whether it holds the running state of the VM."""


class Snapshot(Resource):
    """The content of a VM, with or without its memory, or of a Volume, at one moment."""

    KIND: ClassVar[str] = "Snapshot"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="snapshots",
        scope="Namespaced",
        short_names=("vsnap",),
        columns=(
            Column("State", ".status.state"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("VM", ".spec.virtualMachine"),
            Column("Volume", ".spec.volume"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Memory", ".status.memory", "boolean", wide=True),
            Column("Parent", ".status.parent", wide=True),
            Column("Size", ".status.size", wide=True),
            Column("Host", ".status.host", wide=True),
            Column("Job", ".status.job.command", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.virtualMachine", ".spec.volume", ".status.state"),
    )

    spec: SnapshotSpec
    """What to take a snapshot of, and how."""
    status: SnapshotStatus = Field(default_factory=SnapshotStatus)
    """State of the snapshot."""
