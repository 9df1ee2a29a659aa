"""Changes to an existing VM, and when they can take effect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drivers.types.disks import SetDiskLimits, VolumeAttachment, VolumeID
from drivers.types.machines import Seed
from drivers.types.networks import DesiredNIC


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
    """Add a NIC; one that is there and was moved or is in the air is put back in its place, by itself if the guest need not notice.

    On a running VM the place must be there (Transient otherwise).
    """

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
