"""StoragePool: primary storage."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule
from crds.fields import Count, ListType, Name, Quantity, Tags
from crds.references import AllocationState, SecretRef
from crds.status import Known, Status

__all__ = [
    "ISCSITarget",
    "LVMGroup",
    "NFSExport",
    "OrphanKind",
    "OrphanedFile",
    "OrphanedFiles",
    "PoolCapacity",
    "PoolScope",
    "PoolState",
    "PoolType",
    "RBDPool",
    "StoragePool",
    "StoragePoolSpec",
    "StoragePoolStatus",
]


class PoolScope(StrEnum):
    """Which hosts reach a pool."""

    ZONE = "Zone"
    CLUSTER = "Cluster"
    HOST = "Host"


class PoolType(StrEnum):
    """Kinds of primary storage."""

    DIRECTORY = "Directory"
    NFS = "NFS"
    ISCSI = "ISCSI"
    LVM = "LVM"
    RBD = "RBD"


class PoolState(StrEnum):
    """CloudStack's storage pool status (com.cloud.storage.StoragePoolStatus), as far as a declared pool has them."""

    INITIALIZED = "Initialized"
    UP = "Up"
    DISABLED = "Disabled"


class NFSExport(Model):
    """A directory that an NFS server exports."""

    server: Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"), IMMUTABLE]
    """Name or IPv4 address of the server, as the hosts know it. Immutable."""
    export: Annotated[
        str,
        Field(max_length=512, pattern=r"^(/|(/[A-Za-z0-9._-]+)+)$"),
        IMMUTABLE,
        Rule("!self.matches('(^|/)[.][.]?(/|$)')", "must not contain . or .. as a part"),
    ]
    """Absolute path of the directory on the server; letters, digits and ._- in its parts. Immutable."""


class ISCSITarget(Model):
    """A target of an iSCSI server (RFC 7143). Hosts log in without a password."""

    server: Annotated[Name, IMMUTABLE]
    """Host name or IPv4 address of the server, as the hosts know it. Immutable."""
    port: Annotated[int, Field(ge=1, le=65535), IMMUTABLE] = 3260
    """Its TCP port. Default 3260. Immutable."""
    target: Annotated[
        str,
        Field(max_length=223, pattern=r"^iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[a-z0-9][a-z0-9.:-]*)?$"),
        IMMUTABLE,
    ]
    """iSCSI qualified name of the target (RFC 3720 3.2.6.3.1, letters in lower case). Immutable."""


class LVMGroup(Model):
    """A volume group of LVM that the host has: used, never made, changed or removed."""

    volume_group: Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9_][A-Za-z0-9+_.-]*$"), IMMUTABLE]
    """Its name on the host, as vgs(8) prints it. Immutable."""


class RBDPool(Model):
    """A pool of a Ceph cluster, for RADOS block devices."""

    monitors: Annotated[
        list[
            Annotated[
                str,
                Field(
                    max_length=259,
                    pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
                    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$",
                ),
            ]
        ],
        Field(min_length=1, max_length=9),
        ListType("set"),
        IMMUTABLE,
    ]
    """The cluster's monitors as the hosts know them: each a host name or IPv4 address, with `:` and its port where that is not one
    of Ceph's own, 3300 and 6789. Immutable."""
    pool: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"), IMMUTABLE]
    """Name of the pool in Ceph; it must be there and be initialised for rbd. Immutable."""
    user: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"), IMMUTABLE]
    """Who hosts are to Ceph, without `client.` before it. Immutable."""
    secret_ref: SecretRef
    """Secret with the user's key under `key`, as in Secrets of type kubernetes.io/rbd. A change goes to the hosts at once."""


