"""TCP ports on 127.0.0.1: which are free, holding those that were chosen until a server has them, and remembering them."""

import errno
import json
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from standalone.errors import StandaloneError

LOOPBACK = "127.0.0.1"

RANGE = range(20000, 32768)
"""Below Linux's ephemeral range (32768–60999), so that an outgoing connection can't take a chosen port."""

_ATTEMPTS = 200


@dataclass(frozen=True)
class Ports:
    """Where the components listen: the API server, etcd's clients and etcd's (only) peer."""

    api: int
    etcd: int
    peer: int


def is_free(port: int) -> bool:
    """Whether a server can listen on `port` of 127.0.0.1 now.  Raises StandaloneError for anything but "in use"."""
    return _binds(port, reuse=True)


def is_unclaimed(port: int) -> bool:
    """Whether nobody has `port` of 127.0.0.1: no server, none that ended just now, and none who holds it for one.

    Raises StandaloneError for anything but "in use".
    """
    return _binds(port, reuse=False)


def _binds(port: int, *, reuse: bool) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise StandaloneError(f"cannot listen on {LOOPBACK}:{port}: {error.strerror}") from error
    return True


@contextmanager
def held(chosen: Iterable[int]) -> Iterator[None]:
    """Keep others from choosing these ports within the block. Servers that set SO_REUSEADDR, as ours do, can listen on them.

    One that somebody has already is left to him.
    """
    with ExitStack() as ends:
        for port in chosen:
            holder = ends.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                holder.bind((LOOPBACK, port))
        yield


def choose(
    remembered: Ports | None,
    api: int | None,
    free: Callable[[int], bool] = is_free,
    unclaimed: Callable[[int], bool] = is_unclaimed,
    pick: Callable[[Sequence[int]], int] = secrets.choice,
) -> Ports:
    """Three free ports: `api` if demanded, else those of last time that are still free, else new ones that are unclaimed.

    Raises StandaloneError if the demanded port is in use, or if no port of RANGE seems free.
    """
    if api is not None and not free(api):
        raise StandaloneError(f"port {api} on {LOOPBACK} is in use: stop the program that has it or choose another port")
    wishes = [api, None, None]
    if remembered is not None:
        wishes = [api or remembered.api, remembered.etcd, remembered.peer]
    chosen: list[int] = []
    for wish in wishes:
        usable = wish is not None and wish not in chosen and free(wish)
        chosen.append(wish if usable and wish is not None else _another(chosen, unclaimed, pick))
    return Ports(*chosen)


def load(path: Path) -> Ports | None:
    """The ports saved at `path`; None if there are none or the file is damaged (they are only a preference)."""
    try:
        saved = json.loads(path.read_text())
        return Ports(api=int(saved["api"]), etcd=int(saved["etcd"]), peer=int(saved["peer"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, ports: Ports) -> None:
    """Remember `ports` at `path`."""
    path.write_text(json.dumps(asdict(ports)) + "\n")


def _another(taken: Sequence[int], unclaimed: Callable[[int], bool], pick: Callable[[Sequence[int]], int]) -> int:
    for _ in range(_ATTEMPTS):
        port = pick(RANGE)
        if port not in taken and unclaimed(port):
            return port
    raise StandaloneError(f"no free port found on {LOOPBACK} between {RANGE.start} and {RANGE.stop - 1}")
