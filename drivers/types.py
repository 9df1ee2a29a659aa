"""What goes into a driver and what comes out: frozen data, no Kubernetes objects, no types of a hypervisor's SDK.

Sizes are bytes, times are seconds, identifiers are the hypervisor's own unless said otherwise.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from drivers.disks import (
    AttachedVolume as AttachedVolume,
)
from drivers.disks import (
    DesiredDisk as DesiredDisk,
)
from drivers.disks import (
    DesiredSnapshot as DesiredSnapshot,
)
from drivers.disks import (
    DesiredVolume as DesiredVolume,
)
from drivers.disks import (
    DiskLimits as DiskLimits,
)
from drivers.disks import (
    ImageFile as ImageFile,
)
from drivers.disks import (
    InstanceID as InstanceID,
)
from drivers.disks import (
    ISCSITarget as ISCSITarget,
)
from drivers.disks import (
    NFSExport as NFSExport,
)
from drivers.disks import (
    ObservedDisk as ObservedDisk,
)
from drivers.disks import (
    ObservedLUN as ObservedLUN,
)
from drivers.disks import (
    ObservedPool as ObservedPool,
)
from drivers.disks import (
    ObservedSnapshot as ObservedSnapshot,
)
from drivers.disks import (
    ObservedVolume as ObservedVolume,
)
from drivers.disks import (
    Owner as Owner,
)
from drivers.disks import (
    PoolContents as PoolContents,
)
from drivers.disks import (
    PoolSpec as PoolSpec,
)
from drivers.disks import (
    SetDiskLimits as SetDiskLimits,
)
from drivers.disks import (
    SnapshotID as SnapshotID,
)
from drivers.disks import (
    StoredFile as StoredFile,
)
from drivers.disks import (
    StoredKind as StoredKind,
)
from drivers.disks import (
    VMDisk as VMDisk,
)
from drivers.disks import (
    VolumeAttachment as VolumeAttachment,
)
from drivers.disks import (
    VolumeID as VolumeID,
)
from drivers.disks import (
    VolumeSnapshot as VolumeSnapshot,
)

HostID = NewType("HostID", str)
"""Name of a host as the endpoint lists it."""

OpRef = NewType("OpRef", str)
"""Reference to a native task that survives a restart of the controller."""


class Power(StrEnum):
    """Power state of a VM as the hypervisor sees it."""

    ON = "On"
    OFF = "Off"
    PAUSED = "Paused"
    CRASHED = "Crashed"
    UNKNOWN = "Unknown"


class Firmware(StrEnum):
    """Firmware that a VM boots with."""

    BIOS = "BIOS"
    UEFI = "UEFI"


class Devices(StrEnum):
    """What disks and NICs look like to a guest: virtio, or hardware that old guests have drivers for."""

    VIRTIO = "VirtIO"
    EMULATED = "Emulated"


class StopMode(StrEnum):
    """How a VM is stopped: SOFT asks the guest, HARD cuts the power."""

    SOFT = "Soft"
    HARD = "Hard"


class NetworkBackend(StrEnum):
    """How a host carries guest segments."""

    OVS = "OVS"
    BRIDGE = "Bridge"
    LINUX = "Linux"


class Capability(StrEnum):
    """What an endpoint can do; a call outside these raises Unsupported."""

    POWER = "Power"
    SOFT_STOP = "SoftStop"
    STORAGE = "Storage"
    DISK_GROW_LIVE = "DiskGrowLive"
    DISK_LIMITS = "DiskLimits"
    CPU_ADD_LIVE = "CPUAddLive"
    MEMORY_ADD_LIVE = "MemoryAddLive"
    NIC_HOTPLUG = "NICHotplug"
    GUEST_AGENT = "GuestAgent"
    UEFI = "UEFI"
    EVENTS = "Events"
    VOLUMES = "Volumes"
    VOLUME_HOTPLUG = "VolumeHotplug"
    VOLUME_SNAPSHOTS = "VolumeSnapshots"
    VOLUME_SNAPSHOT_LIVE = "VolumeSnapshotLive"
    SNAPSHOTS = "Snapshots"
    SNAPSHOT_RUNNING = "SnapshotRunning"
    SNAPSHOT_MEMORY = "SnapshotMemory"
    SNAPSHOT_QUIESCE = "SnapshotQuiesce"
    CONSOLE = "Console"
    ADOPTION = "Adoption"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secret material for an endpoint; never shown in a repr or a log."""

    username: str = ""
    password: str = field(default="", repr=False)
    client_certificate: bytes = field(default=b"", repr=False)
    client_key: bytes = field(default=b"", repr=False)
    ca_certificate: bytes = field(default=b"", repr=False)
    ssh_key: bytes = field(default=b"", repr=False)
    known_hosts: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a hypervisor answers and how to log in."""

    url: str
    credentials: Credentials = Credentials()
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class NetworkSupport:
    """Whether a host can carry segments with a backend; `available` is None where that cannot be seen.

    `guarded`: a guest is not heard that claims another's MAC or address. `message` says why not, if it is not both.
    """

    backend: NetworkBackend
    available: bool | None
    guarded: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class GuestSupport:
    """What guests may have on a host, by the hypervisor's own names, for people to see.

    `cpu_model` is the host's CPU, `cpu_models` are those that guests can have. `lacks` says in words what other hosts have.
    """

    domain_types: tuple[str, ...] = ()
    machine_types: tuple[str, ...] = ()
    firmwares: tuple[Firmware, ...] = ()
    cpu_model: str = ""
    cpu_models: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """One host of an endpoint. `cpus` are logical CPUs, `memory` what guests can use in bytes.

    `networks` tells of each backend; empty for a hypervisor that has no such choice. `guests` is None where nothing is known.
    """

    host: HostID
    native_id: str
    hypervisor: str
    version: str
    cpus: int
    memory: int
    up: bool = True
    message: str = ""
    networks: tuple[NetworkSupport, ...] = ()
    guests: GuestSupport | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """The layer-2 segment of a NIC: VLAN id 1–4094, or None for untagged."""

    vlan: int | None = None

    def __str__(self) -> str:
        return "untagged" if self.vlan is None else f"vlan-{self.vlan}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """How NICs reach their segment on a host.

    OVS: `bridge` is an Open vSwitch bridge and the VLAN is a tag on the port. BRIDGE: `bridge` is the name of an existing
    Linux bridge, the segment's id already filled in. LINUX: the driver makes a bridge for each segment and carries it over the
    interface `uplink`, as a VLAN, or as a VXLAN of the same number in the IPv4 multicast `group`.
    """

    backend: NetworkBackend
    bridge: str = ""
    uplink: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class DesiredNIC:
    """A network interface. `mac` is lower case with colons; `network` is `namespace/name`; `ip` is recorded, not enforced."""

    name: str
    mac: str
    network: str
    segment: Segment
    attachment: Attachment
    ip: str = ""


@dataclass(frozen=True, slots=True)
class Seed:
    """cloud-init NoCloud documents for the guest's first boot. User data may hold secrets: not shown."""

    meta_data: str
    network_config: str
    user_data: bytes = field(default=b"", repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 over the documents: tells whether a running VM still has this seed."""
        parts = (self.meta_data.encode(), self.network_config.encode(), self.user_data)
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class DesiredVM:
    """Everything a driver needs to define a VM. `name` is for people who look at the hypervisor; `instance` identifies.

    `devices` means disks and NICs; volumes, and a hypervisor that has one sort of devices only, take no notice of it. `cpu_model`
    is one of the host's (`GuestSupport.cpu_models`), empty for what the driver finds best; set where those are known only.
    """

    instance: InstanceID
    name: str
    owner: Owner
    cpus: int
    memory: int
    disks: tuple[DesiredDisk, ...]
    nics: tuple[DesiredNIC, ...] = ()
    firmware: Firmware = Firmware.BIOS
    seed: Seed | None = None
    volumes: tuple[VolumeAttachment, ...] = ()
    devices: Devices = Devices.VIRTIO
    cpu_model: str = ""


@dataclass(frozen=True, slots=True)
class ObservedNIC:
    """A NIC of ours on a VM, with what was recorded at its creation (name, network, ip) read back from the owner mark."""

    name: str
    mac: str
    network: str
    segment: Segment
    ip: str = ""


@dataclass(frozen=True, slots=True)
class GuestInfo:
    """What the guest agent says. `addresses` are global unicast, without prefix length."""

    agent: bool = False
    hostname: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedVM:
    """A VM with our owner mark, as the hypervisor has it.

    `cpus` and `memory` are those of the next start; `running_cpus` and `running_memory` what it runs with now (equal when off).
    `foreign_devices` names disks and NICs that we did not make; they are never touched. `boot_count` is not known to every
    hypervisor, so a restart is carried out by stop and start.
    `restored` is the token of the last `Snapshots.restore` that took effect. `most_cpus` is what a running VM was started with room
    for, 0 where that does not matter, and `most_memory` the bytes that it has room for, 0 for none. `offered_memory` is what a
    running VM was given and its guest has not taken, not all of it at least; 0 if there is nothing of that kind.
    """

    instance: InstanceID
    owner: Owner
    name: str
    host: HostID
    power: Power
    cpus: int
    memory: int
    running_cpus: int
    running_memory: int
    disks: tuple[ObservedDisk, ...] = ()
    nics: tuple[ObservedNIC, ...] = ()
    seed_digest: str = ""
    guest: GuestInfo = GuestInfo()
    foreign_devices: tuple[str, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    snapshots: tuple[ObservedSnapshot, ...] = ()
    restored: str = ""
    most_cpus: int = 0
    most_memory: int = 0
    offered_memory: int = 0


# Changes to an existing VM -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetCPUs:
    """Give the VM `cpus` virtual CPUs."""

    cpus: int


@dataclass(frozen=True, slots=True)
class SetMemory:
    """Give the VM `memory` bytes."""

    memory: int


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """Grow the disk `name` to `size` bytes; a smaller size is InvalidSpec."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class AttachNIC:
    """Add a NIC."""

    nic: DesiredNIC


@dataclass(frozen=True, slots=True)
class DetachNIC:
    """Remove the NIC `name`; one that is gone counts as removed."""

    name: str


@dataclass(frozen=True, slots=True)
class SetSeed:
    """Replace the cloud-init seed."""

    seed: Seed


@dataclass(frozen=True, slots=True)
class AttachVolume:
    """Give the VM the volume as a disk; it must exist and be on no other VM (Conflict)."""

    attachment: VolumeAttachment


@dataclass(frozen=True, slots=True)
class DetachVolume:
    """Take the volume `volume` from the VM, keeping its content; one that is gone counts as taken."""

    volume: VolumeID


Change = SetCPUs | SetMemory | GrowDisk | SetDiskLimits | AttachNIC | DetachNIC | SetSeed | AttachVolume | DetachVolume


class ApplyMode(StrEnum):
    """When a change can take effect."""

    LIVE = "Live"
    RESTART = "Restart"
    POWER_OFF = "PowerOff"
    RECREATE = "Recreate"


# Outcomes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The call took effect."""


@dataclass(frozen=True, slots=True)
class Started:
    """A native task was started; poll `op` until it ends."""

    op: OpRef


@dataclass(frozen=True, slots=True)
class Running:
    """The native task is under way; `progress` in percent, or None if the hypervisor does not tell."""

    progress: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The native task ended well."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The native task failed with the hypervisor's `reason`; `retryable` tells whether the same call may succeed later."""

    reason: str
    retryable: bool
    native_code: str = ""


Progress = Running | Succeeded | Failed


@dataclass(frozen=True, slots=True)
class VMChanged:
    """A native event: something about this VM changed; observe it."""

    instance: InstanceID


@dataclass(frozen=True, slots=True)
class HostChanged:
    """A native event: something about this host changed; observe all of it."""

    host: HostID


Event = VMChanged | HostChanged
