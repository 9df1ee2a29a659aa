"""Pools, disks, volumes and snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

InstanceID = NewType("InstanceID", str)
"""UUID of a VM, lower case with dashes; derived from the VirtualMachine's uid, so it is known before the VM exists."""

VolumeID = NewType("VolumeID", str)
"""UUID of a volume, lower case with dashes; derived from the Volume's uid, so it is known before the volume exists."""

SnapshotID = NewType("SnapshotID", str)
"""UUID of a snapshot, lower case with dashes; derived from the Snapshot's uid."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that a hypervisor object was made for; written into the hypervisor as our owner mark."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """The most that a disk may read and write in a second, in bytes and in requests; 0 is no limit."""

    read_bytes: int = 0
    write_bytes: int = 0
    read_iops: int = 0
    write_iops: int = 0

    def __str__(self) -> str:
        """Such as `read 1048576 B/s, write 100 IOPS`; `no limits`."""
        bounds = (
            (f"read {self.read_bytes} B/s", self.read_bytes),
            (f"write {self.write_bytes} B/s", self.write_bytes),
            (f"read {self.read_iops} IOPS", self.read_iops),
            (f"write {self.write_iops} IOPS", self.write_iops),
        )
        return ", ".join(text for text, bound in bounds if bound) or "no limits"


UNLIMITED = DiskLimits()
"""A disk that may read and write as fast as it can."""


@dataclass(frozen=True, slots=True)
class NFSExport:
    """A directory that an NFS server exports: the server's name or IPv4 address, and the absolute path there."""

    server: str
    export: str

    def __str__(self) -> str:
        return f"{self.server}:{self.export}"


@dataclass(frozen=True, slots=True)
class ISCSITarget:
    """A target of an iSCSI server (RFC 7143): `server` is a host name or IPv4 address, `name` the target's IQN."""

    server: str
    name: str
    port: int = 3260

    def __str__(self) -> str:
        return f"{self.name} on {self.server}:{self.port}"


@dataclass(frozen=True, slots=True)
class RBDPool:
    """The pool `pool` of a Ceph cluster. `monitors`: each a host name or IPv4 address, and `:PORT` where it is not Ceph's own.

    `user` is who hosts are to Ceph, `key` what he proves it with, in base64 as Ceph prints it. Only `Storage.ensure_pool` needs it.
    """

    monitors: tuple[str, ...]
    pool: str
    user: str
    key: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.pool} at {', '.join(self.monitors)}"


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A storage pool by its directory on the hosts; with `nfs` that is where each host mounts the export.

    With `iscsi` it is the LUNs of that target, with `rbd` that pool of a Ceph cluster, and `path` is empty. With `volume_group`,
    the name of one of LVM on the host, disks and volumes are its logical volumes, and `path` keeps images, seeds and what is noted
    of them.
    `name` is unique within the cloud. `shared`: other hosts have the same directory.
    """

    name: str
    path: str
    shared: bool = False
    nfs: NFSExport | None = None
    iscsi: ISCSITarget | None = None
    volume_group: str = ""
    rbd: RBDPool | None = None

    @property
    def has_files(self) -> bool:
        """Whether disks, images, and volumes with a content can be made there."""
        return self.iscsi is None and self.rbd is None

    @property
    def raw(self) -> bool:
        """Whether its disks and volumes are block devices that are written whole when they are made.

        Such a one takes its full size at once, does not grow while a VM has it, and keeps no snapshots.
        """
        return bool(self.volume_group)


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """Size of a pool in bytes as the host reports it."""

    name: str
    capacity: int
    available: int


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A template image on the controller's own disk, ready to be put into a pool.

    `name` identifies the content (it contains the checksum), `path` is a local qcow2 file, `virtual_size` in bytes.
    """

    name: str
    path: str
    virtual_size: int
    physical_size: int


@dataclass(frozen=True, slots=True)
class DesiredDisk:
    """A disk of a VM: thin, on top of template image `image` in the same pool; `size` in bytes ≥ the image's.

    `limits` other than none need Capability.DISK_LIMITS (Unsupported otherwise).
    """

    name: str
    pool: PoolSpec
    size: int
    image: str = ""
    limits: DiskLimits = UNLIMITED


