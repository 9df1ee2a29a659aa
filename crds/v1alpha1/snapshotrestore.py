"""SnapshotRestore: brings a VM or a Volume back to a Snapshot, once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE
from crds.fields import Name, Timestamp
from crds.status import Job, Known, Status

__all__ = ["RestoreState", "SnapshotRestore", "SnapshotRestoreSpec", "SnapshotRestoreStatus"]


class RestoreState(StrEnum):
    """How far a restore is."""

    PENDING = "Pending"
    REVERTING = "Reverting"
    COMPLETED = "Completed"
    FAILED = "Failed"


class SnapshotRestoreSpec(Model):
    """What to bring back."""

    snapshot: Annotated[Name, IMMUTABLE]
    """Snapshot of this namespace; what it was taken of gets its content, in place. Immutable: another restore is another object."""


class SnapshotRestoreStatus(Status):
    """How far the restore is."""

    state: Known[RestoreState] | None = None
    """Pending, Reverting, Completed or Failed; the last two are for good."""
    job: Job | None = None
    """The running or last job."""
    host: Name | None = None
    """Host that carries it out."""
    completed_at: Timestamp | None = None
    """When it ended, well or not; RFC 3339 UTC."""


class SnapshotRestore(Resource):
    """A one-shot: brings a VM or a Volume back to a Snapshot, in place; specs stay as they are."""

    KIND: ClassVar[str] = "SnapshotRestore"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="snapshotrestores",
        scope="Namespaced",
        short_names=("vrestore",),
        columns=(
            Column("State", ".status.state"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Snapshot", ".spec.snapshot"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Job", ".status.job.command", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.snapshot", ".status.state"),
    )

    spec: SnapshotRestoreSpec
    """What to bring back."""
    status: SnapshotRestoreStatus = Field(default_factory=SnapshotRestoreStatus)
    """How far the restore is."""
