"""Where a lab keeps its things and what they are called. Pure."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.lab.shell import LabError

MAX_HOSTS = 30
# sun_path of unix(7) holds 108 bytes with the final NUL.
MAX_SOCKET_PATH = 107
# libvirtd makes several beside libvirt-sock, and ends when it cannot make one of them.
LONGEST_SOCKET = "libvirt-admin-sock"
# A host has its own /run, /dev, /proc and /sys, so state kept there would be invisible to it.
HIDDEN = ("/run", "/dev", "/proc", "/sys")
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,19}")
_PLAIN = re.compile(r"[A-Za-z0-9./+@=~:,_-]+")
_HOST = re.compile(r"h([1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names and paths of one lab. `prefix` keeps labs on one machine apart, `state` holds all its files.

    Addresses are of 198.18.0.0/15, the range for tests between networks (RFC 2544); they exist only inside the lab.
    Raises LabError for a prefix, directory or host name that cannot work.
    """

    state: Path
    prefix: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise LabError(f"lab prefix {self.prefix!r}: use 1 to 20 of a-z and 0-9, a letter first")
        place = str(self.state.resolve())
        if not _PLAIN.fullmatch(str(self.state)):
            raise LabError(f"state directory {self.state}: use only letters, digits and ./+@=~:,_- in its path")
        if any(place == top or place.startswith(f"{top}/") for top in HIDDEN):
            raise LabError(f"state directory {place}: the hosts could not see it, use one outside {', '.join(HIDDEN)}")
        if len(os.fsencode(self.run_dir(f"h{MAX_HOSTS}") / LONGEST_SOCKET)) > MAX_SOCKET_PATH:
            raise LabError(f"state directory {self.state}: too long for the path of a unix socket, use a shorter one")

    def namespace(self, place: str) -> str:
        """Name of the network namespace of a place: h1, ctl, fabric, stor, iscsi, ceph or vlan10."""
        return f"{self.prefix}-{place}"

    def owns_namespace(self, name: str) -> bool:
        """Whether a network namespace belongs to this lab."""
        return re.fullmatch(rf"{self.prefix}-(h\d+|ctl|fabric|stor|iscsi|ceph|vlan\d+)", name) is not None

    @property
    def cgroup(self) -> str:
        """Name of the directory that this lab makes in each cgroup hierarchy."""
        return f"vireo-lab-{self.prefix}"

    @property
    def shared(self) -> Path:
        """A directory that every host sees: stands for a shared mount."""
        return self.state / "shared"

    @property
    def record(self) -> Path:
        """What the lab was asked for."""
        return self.state / "lab.json"

    @property
    def hosts_file(self) -> Path:
        """The /etc/hosts of every host."""
        return self.state / "hosts"

    def host_dir(self, host: str) -> Path:
        """Everything that a host keeps over a reboot."""
        return self.state / host

    def local(self, host: str) -> Path:
        """A directory of one host for its local storage."""
        return self.host_dir(host) / "local"

    def run_dir(self, host: str) -> Path:
        """Where the sockets of a host are; seen from every namespace."""
        return self.state / "run" / host

    def socket(self, host: str) -> Path:
        """The socket of a host's libvirtd."""
        return self.run_dir(host) / "libvirt-sock"

    def uri(self, host: str) -> str:
        """libvirt connection URI that works from anywhere on the machine (https://libvirt.org/uri.html)."""
        return f"qemu+unix:///system?socket={self.socket(host)}"

    def tcp_uri(self, host: str) -> str:
        """libvirt connection URI that works inside the lab's namespaces and crosses the management link."""
        return f"qemu+tcp://{self.management_address(host)}/system"

    def host_uuid(self, host: str) -> uuid.UUID:
        """Hardware UUID of a host, the same after each boot."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"vireo-lab:{self.state}:{self.prefix}:{host}")

    def management_address(self, host: str) -> str:
        """IPv4 address of a host on the management network 198.18.0.0/24."""
        return f"198.18.0.{index(host)}"

    def tunnel_address(self, place: str) -> str:
        """IPv4 address of a host or a VLAN gateway below the VXLANs, 198.19.0.0/16."""
        if place.startswith("vlan"):
            high, low = divmod(int(place.removeprefix("vlan")), 256)
            return f"198.19.{16 + high}.{low}"
        return f"198.19.0.{index(place)}"


def index(host: str) -> int:
    """Number of a host: 1 for h1. Raises LabError for a name that is none."""
    match = _HOST.fullmatch(host)
    if match is None or int(match[1]) > MAX_HOSTS:
        raise LabError(f"{host!r} is no lab host: they are h1 to h{MAX_HOSTS}")
    return int(match[1])
