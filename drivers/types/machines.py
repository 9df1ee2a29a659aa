"""Virtual machines: as they are to be, and as they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.types.disks import AttachedVolume, DesiredDisk, InstanceID, ObservedDisk, ObservedSnapshot, Owner, VolumeAttachment
from drivers.types.endpoints import HostID
from drivers.types.networks import DesiredNIC, ObservedNIC


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
class GuestInfo:
    """What the guest agent says. `addresses` are global unicast, without prefix length.

    With `agent` alone one is connected, and nobody has asked it.
    """

    agent: bool = False
    hostname: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def told(self) -> bool:
        """Whether the agent has said anything."""
        return bool(self.hostname or self.addresses)


@dataclass(frozen=True, slots=True)
class DiskFailure:
    """An error of a disk for which the hypervisor has suspended a VM; what failed is done again when the VM goes on.

    `name` is that of the disk or volume, `pool` that of its storage pool, each empty where it is not known. `full`: there was no
    room for what the guest wrote.
    """

    name: str = ""
    pool: str = ""
    full: bool = False


@dataclass(frozen=True, slots=True)
class ObservedVM:
    """A VM with our owner mark, as the hypervisor has it.

    `cpus` and `memory` are those of the next start; `running_cpus` and `running_memory` what it runs with now (equal when off).
    `foreign_devices` names disks and NICs that we did not make; they are never touched. `boot_count` is not known to every
    hypervisor, so a restart is carried out by stop and start.
    `restored` are the tokens of the last calls of `Snapshots.restore` that took effect, the newest first. `most_cpus` is what a
    running VM was started with room for, 0 where that does not matter, and `most_memory` the bytes that it has room for, 0 for
    none. `offered_memory` is what a running VM was given and its guest has not taken, not all of it at least; 0 if there is nothing
    of that kind. `failures` say why the hypervisor has suspended a VM by itself, one that names no disk where only a look at the VM
    alone tells which; empty for any other VM, be it one that somebody suspended.
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
    restored: tuple[str, ...] = ()
    most_cpus: int = 0
    most_memory: int = 0
    offered_memory: int = 0
    failures: tuple[DiskFailure, ...] = ()
