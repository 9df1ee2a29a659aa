"""Where a hypervisor answers, how to log in, what it can do, and how its hosts are named."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

HostID = NewType("HostID", str)
"""Name of a host as the endpoint lists it."""


class Capability(StrEnum):
    """What an endpoint can do; a call outside these raises Unsupported.

    EVENTS tells of power, of VMs that come and go, and of devices that come while they run. DEFINITION_EVENTS: of every other
    change to a VM too, such as that of its CPUs, its memory, or what it has from its next start on.
    """

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
    DEFINITION_EVENTS = "DefinitionEvents"
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
    """Where a hypervisor answers, how to log in, and for which cloud.

    `cloud` tells one cloud from all others: what has no owner of its own on a host, as storage pools, is let go by the cloud that
    made it. Empty for who makes no such thing.
    """

    url: str
    credentials: Credentials = Credentials()
    insecure: bool = False
    cloud: str = ""
