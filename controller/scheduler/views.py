"""What the scheduler is told and what it answers: frozen data. Sizes are bytes, CPUs are logical CPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.types import Firmware

__all__ = [
    "Allocation",
    "ClusterView",
    "HostView",
    "NewVolume",
    "Placement",
    "PoolScope",
    "PoolView",
    "Reason",
    "Rejection",
    "Request",
    "Usage",
]


class Reason(StrEnum):
    """Why a host does not fit, in the order in which hosts are judged; the last three tell why no host was judged at all."""

    ZONE_DISABLED = "ZoneDisabled"
    POD_DISABLED = "PodDisabled"
    CLUSTER_DISABLED = "ClusterDisabled"
    HOST_DISABLED = "HostDisabled"
    HOST_REFUSED = "HostRefused"
    HOST_DOWN = "HostDown"
    UNSUPPORTED_FIRMWARE = "UnsupportedFirmware"
    UNSUPPORTED_DISK_LIMITS = "UnsupportedDiskLimits"
    HOST_TAGS_MISMATCH = "HostTagsMismatch"
    TOO_MANY_GUESTS = "TooManyGuests"
    ANTI_AFFINITY = "AntiAffinity"
    INSUFFICIENT_CPU = "InsufficientCPU"
    INSUFFICIENT_MEMORY = "InsufficientMemory"
    CLUSTER_THRESHOLD_EXCEEDED = "ClusterThresholdExceeded"
    NO_STORAGE_POOL = "NoStoragePool"
    STORAGE_TAGS_MISMATCH = "StorageTagsMismatch"
    INSUFFICIENT_STORAGE = "InsufficientStorage"
    TOO_LARGE_FOR_ANY_HOST = "TooLargeForAnyHost"
    NO_FITTING_HOST = "NoFittingHost"
    NO_HOSTS = "NoHosts"
    HOST_NOT_FOUND = "HostNotFound"
    CLUSTER_NOT_FOUND = "ClusterNotFound"


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A Cluster with what its Zone and Pod say about it.

    `cpu_overcommit` and `memory_overcommit` multiply the capacity of its hosts. No more VMs are placed once the allocated part of
    that, in percent, would exceed a threshold. `max_guests`: VMs that one host may carry, None if any number.
    """

    name: str
    zone: str
    pod: str
    zone_enabled: bool = True
    pod_enabled: bool = True
    enabled: bool = True
    cpu_overcommit: float = 1.0
    memory_overcommit: float = 1.0
    cpu_threshold: int = 85
    memory_threshold: int = 85
    max_guests: int | None = None


@dataclass(frozen=True, slots=True)
class HostView:
    """A Host as declared and observed. Capacity 0 means not known yet.

    `connected`: its hypervisor answers and reports it up. `refused`: it answers, and can't be used as it is declared.
    """

    name: str
    cluster: str
    cpus: int
    memory: int
    enabled: bool = True
    connected: bool = True
    refused: bool = False
    tags: frozenset[str] = frozenset()
    uefi: bool = False
    disk_limits: bool = False


class PoolScope(StrEnum):
    """What the hosts that reach a storage pool have in common."""

    ZONE = "Zone"
    CLUSTER = "Cluster"
    HOST = "Host"


@dataclass(frozen=True, slots=True)
class PoolView:
    """A StoragePool; `of` is the name of the zone, cluster or host that its scope means. `enabled`: allowed and working.

    `failing`: hosts in its scope that can't use it. `thick`: a disk there takes its full size at once.
    """

    name: str
    scope: PoolScope
    of: str
    capacity: int
    available: int
    enabled: bool = True
    tags: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    thick: bool = False


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume that is to be made where the VM goes, in any pool that its host reaches but those that have `refused` it for want of
    room. `uid` is what it is given room by.
    """

    size: int
    tags: frozenset[str] = frozenset()
    uid: str = field(default="", compare=False)
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """What a VM asks for. `uid` only breaks ties between hosts that are equally good. Empty cluster or host: any.

    `volumes` need room beside its own disk, and are given it with the place. Pools that `refused` the disk lately have none.
    `group` (empty: none) names VMs that keep apart: `apart` on any terms, else only while another host fits.
    """

    uid: str = field(compare=False)
    zone: str
    cpus: int
    memory: int
    disk: int
    cluster: str = ""
    host: str = ""
    host_tags: frozenset[str] = frozenset()
    storage_tags: frozenset[str] = frozenset()
    firmware: Firmware = Firmware.BIOS
    group: str = ""
    apart: bool = False
    volumes: tuple[NewVolume, ...] = ()
    refused: frozenset[str] = frozenset()
    disk_limits: bool = False


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a VM has been given: room on a host, and room in a pool.

    A VM without CPUs and memory has given them back while it is stopped; it is no guest then. `group`: see Request.
    """

    host: str
    pool: str
    cpus: int
    memory: int
    disk: int
    group: str = ""

    @property
    def released(self) -> bool:
        """Whether the VM has given CPUs and memory back."""
        return not self.cpus and not self.memory


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over the VMs of a host or a cluster; `vms` counts those that hold CPU and memory."""

    cpus: int = 0
    memory: int = 0
    vms: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the VM goes."""

    host: str
    cluster: str
    pool: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """No host fits.

    `reason` is NO_FITTING_HOST if hosts were judged; TOO_LARGE_FOR_ANY_HOST if all of them would be too small even when empty, so
    that waiting for room is no use; NO_HOSTS, HOST_NOT_FOUND or CLUSTER_NOT_FOUND if there was none to judge. `counts` says how
    many hosts failed for which reason, each host counted once; `message` says it all in one sentence; `examples` are the first few
    hosts of each reason, by name.
    """

    reason: Reason
    message: str
    counts: Mapping[str, int]
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
