"""Opens endpoints of a simulator server by URL."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from drivers.errors import InvalidSpec
from drivers.types import Endpoint

from .client import SocketTransport
from .connection import SimulatorConnection
from .polls import Polls

__all__ = ["SimulatorDriver", "parse_url"]

TIMEOUT = 15.0


class Target(NamedTuple):
    """What a URL names; an empty `host` means all hosts. `timeout` in seconds."""

    address: tuple[str, int]
    host: str
    timeout: float


class SimulatorDriver:
    """See `drivers.base.Driver`. Its connections share the thread that waits for their events."""

    def __init__(self) -> None:
        self._polls = Polls()

    def connect(self, endpoint: Endpoint) -> SimulatorConnection:
        """Open `simulator://HOST:PORT` for all hosts, or `simulator://HOST:PORT/NAME` for one.

        `?timeout=SECONDS` changes how long a call may take. Raises InvalidSpec, Transient, AuthFailed.
        """
        target = parse_url(endpoint.url)
        transport = SocketTransport(target.address, self._polls, timeout=target.timeout)
        try:
            return SimulatorConnection(transport, endpoint.credentials, target.host, endpoint.cloud)
        except BaseException:
            transport.close("")
            raise


def parse_url(url: str) -> Target:
    """Read a URL. Raises InvalidSpec that says what is wrong, without repeating a URL that may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        timeout = float(query.pop("timeout", [str(TIMEOUT)])[0])
    except ValueError as error:
        raise InvalidSpec("the simulator's URL is malformed; expected simulator://HOST:PORT[/NAME]") from error
    host = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "simulator" or not parts.hostname or not port:
        raise InvalidSpec("the simulator's URL must be simulator://HOST:PORT or simulator://HOST:PORT/NAME")
    if parts.username is not None or parts.password is not None:
        raise InvalidSpec("the simulator's URL must not hold credentials; they belong into the Secret")
    if query or parts.fragment or "/" in host or not 0 < timeout <= 3600:
        raise InvalidSpec("the simulator's URL has a part that is not understood; only ?timeout=SECONDS is")
    return Target((parts.hostname, port), host, timeout)
