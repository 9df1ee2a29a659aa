"""Segments, how hosts carry them, and network interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NetworkBackend(StrEnum):
    """How a host carries guest segments."""

    OVS = "OVS"
    BRIDGE = "Bridge"
    LINUX = "Linux"


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
class Moved:
    """A NIC that is plugged in elsewhere than it was made: both places in words, such as `bridge guest, vlan-120`."""

    made: str
    now: str

    def __str__(self) -> str:
        return f"on {self.now} instead of {self.made}"


@dataclass(frozen=True, slots=True)
class Unplugged:
    """A NIC of a running VM that is plugged in to nothing: `place` is where it belongs, in words, such as `bridge guest, vlan-120`.

    `missing`: the host has no such place, so that it can't be put back now.
    """

    place: str
    missing: bool

    def __str__(self) -> str:
        return f"in the air: the host has no {self.place}" if self.missing else f"in the air, not on {self.place}"


@dataclass(frozen=True, slots=True)
class ObservedNIC:
    """A NIC of ours on a VM, with what was recorded at its creation (name, network, segment, ip) read back from the owner mark.

    `moved` tells that somebody has plugged it in elsewhere since, be it for the next start only: None if not, or if the hypervisor
    does not tell. A NIC whose declaration has changed since it was made is not moved. `unplugged` tells that a running VM has it
    in vain, for its bridge or its port went away under it: None if not, or if that was not seen.
    """

    name: str
    mac: str
    network: str
    segment: Segment
    ip: str = ""
    moved: Moved | None = None
    unplugged: Unplugged | None = None
