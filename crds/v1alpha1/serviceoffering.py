"""ServiceOffering: CPU, memory and speed of disks that VMs can have."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import Rule
from crds.fields import Quantity, Size, Tags
from crds.status import Status

__all__ = ["DiskLimits", "ServiceOffering", "ServiceOfferingSpec", "ServiceOfferingStatus"]

_FIXED = "is immutable: create another offering and point the VM at it"


Rate = Annotated[
    Quantity,
    Rule(
        "!quantity(string(self)).isLessThan(quantity('64Ki')) && !quantity(string(self)).isGreaterThan(quantity('1T'))",
        "must be from 64Ki to 1T",
    ),
]
"""Bytes in a second; with fewer a guest would hardly boot."""

IOPS = Annotated[int, Field(ge=10, le=1_000_000_000)]
"""Requests in a second."""


class DiskLimits(Model):
    """The most that each disk of a VM may read and write, its volumes as well as its root disk; what is absent is not limited."""

    RULES = (
        Rule(
            "has(self.readBytesPerSecond) || has(self.writeBytesPerSecond) || has(self.readIOPS) || has(self.writeIOPS)",
            "at least one limit must be set",
        ),
    )

    read_bytes_per_second: Rate | None = None
    """Bytes read in a second, a quantity from 64Ki to 1T such as 100Mi. Default: not limited."""
    write_bytes_per_second: Rate | None = None
    """Bytes written in a second, likewise. Default: not limited."""
    read_iops: IOPS | None = None
    """Reading requests in a second, from 10. Default: not limited."""
    write_iops: IOPS | None = None
    """Writing requests in a second, from 10. Default: not limited."""


class ServiceOfferingSpec(Model):
    """What a VM of this offering gets."""

    RULES = (
        Rule(
            "has(self.diskLimits) == has(oldSelf.diskLimits) && (!has(self.diskLimits) || self.diskLimits == oldSelf.diskLimits)",
            f"diskLimits {_FIXED}",
            ".diskLimits",
        ),
    )

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
    disk_limits: DiskLimits | None = None
    """The most that each disk of a VM may read and write. Default: not limited. Immutable."""


class ServiceOfferingStatus(Status):
    """State of an offering."""


class ServiceOffering(Resource):
    """CPU, memory, limits of disks and tags under one name that VMs ask for."""

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
