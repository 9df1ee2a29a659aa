"""The objects of a simulated datacentre. Mutable and compact; only the engine changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.types import (
    DiskLimits,
    Firmware,
    HostID,
    InstanceID,
    ObservedNIC,
    Owner,
    PoolSpec,
    Power,
    Segment,
    SnapshotID,
    VolumeID,
)

__all__ = [
    "GROUP",
    "VM",
    "Attached",
    "Disk",
    "GuestConfig",
    "Host",
    "Image",
    "Pool",
    "PoolKey",
    "PoolSnapshot",
    "Port",
    "RunningState",
    "VMSnapshot",
    "Volume",
    "network",
]

GROUP = "lvm://"
"""Begins the path of a volume group, and of what is in it."""


class PoolKey(NamedTuple):
    """Where a pool is: its directory on one host, or, with an empty host, the same shared directory on all hosts.

    Of an iSCSI target `path` is IQN@SERVER:PORT, of a Ceph pool rbd://MONITORS/POOL, and the host is empty; of a volume group it is
    lvm://NAME.
    """

    host: str
    path: str

    @property
    def raw(self) -> bool:
        """Whether it is a volume group: see `drivers.types.PoolSpec.raw`."""
        return self.path.startswith(GROUP)


class Port(NamedTuple):
    """Where a NIC is plugged in."""

    bridge: str
    segment: Segment

    def __str__(self) -> str:
        return f"bridge {self.bridge}, {self.segment}"


@dataclass(slots=True)
class Image:
    """A template image in a pool; sizes in bytes."""

    virtual_size: int
    physical_size: int


@dataclass(slots=True)
class Disk:
    """A disk of ours, named after its VM, in a pool; `image` is the template image that it is layered on.

    `content` is a text that stands for what is on it: the image's name until something else is written. `file` is the path of one
    that somebody else made; the names of ours follow from what they are.
    """

    name: str
    pool: PoolKey
    pool_name: str
    size: int
    image: str = ""
    content: str = ""
    file: str = ""


@dataclass(slots=True)
class Volume:
    """A volume of ours in a pool, independent of what it was made from; `content` as of a disk.

    One that is the LUN `lun` is on its VM only, and `size` is what that VM knows of it. `tokens` are those of the last times
    that it was brought back to a snapshot, the newest first.
    """

    volume: VolumeID
    name: str
    owner: Owner
    pool: PoolKey
    pool_name: str
    size: int
    content: str = ""
    lun: int | None = None
    tokens: tuple[str, ...] = ()


@dataclass(slots=True)
class Attached:
    """A volume as a disk of a VM; it may have been deleted under its VM."""

    name: str
    volume: Volume


@dataclass(slots=True)
class PoolSnapshot:
    """A snapshot of a volume: content and size of its own."""

    snapshot: SnapshotID
    name: str
    owner: Owner
    pool: PoolKey
    size: int
    content: str


@dataclass(slots=True)
class Pool:
    """A directory with images, disks, volumes and their snapshots.

    `disks` is by VM, then by disk name; a disk may outlive its VM's definition.
    """

    key: PoolKey
    capacity: int
    used: int = 0
    images: dict[str, Image] = field(default_factory=dict)
    disks: dict[InstanceID, dict[str, Disk]] = field(default_factory=dict)
    volumes: dict[VolumeID, Volume] = field(default_factory=dict)
    snapshots: dict[SnapshotID, PoolSnapshot] = field(default_factory=dict)
    layered: dict[str, int] = field(default_factory=dict)
    """How many disks are layered on an image."""
    luns: dict[int, int] = field(default_factory=dict)
    """Bytes of each LUN, if this is an iSCSI target."""

    @property
    def raw(self) -> bool:
        """As of its key."""
        return self.key.raw


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """What a guest takes from its seed at boot: host name, and addresses by MAC (None: no network configuration)."""

    hostname: str = ""
    addresses: tuple[tuple[str, tuple[str, ...]], ...] | None = None


@dataclass(frozen=True, slots=True)
class RunningState:
    """What a snapshot with memory keeps of a running VM; `ready_in` is how many seconds its boot had left, None if none."""

    cpus: int
    memory: int
    booted: GuestConfig | None
    ready_in: float | None


@dataclass(slots=True)
class VMSnapshot:
    """A snapshot of a VM: the contents of its disks by name and of its volumes, and its running state if that was asked for."""

    snapshot: SnapshotID
    name: str
    owner: Owner
    parent: SnapshotID | None
    created: float
    disks: dict[str, str]
    volumes: dict[VolumeID, str]
    running: RunningState | None = None


@dataclass(slots=True)
class VM:
    """A virtual machine; `owner` None means that it is not ours, `adopted` that it was not at first. `cpus` and `memory` are those
    of the next start.

    `ready_at` is when the guest agent answers after a start, `stop_at` when the guest obeys a soft stop; both None when not
    due. `booted` is what the guest that runs now took from its seed, None until its agent answers. `starts` counts power-ons,
    `restores` how often it was brought back to a snapshot; `tokens` are those of the last times, the newest first. `current` is the
    snapshot that its disks continue from. `limits` are those of its disks and volumes by name; one that isn't there has none.
    `offered_memory` is what a guest was given while it runs and has not taken, 0 if there is nothing. `ports` are where its NICs
    were made, by name, and `moved` where those are that somebody plugged in elsewhere. `unplugged` are those in the air: what they
    were on went away while the VM ran. `failing` are disks and volumes, by name, on which what the guest
    writes fails, True for those that only lack room in their pool; `failures` are those that suspended it.
    """

    instance: InstanceID
    host: HostID
    name: str
    owner: Owner | None
    cpus: int
    memory: int
    running_cpus: int
    running_memory: int
    firmware: Firmware
    power: Power = Power.OFF
    disks: dict[str, Disk] = field(default_factory=dict)
    nics: dict[str, ObservedNIC] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    seed_digest: str = ""
    guest: GuestConfig = GuestConfig()
    booted: GuestConfig | None = None
    ready_at: float | None = None
    stop_at: float | None = None
    ignores_stop: bool = False
    starts: int = 0
    volumes: dict[VolumeID, Attached] = field(default_factory=dict)
    snapshots: dict[SnapshotID, VMSnapshot] = field(default_factory=dict)
    current: SnapshotID | None = None
    tokens: tuple[str, ...] = ()
    restores: int = 0
    adopted: bool = False
    limits: dict[str, DiskLimits] = field(default_factory=dict)
    ignores_memory: bool = False
    offered_memory: int = 0
    ports: dict[str, Port] = field(default_factory=dict)
    moved: dict[str, Port] = field(default_factory=dict)
    unplugged: frozenset[str] = frozenset()
    failing: dict[str, bool] = field(default_factory=dict)
    failures: dict[str, bool] = field(default_factory=dict)

    @property
    def has_power(self) -> bool:
        """Whether it occupies memory of its host."""
        return self.power in (Power.ON, Power.PAUSED)


@dataclass(slots=True)
class Host:
    """A hypervisor host. `lie_*` are what it reports instead of the truth. `revision` grows with each change on it.

    `pools` are those that it has defined or mounted, by name: what is in them is not the host's. `makers` are the clouds that had
    them made; "" is every cloud's, as all were once. One that is not `listed` is in no endpoint's inventory. `lost` are the
    bridges, and as BRIDGE/VLAN the segments, that it should have and has not.
    """

    host: HostID
    cpus: int
    memory: int
    up: bool = True
    reachable: bool = True
    lie_cpus: int | None = None
    lie_memory: int | None = None
    revision: int = 0
    vms: dict[InstanceID, VM] = field(default_factory=dict)
    pools: dict[str, PoolSpec] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)
    listed: bool = True
    lost: frozenset[str] = frozenset()

    def lacks(self, port: Port) -> bool:
        """Whether what a NIC would be plugged in to there is missing."""
        return not self.lost.isdisjoint((port.bridge, network(port)))


def network(port: Port) -> str:
    """The name of a segment on a bridge: BRIDGE/VLAN, and BRIDGE/ for the untagged one."""
    return f"{port.bridge}/{port.segment.vlan or ''}"