@dataclass(frozen=True, slots=True)
class ObservedDisk:
    """A disk of ours on a VM. `pool` is our pool name or empty if unknown; `volume_id` the hypervisor's path or id.

    `limits` is None for others than `DiskLimits` can say, and where those of the next start differ from those that it has now.
    """

    name: str
    pool: str
    volume_id: str
    size: int
    limits: DiskLimits | None = UNLIMITED


# Volumes: disks with a life of their own -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DesiredVolume:
    """A volume to be made, `size` in bytes.

    Empty, or with the content of the template image `image` or of the volume snapshot `snapshot`, either in the same pool; then
    `size` is at least theirs. It does not depend on its source afterwards unless the driver keeps the source while it is needed.
    """

    volume: VolumeID
    name: str
    owner: Owner
    pool: PoolSpec
    size: int
    image: str = ""
    snapshot: SnapshotID | None = None


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """A volume with our mark in a pool; `volume_id` is the hypervisor's path or id, `size` the guest's view in bytes."""

    volume: VolumeID
    volume_id: str
    size: int


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """A volume as a disk of a VM. `name` is unique among the VM's disks; `limits` as of `DesiredDisk`.

    `lun` is the LUN that the volume is, in a pool of those.
    """

    name: str
    volume: VolumeID
    pool: PoolSpec
    limits: DiskLimits = UNLIMITED
    lun: int | None = None


@dataclass(frozen=True, slots=True)
class AttachedVolume:
    """A volume of ours found on a VM; `size` in bytes as the hypervisor has it, `limits` as of `ObservedDisk`."""

    name: str
    volume: VolumeID
    pool: str
    size: int
    limits: DiskLimits | None = UNLIMITED


@dataclass(frozen=True, slots=True)
class SetDiskLimits:
    """Give the VM's disk or volume `name` these limits, at once also on a running VM (Capability.DISK_LIMITS)."""

    name: str
    limits: DiskLimits


# Snapshots -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DesiredSnapshot:
    """A snapshot to be taken.

    Of a VM: all its disks and attached volumes at one moment, with `memory` its running state too. Of a volume: its content.
    `quiesce` freezes the guest's filesystems through its agent meanwhile; it excludes `memory`.
    """

    snapshot: SnapshotID
    name: str
    owner: Owner
    memory: bool = False
    quiesce: bool = False


@dataclass(frozen=True, slots=True)
class ObservedSnapshot:
    """A snapshot of ours of a VM. `parent` is the snapshot below it in the tree, `created` seconds since the epoch."""

    snapshot: SnapshotID
    parent: SnapshotID | None
    memory: bool
    created: float
    current: bool = False
    """Whether the VM's disks continue from this one."""


@dataclass(frozen=True, slots=True)
class VolumeSnapshot:
    """A snapshot of ours of a volume in a pool: a content of its own that outlives the volume; sizes in bytes."""

    snapshot: SnapshotID
    volume_id: str
    size: int


@dataclass(frozen=True, slots=True)
class VMDisk:
    """A disk in a pool that was made for a VM, whether or not that VM is still defined."""

    instance: InstanceID
    name: str
    volume_id: str
    size: int


class StoredKind(StrEnum):
    """What a file in a pool is."""

    DISK = "Disk"
    SEED = "Seed"
    IMAGE = "Image"
    VOLUME = "Volume"
    SNAPSHOT = "Snapshot"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a pool under our names, complete or not.

    `identity` is the UUID of the VM (disk and seed), of the volume or of the snapshot, or the image's name. `path` is the
    hypervisor's path or id, `allocated` the bytes that it takes in the pool. `layered`: another file in the pool needs it below.
    """

    kind: StoredKind
    identity: str
    path: str
    allocated: int
    layered: bool = False


@dataclass(frozen=True, slots=True)
class ObservedLUN:
    """A LUN of an iSCSI target, whoever uses it; `size` in bytes."""

    lun: int
    size: int


@dataclass(frozen=True, slots=True)
class PoolContents:
    """All in a pool that carries our names; of an iSCSI target all its LUNs."""

    disks: tuple[VMDisk, ...] = ()
    volumes: tuple[ObservedVolume, ...] = ()
    snapshots: tuple[VolumeSnapshot, ...] = ()
    luns: tuple[ObservedLUN, ...] = ()
