"""Volume: a data disk with a life of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule, immutable_optional
from crds.fields import Label, Name, Quantity, Size, Tags
from crds.status import Job, Known, Status
from crds.v1alpha1.virtualmachine import DeletionPolicy, TemplateReference

__all__ = [
    "SnapshotReference",
    "Volume",
    "VolumeAttachment",
    "VolumeSource",
    "VolumeSpec",
    "VolumeState",
    "VolumeStatus",
]


class VolumeState(StrEnum):
    """CloudStack's volume states (com.cloud.storage.Volume.State), as far as a data disk has them."""

    ALLOCATED = "Allocated"
    CREATING = "Creating"
    READY = "Ready"
    EXPUNGING = "Expunging"
    EXPUNGED = "Expunged"
    REVERTING = "Reverting"
    ERROR = "Error"


class SnapshotReference(Model):
    """The snapshot that a volume is made from."""

    name: Name
    """Name of a Snapshot of a Volume, in this namespace."""


class VolumeSource(Model):
    """What a new volume holds."""

    RULES = (Rule("has(self.snapshot) != has(self.template)", "exactly one of snapshot and template must be set"),)

    snapshot: SnapshotReference | None = None
    """Snapshot of a Volume; the new volume is made in the same pool, and waits until the snapshot is Ready."""
    template: TemplateReference | None = None
    """Template whose image the volume starts as."""


class VolumeSpec(Model):
    """What a volume should be."""

    RULES = (
        immutable_optional("pool"),
        immutable_optional("source"),
        immutable_optional("lun"),
        Rule("!has(self.lun) || (has(self.pool) && !has(self.source))", "lun needs pool, and excludes source"),
    )

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the volume is in. Immutable."""
    pool: Name | None = None
    """StoragePool that the volume is made in. Default: one of the zone that fits, see status.pool. Immutable."""
    lun: Annotated[int, Field(ge=0, le=16383)] | None = None
    """LUN of the pool's target that the volume is, with a pool of type ISCSI only. It is there already and stays: it is never
    formatted, and deleting this object only lets it go. Immutable."""
    size: Annotated[Size, Rule("quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0", "must not shrink")]
    """Size, a quantity in bytes; grows only. At least that of the source; at most that of the LUN."""
    tags: Tags = Field(default_factory=list)
    """Tags that the pool must have, when the volume is placed. Default: any pool."""
    source: VolumeSource | None = None
    """What the volume holds at first. Default: nothing, it is empty. Immutable."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """Delete the volume and its content with this object, or Retain it in the pool. Default Delete."""


class VolumeAttachment(Model):
    """The VM that has a volume."""

    virtual_machine: Name
    """Name of the VirtualMachine, in this namespace; of one that was retained, the name that it had."""
    name: Label
    """Name of the disk, from the VM's spec.volumes."""
    host: Name | None = None
    """Host that the VM is on, or was when it was last seen; absent while that is not known."""
    instance_id: Annotated[str, Field(max_length=64)] | None = None
    """UUID of the VM in the hypervisor; tells it from another of the same name."""


class VolumeStatus(Status):
    """State of a volume."""

    state: Known[VolumeState] | None = None
    """Allocated, Creating, Ready, Expunging, Expunged, Reverting or Error.

    Expunged is reserved for a client of CloudStack's API: a Volume that was expunged has no object that could say so.
    """
    job: Job | None = None
    """The running or last job."""
    pool: Name | None = None
    """StoragePool that the volume is in; stays for its life."""
    host: Name | None = None
    """Host that it was made through; the only one that reaches it where the pool is the host's own."""
    volume_id: Annotated[str, Field(max_length=1024)] | None = None
    """UUID of the volume in the hypervisor; made from this object's uid."""
    size: Quantity | None = None
    """Size that a guest sees, a quantity in bytes."""
    attached_to: VolumeAttachment | None = None
    """The VM that has the volume; stays until its host answers without it, also when the VM's object is gone."""


class Volume(Resource):
    """A data disk that VMs come and go on."""

    KIND: ClassVar[str] = "Volume"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="volumes",
        scope="Namespaced",
        short_names=("vvol",),
        columns=(
            Column("State", ".status.state"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Size", ".status.size"),
            Column("VM", ".status.attachedTo.virtualMachine"),
            Column("Pool", ".status.pool"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Host", ".status.attachedTo.host", wide=True),
            Column("Job", ".status.job.command", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone", ".status.state", ".status.pool"),
    )

    spec: VolumeSpec
    """What the volume should be."""
    status: VolumeStatus = Field(default_factory=VolumeStatus)
    """State of the volume."""
