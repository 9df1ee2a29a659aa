"""A simulator server as a process of its own, for tests that need one."""

from __future__ import annotations

import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import pytest

from drivers.simulator.control import Control, open_control
from drivers.types import Credentials, Endpoint
from tests.support.ports import reserved

START_DEADLINE = 120.0
"""Seconds that a start may take on a busy machine."""


@dataclass
class SimulatorProcess:
    """`python -m drivers.simulator serve` with `arguments`; without --listen it has a free port, and keeps it over restarts.

    With `credentials` it asks for them.
    """

    arguments: Sequence[str] = ()
    credentials: Credentials = field(default_factory=Credentials)
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _port: socket.socket | None = field(default=None, repr=False)
    """Holds the port while the server is down."""

    def start(self) -> SimulatorProcess:
        """Start it and wait until it listens."""
        listen = self.url.removeprefix("simulator://") or self._reserved()
        environment = dict(os.environ)
        environment["VIREO_SIMULATOR_USERNAME"] = self.credentials.username
        environment["VIREO_SIMULATOR_PASSWORD"] = self.credentials.password
        command = [sys.executable, "-m", "drivers.simulator", "serve", "--listen", listen, *self.arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        self.url = self._read_url(self._process)
        return self

    def _reserved(self) -> str:
        self._port = reserved()
        return f"127.0.0.1:{self._port.getsockname()[1]}"

    def _read_url(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        deadline, text = time.monotonic() + START_DEADLINE, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                if not selector.select(deadline - time.monotonic()):
                    raise TimeoutError("the simulator did not start")
                chunk = os.read(process.stdout.fileno(), 4096)
                if not chunk:
                    raise RuntimeError(f"the simulator ended with code {process.wait()}")
                text += chunk
        match = re.fullmatch(r"listening on (simulator://\S+)\n", text.decode())
        assert match, text
        return match.group(1)

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> int:
        """Stop it as an operator would; returns its exit code."""
        return self._end(lambda process: process.terminate())

    def kill(self) -> int:
        """Kill it, as the kernel would."""
        return self._end(lambda process: process.kill())

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> int:
        process = self._process
        if process is None:
            return 0
        how(process)
        code = process.wait(120)
        self._process = None
        assert process.stdout is not None
        process.stdout.close()
        return code

    def endpoint(self, host: str = "", *, timeout: float | None = None) -> Endpoint:
        """The endpoint of one host, or of all; calls take `timeout` seconds at most."""
        query = "" if timeout is None else f"?timeout={timeout}"
        return Endpoint(f"{self.url}/{host}{query}" if host or query else self.url, self.credentials)

    def control(self) -> Control:
        """A session to make faults and look at everything."""
        return open_control(self.url, self.credentials)

    def __enter__(self) -> SimulatorProcess:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        if self._port is not None:
            self._port.close()


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    """Ten hosts whose guests boot and stop at once."""
    with SimulatorProcess(["--hosts", "10", "--boot", "0", "--shutdown", "0"]) as process:
        yield process


@pytest.fixture
def simulator_control(simulator: SimulatorProcess) -> Iterator[Control]:
    """Control of that simulator."""
    with simulator.control() as control:
        yield control
