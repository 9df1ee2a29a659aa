"""`serve`: run a simulator until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from drivers.errors import InvalidSpec
from drivers.simulator.engine.clock import RealClock
from drivers.simulator.engine.settings import Settings
from drivers.simulator.script import load_script, run_script
from drivers.simulator.service import Service
from drivers.types import Credentials

from .listener import Listener
from .state import StateFile

__all__ = ["ServeOptions", "serve"]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a server runs. `credentials` None lets everybody in, which is for loopback only; `seed` is for faults by chance."""

    host: str
    port: int
    settings: Settings
    state: Path | None = None
    script: Path | None = None
    credentials: Credentials | None = None
    seed: int | None = None


def serve(options: ServeOptions, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called once with the URL. Raises InvalidSpec, OSError."""
    if options.credentials is None and not _is_loopback(options.host):
        raise InvalidSpec(f"refusing to listen on {options.host} without credentials; only loopback may be open to everybody")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a socket for each endpoint's events and calls
    asyncio.run(_serve(options, announce))


async def _serve(options: ServeOptions, announce: Callable[[str], None]) -> None:
    service, state = _restore(options)
    if options.script is not None:
        run_script(service, load_script(options.script))
    listener = Listener(service, state)
    port = await listener.start(options.host, options.port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    announce(f"simulator://{f'[{options.host}]' if ':' in options.host else options.host}:{port}")
    await stopped.wait()
    await listener.stop()
    if state is not None:
        state.close()


def _restore(options: ServeOptions) -> tuple[Service, StateFile | None]:
    """A datacentre from its file if there is one; then the file says which hosts there are."""
    if options.state is None:
        return _service(options, options.settings), None
    try:
        state = StateFile(options.state)
        new = state.is_new()
        settings = options.settings if new else replace(options.settings, hosts=0)
        service = _service(options, settings)
        if new:
            service.dc.dirty.update(("host", host) for host in service.dc.hosts)
        else:
            state.load(service.dc)
    except (sqlite3.Error, ValueError, KeyError) as error:
        raise InvalidSpec(f"{options.state.name} is not a simulator's state, or can't be written: {error}") from error
    return service, state


def _service(options: ServeOptions, settings: Settings) -> Service:
    return Service(settings, RealClock(), random=Random(options.seed), credentials=options.credentials)  # noqa: S311


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
