"""The demo's own processes besides the control plane: simulator, image server, controller."""

import http.client
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from standalone.cache import Progress
from standalone.demo.layout import Layout
from standalone.demo.record import Record
from standalone.errors import StandaloneError
from standalone.ports import LOOPBACK
from standalone.processes import Process, command_line

HOSTS = 200
"""Of the simulator; the examples declare each of them."""

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Service:
    """A process of the demo: its command line, its port and how to see that it works there."""

    process: Process
    argv: list[str]
    port: int
    works: Callable[[int], bool]

    def start(self, progress: Progress) -> None:
        """Have it running as `argv` says and working. Raises StandaloneError if it ends or is not working in time."""
        name = self.process.name
        pid = self.process.pid()
        if pid is not None and command_line(pid) != self.argv:
            progress("restarting it with other settings")
            pid = None
        if pid is None:
            self.process.stop(STOP_SECONDS)  # what runs otherwise, or has lost its pid file
            self.process.start(self.argv, die_with_parent=False)
        deadline = time.monotonic() + START_SECONDS
        while not self.works(self.port):
            self.check()
            if time.monotonic() > deadline:
                said = f"{self.process.last_words()} (log: {self.process.log_file})"
                raise StandaloneError(f"the {name} does not answer after {START_SECONDS:.0f} s: {said}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise StandaloneError if it does not run."""
        if self.process.pid() is None:
            log = self.process.log_file
            if self.process.logged("address already in use"):
                raise StandaloneError(f"port {self.port} on {LOOPBACK}, which the {self.process.name} needs, is in use: try again")
            raise StandaloneError(f"the {self.process.name} ended: {self.process.last_words()} (log: {log})")


def simulator(layout: Layout, record: Record) -> Service:
    """The simulator's server, its datacentre kept in a file."""
    listen = f"{LOOPBACK}:{record.simulator_port}"
    options = ["serve", "--listen", listen, "--hosts", str(HOSTS), "--state", str(layout.simulator)]
    return Service(process(layout, "simulator"), [*_python("drivers.simulator"), *options], record.simulator_port, connects)


def image_server(layout: Layout, record: Record) -> Service:
    """An HTTP server for the image that the template names."""
    options = [str(record.image_port), "--bind", LOOPBACK, "--directory", str(layout.served)]
    return Service(process(layout, "image server"), [*_python("http.server"), *options], record.image_port, connects)


def controller(layout: Layout, record: Record, kubeconfig: Path) -> Service:
    """`vireo run`. Its name as a holder of the Lease is fixed, so that a restarted one goes on at once: there is only one."""
    options = {
        "kubeconfig": str(kubeconfig),
        "identity": f"vireo-{layout.prefix}",
        "probe-port": str(record.probe_port),
        "image-directory": str(layout.images),
    }
    argv = [*_python("controller"), "run", *(f"--{name}={value}" for name, value in options.items())]
    return Service(process(layout, "controller"), argv, record.probe_port, is_ready)


NAMES = ("controller", "image server", "simulator")
"""In the order of stopping."""


def process(layout: Layout, name: str) -> Process:
    """One of NAMES, running or not."""
    stem = name.replace(" ", "-")
    marks = {
        "simulator": ("drivers.simulator", str(layout.simulator)),
        "image server": ("http.server", str(layout.served)),
        "controller": ("controller", f"--image-directory={layout.images}"),
    }
    return Process(name, layout.run / f"{stem}.pid", layout.log / f"{stem}.log", frozenset(marks[name]))


def ports_in_use(layout: Layout, record: Record) -> set[int]:
    """The ports that the demo's own processes have now."""
    ports = zip(NAMES, (record.probe_port, record.image_port, record.simulator_port), strict=True)
    return {port for name, port in ports if process(layout, name).pid() is not None}


def stop(layout: Layout) -> None:
    """Stop them all; those that don't run are no error."""
    for name in NAMES:
        process(layout, name).stop(STOP_SECONDS)


def connects(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((LOOPBACK, port)) == 0


def is_ready(port: int) -> bool:
    """Whether /readyz on this port of 127.0.0.1 answers with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
