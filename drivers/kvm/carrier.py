"""How the segments that Vireo makes itself leave a host; as text, it is in the owner mark of the VMs that need them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from drivers.errors import InvalidSpec
from drivers.kvm.names import INTERFACE
from drivers.types import Attachment, NetworkBackend


@dataclass(frozen=True, slots=True)
class Carrier:
    """How segments leave a host: as VLANs on the interface `uplink`, or with `group`, as VXLANs in that IPv4 multicast group."""

    uplink: str
    group: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidSpec for names and groups that no host could have."""
        if not INTERFACE.fullmatch(self.uplink):
            raise InvalidSpec(f"{self.uplink[:32]!r} cannot be the name of an interface")
        if self.group and not _is_group(self.group):
            raise InvalidSpec(f"{self.group[:32]!r} is not an IPv4 multicast group")

    def __str__(self) -> str:
        return f"vxlan:{self.uplink}:{self.group}" if self.group else f"vlan:{self.uplink}"


def read(text: str) -> Carrier:
    """The carrier that `str` made the text of. Raises InvalidSpec."""
    kind, _, rest = text.partition(":")
    uplink, _, group = rest.partition(":")
    if (kind, bool(group)) not in {("vlan", False), ("vxlan", True)}:
        raise InvalidSpec(f"{text[:64]!r} says nothing of how a segment is carried")
    return Carrier(uplink, group)


def of(attachment: Attachment) -> str:
    """The carrier's text for NICs whose segments Vireo makes; else empty. Raises InvalidSpec."""
    return str(Carrier(attachment.uplink, attachment.group)) if attachment.backend is NetworkBackend.LINUX else ""


def _is_group(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_multicast
    except ValueError:
        return False