class StoragePoolSpec(Model):
    """What a pool is."""

    RULES = (
        Rule(
            "(self.scope == 'Cluster') == has(self.cluster) && (self.scope == 'Host') == has(self.host)",
            "scope Cluster needs cluster, scope Host needs host, and neither goes with another scope",
        ),
        Rule("(self.type == 'NFS') == has(self.nfs)", "type NFS needs nfs, which goes with no other type"),
        Rule("(self.type == 'ISCSI') == has(self.iscsi)", "type ISCSI needs iscsi, which goes with no other type"),
        Rule("(self.type == 'RBD') == has(self.rbd)", "type RBD needs rbd, which goes with no other type"),
        Rule(
            "(self.type in ['ISCSI', 'RBD']) != has(self.path)",
            "types ISCSI and RBD need no path; other types need path",
        ),
        Rule(
            "!(self.type in ['ISCSI', 'RBD']) || self.scope != 'Host'",
            "types ISCSI and RBD go with scope Zone or Cluster",
        ),
        Rule("(self.type == 'LVM') == has(self.lvm)", "type LVM needs lvm, which goes with no other type"),
        Rule(
            "self.type != 'LVM' || self.scope == 'Host'",
            "type LVM goes with scope Host: hosts that share a volume group need a lock manager, which Vireo does not run",
        ),
    )

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the pool is in. Immutable."""
    scope: Annotated[PoolScope, IMMUTABLE]
    """Which hosts reach the pool: all of the Zone, those of one Cluster, or one Host. Immutable."""
    cluster: Annotated[Name, IMMUTABLE] | None = None
    """Cluster whose hosts reach the pool; with scope Cluster only. Immutable."""
    host: Annotated[Name, IMMUTABLE] | None = None
    """Host that the pool is on; with scope Host only. Immutable."""
    type: Annotated[PoolType, IMMUTABLE]
    """Kind of storage. Directory: a directory on each host; for scope Zone or Cluster the same one, mounted by you.
    NFS: an export that each host mounts by itself. ISCSI: the LUNs of a target, each for one Volume; nothing else is ever placed
    there. LVM: logical volumes of a volume group of the host. RBD: a pool of a Ceph cluster, for empty Volumes that name it;
    nothing else is ever placed there. Immutable."""
    nfs: NFSExport | None = None
    """What is mounted at path; with type NFS only. Immutable."""
    iscsi: ISCSITarget | None = None
    """Where the LUNs are; with type ISCSI only. Immutable."""
    lvm: LVMGroup | None = None
    """Where disks and volumes are made; with type LVM only. Immutable."""
    rbd: RBDPool | None = None
    """Which pool of which Ceph cluster; with type RBD only."""
    path: (
        Annotated[
            str,
            Field(min_length=2, max_length=512, pattern=r"^(/[A-Za-z0-9._-]+)+$"),
            IMMUTABLE,
            Rule("!self.matches('(^|/)[.][.]?(/|$)')", "must not contain . or .. as a part"),
        ]
        | None
    ) = None
    """Absolute path on the hosts of the directory, with type NFS of the mount point, with type LVM of the directory for template
    images and cloud-init seeds; letters, digits and ._- in its parts. Required for every type but ISCSI and RBD. Immutable."""
    tags: Tags = Field(default_factory=list)
    """Storage tags; offerings and VMs ask for them. Default: none."""
    allocation_state: AllocationState = AllocationState.ENABLED
    """Whether new disks may be placed in the pool: Enabled or Disabled. Default Enabled."""


class PoolCapacity(Model):
    """Size and use of a pool."""

    total: Quantity = Quantity("0")
    """Size of the pool, a quantity in bytes."""
    available: Quantity | None = None
    """Free space, a quantity in bytes, in steps of 1 % of the total."""
    allocated: Quantity = Quantity("0")
    """Sum of the full sizes of the disks in the pool, a quantity in bytes."""


class OrphanKind(StrEnum):
    """What a file in a pool was made for."""

    DISK = "Disk"
    SEED = "Seed"
    IMAGE = "Image"
    VOLUME = "Volume"
    SNAPSHOT = "Snapshot"


class OrphanedFile(Model):
    """A file that Vireo made and nobody declares."""

    path: Annotated[str, Field(max_length=1024)]
    """The hypervisor's path or identifier of the file."""
    kind: Known[OrphanKind]
    """Disk or Seed of a VM, Image of a template, Volume, or Snapshot of a volume."""
    identity: Annotated[str, Field(max_length=253)]
    """UUID in the hypervisor of the VM, volume or snapshot; the image's name."""
    size: Quantity
    """What it takes in the pool, a quantity in bytes."""


class OrphanedFiles(Model):
    """Files that Vireo made and nobody declares."""

    count: Count
    """How many there are."""
    size: Quantity
    """What all of them take in the pool, a quantity in bytes."""
    files: Annotated[list[OrphanedFile], Field(max_length=100), ListType("map", ("path",))] = Field(default_factory=list)
    """The first 100, by path."""


class StoragePoolStatus(Status):
    """State of a pool."""

    state: Known[PoolState] | None = None
    """Initialized (declared, on no host yet), Up or Disabled."""
    capacity: PoolCapacity = Field(default_factory=PoolCapacity)
    """Size and use."""
    hosts_mounted: Count = 0
    """Hosts that have the pool."""
    hosts_failing: Annotated[list[Name], Field(max_length=1000), ListType("set")] = Field(default_factory=list)
    """Hosts where the pool could not be made usable, the first 1000: no new disk goes there through them."""
    orphans: OrphanedFiles | None = None
    """Files in the pool that Vireo made, that nobody declares any more and that no VM seen on any host has. They are never touched;
    absent while there are none. Looked for every ten minutes."""


class StoragePool(Resource):
    """Primary storage: where the disks of VMs are."""

    KIND: ClassVar[str] = "StoragePool"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="storagepools",
        scope="Cluster",
        short_names=("vpool",),
        columns=(
            Column("Zone", ".spec.zone"),
            Column("Scope", ".spec.scope"),
            Column("Type", ".spec.type"),
            Column("State", ".status.state"),
            Column("Size", ".status.capacity.total"),
            Column("Free", ".status.capacity.available"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Allocated", ".status.capacity.allocated", wide=True),
            Column("Cluster", ".spec.cluster", wide=True),
            Column("Host", ".spec.host", wide=True),
            Column("Hosts-Mounted", ".status.hostsMounted", "integer", wide=True),
            Column("Orphans", ".status.orphans.count", "integer", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone", ".spec.scope", ".spec.cluster", ".spec.host", ".status.state"),
    )

    spec: StoragePoolSpec
    """What the pool is."""
    status: StoragePoolStatus = Field(default_factory=StoragePoolStatus)
    """State of the pool."""
