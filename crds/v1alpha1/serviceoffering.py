"""ServiceOffering: CPU and memory that VMs can have."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import Rule
from crds.fields import Size, Tags
from crds.status import Status

__all__ = ["ServiceOffering", "ServiceOfferingSpec", "ServiceOfferingStatus"]

_FIXED = "is immutable: create another offering and point the VM at it"


class ServiceOfferingSpec(Model):
    """What a VM of this offering gets."""

    display_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """Name for people. Default: metadata.name."""
    cpus: Annotated[int, Field(ge=1, le=512), Rule("self == oldSelf", _FIXED)]
    """Virtual CPUs, 1–512. Immutable."""
    memory: Annotated[Size, Rule("quantity(string(self)).compareTo(quantity(string(oldSelf))) == 0", _FIXED)]
    """Memory, a quantity in bytes such as 2Gi. Immutable."""
    host_tags: Tags = Field(default_factory=list)
    """Tags that a host must have, all of them. Default: any host."""
    storage_tags: Tags = Field(default_factory=list)
    """Tags that the root disk's pool must have, all of them. Default: any pool."""


class ServiceOfferingStatus(Status):
    """State of an offering."""


class ServiceOffering(Resource):
    """CPU, memory and tags under one name that VMs ask for."""

    KIND: ClassVar[str] = "ServiceOffering"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="serviceofferings",
        scope="Cluster",
        short_names=("voffering",),
        columns=(
            Column("CPUs", ".spec.cpus", "integer"),
            Column("Memory", ".spec.memory"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Display-Name", ".spec.displayName", wide=True),
            Column("Host-Tags", ".spec.hostTags", wide=True),
            Column("Storage-Tags", ".spec.storageTags", wide=True),
        ),
    )

    spec: ServiceOfferingSpec
    """What a VM of this offering gets."""
    status: ServiceOfferingStatus = Field(default_factory=ServiceOfferingStatus)
    """State of the offering."""
