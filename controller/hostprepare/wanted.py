"""What `vireo host prepare` is asked for, checked: every value ends up in a shell script, a configuration file or YAML."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.hostprepare import login

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+")


class Distribution(StrEnum):
    """Which commands are written."""

    DEBIAN = "debian"
    ROCKY = "rocky"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host to be prepared. `addresses` are IP addresses or DNS names, the first is that of its URL.

    `controllers` are the addresses that may connect; empty: any, with the right certificate. `bridge` empty: none is made.
    `host_keys` are those of its sshd, kind and key of each; empty: none are known, or those of an earlier time hold.
    Raises ValueError for what could not be used as it is.
    """

    name: str
    addresses: Sequence[str]
    cluster: str
    zone: str
    namespace: str
    secret: str
    pool_path: str
    bridge: str
    uplink: str
    controllers: Sequence[str]
    host_keys: Sequence[str]
    distribution: Distribution

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("cluster", self.cluster), ("zone", self.zone), ("namespace", self.namespace)):
            _name(what, value)
        _name("secret", self.secret)
        for address in self.addresses:
            _address(address)
        for network in self.controllers:
            _network(network)
        if any(login.checked(key) != key for key in self.host_keys):
            raise ValueError("a host key is written with a comment or otherwise than sshd writes it")
        if not _PATH.fullmatch(self.pool_path) or len(self.pool_path) > 255:
            raise ValueError(f"{self.pool_path[:64]!r} is no absolute path of letters, digits, '_', '.', '+' and '-'")
        for what, value in (("bridge", self.bridge), ("uplink", self.uplink)):
            if value and not _INTERFACE.fullmatch(value):
                raise ValueError(f"{what} {value[:32]!r} cannot be the name of a network interface")
        if self.uplink and not self.bridge:
            raise ValueError("an uplink needs a bridge to be plugged into")

    @property
    def url(self) -> str:
        """Where the controller connects to."""
        first = self.addresses[0]
        return f"qemu+tls://{f'[{first}]' if ':' in first else first}/system"


def _name(what: str, value: str) -> None:
    if not _NAME.fullmatch(value) or len(value) > 253:
        raise ValueError(f"{what} {value[:64]!r} is no name of a Kubernetes object: lower-case letters, digits, '-' and '.'")


def _address(value: str) -> None:
    try:
        scoped = getattr(ipaddress.ip_address(value), "scope_id", None)
    except ValueError:
        scoped = None
        if not _NAME.fullmatch(value) or len(value) > 253 or value.replace(".", "").isdigit():
            raise ValueError(f"{value[:64]!r} is neither an IP address nor a DNS name in lower case") from None
    if scoped:
        raise ValueError(f"{value[:64]!r}: an address with a zone means another host on each machine")


def _network(value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"controller {value[:64]!r} is neither an IP address nor a network such as 192.0.2.0/28") from None
