"""Which endpoint URLs are accepted, and the libvirt URI made of them.

libvirt's own URIs can name a command to run, a netcat to call, a file to read or "do not verify" (https://libvirt.org/uri.html).
A Cluster's URL is input from outside, so it is taken apart, checked against a short list, and a fresh URI is put together.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from drivers.errors import InvalidSpec

MAX_URL = 1024

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SOCKET = re.compile(r"(?:/[A-Za-z0-9_.+-]+)+")
SOCKET_LIMIT = 107
"""Longest path of a Unix socket in bytes (unix(7))."""


class Transport(StrEnum):
    """How libvirt is reached."""

    UNIX = "unix"
    TLS = "tls"
    SSH = "ssh"


_PARAMETERS = {Transport.UNIX: {"socket"}, Transport.TLS: set[str](), Transport.SSH: set[str]()}


@dataclass(frozen=True, slots=True)
class Target:
    """An accepted URL, taken apart. `host`, `port`, `user` and `socket` are empty or None where the transport has none."""

    transport: Transport
    host: str = ""
    port: int | None = None
    user: str = ""
    socket: str = ""

    def uri(self, parameters: Mapping[str, str] | None = None, *, user: str = "") -> str:
        """The libvirt URI, with `parameters` that the driver adds, for example the directory of the client certificate.

        `user` logs in where the URL names nobody. Raises InvalidSpec for a user name that no host would have.
        """
        query = {"socket": self.socket} if self.socket else {}
        query.update(parameters or {})
        pairs = "&".join(f"{key}={quote(value, safe='/')}" for key, value in query.items())
        return f"qemu+{self.transport}://{self._authority(user)}/system" + (f"?{pairs}" if pairs else "")

    def login(self, user: str) -> str:
        """Who logs in over SSH: whom the URL names, else `user`, maybe nobody. Raises InvalidSpec for a name that no host has."""
        login = self.user or (user if self.transport is Transport.SSH else "")
        if login and not _USER.fullmatch(login):
            raise InvalidSpec("the user name to log in to the host has characters that are not allowed")
        return login

    def _authority(self, user: str) -> str:
        if self.transport is Transport.UNIX:
            return ""
        login = self.login(user)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{login}@" if login else "") + host + (f":{self.port}" if self.port else "")


def parse(url: str) -> Target:
    """The target of `qemu+unix:///system[?socket=PATH]`, `qemu+tls://HOST[:PORT]/system` or `qemu+ssh://[USER@]HOST[:PORT]/system`.

    Raises InvalidSpec for anything else, saying what is wrong with it; the message never repeats a password.
    """
    parts, port = _split(url)
    transport = _transport(parts.scheme)
    if parts.path != "/system":
        raise InvalidSpec("the endpoint URL must end in /system: only a host's system libvirt is supported")
    if parts.password is not None:
        raise InvalidSpec("the endpoint URL must not hold a password; put it into the Secret")
    query = _query(parts.query, transport)
    if transport is Transport.UNIX:
        if parts.netloc:
            raise InvalidSpec("a qemu+unix URL has no host: qemu+unix:///system?socket=/path")
        return Target(transport, socket=_socket(query.get("socket", "")))
    return Target(transport, host=_host(parts.hostname or ""), port=port, user=_user(parts, transport))


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > MAX_URL or not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise InvalidSpec(f"the endpoint URL must be ASCII without spaces, at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidSpec("the endpoint URL is malformed: its host or port cannot be read") from error
    if parts.fragment or "#" in url:
        raise InvalidSpec("the endpoint URL must not have a fragment (#)")
    if port == 0:
        raise InvalidSpec("port 0 cannot be connected to")
    return parts, port


def _transport(scheme: str) -> Transport:
    prefix, _, name = scheme.partition("+")
    if prefix != "qemu" or name not in set(Transport):
        raise InvalidSpec("the endpoint URL of a KVM host must start with qemu+tls://, qemu+ssh:// or qemu+unix://")
    return Transport(name)


def _query(query: str, transport: Transport) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=8) if query else []
    except ValueError as error:
        raise InvalidSpec("the query of the endpoint URL is malformed") from error
    names = [name for name, _ in pairs]
    unknown = sorted(set(names) - _PARAMETERS[transport])
    if unknown:
        raise InvalidSpec(f"the endpoint URL has a parameter that is not allowed: {unknown[0][:40]!r}")
    if len(names) != len(set(names)):
        raise InvalidSpec("a parameter of the endpoint URL is given twice")
    return dict(pairs)


def _socket(path: str) -> str:
    if not path:
        return ""
    if not _SOCKET.fullmatch(path) or len(path) > SOCKET_LIMIT or any(part in {".", ".."} for part in path.split("/")):
        raise InvalidSpec(f"socket= must be an absolute, normal path of at most {SOCKET_LIMIT} characters")
    return path


def _host(host: str) -> str:
    name = unquote(host)
    if _is_address(name) or (len(name) <= 253 and _HOST.fullmatch(name) and not name.replace(".", "").isdigit()):
        return name
    raise InvalidSpec("the host of the endpoint URL is not a host name or an IP address")


def _is_address(host: str) -> bool:
    try:
        return not getattr(ipaddress.ip_address(host), "scope_id", None)
    except ValueError:
        return False


def _user(parts: SplitResult, transport: Transport) -> str:
    user = parts.username or ""
    if parts.username is None:
        return ""
    if transport is not Transport.SSH or not _USER.fullmatch(user):
        raise InvalidSpec("only qemu+ssh:// takes a user name, of letters, digits, '_', '.' and '-'")
    return user
