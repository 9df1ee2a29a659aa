"""The cloud under measurement: control plane, simulator and controller, each a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from standalone.plane import ControlPlane
from tests.bench.figures import Sample, parse
from tests.support.files import file_server
from tests.support.live import LiveCloud
from tests.support.live import manifests as make
from tests.support.live.cloud import host_names
from tests.support.live.controller import ROOT
from tests.support.ports import reserved
from tests.support.simulator import SimulatorProcess

_BIG = ["--cpus", "4096", "--memory", "16384", "--pool", "1000000", "--boot", "0", "--shutdown", "0"]
"""Hosts that are never full, with guests that obey at once: what is measured is Vireo."""


@dataclass
class Controller:
    """`vireo run`, with its metrics at a port that stays its own whether it runs or not, until `held` is closed."""

    kubeconfig: Path
    directory: Path
    held: socket.socket = field(default_factory=reserved, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; it need not have done anything when this returns."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "controller", "run", "--kubeconfig", str(self.kubeconfig), "--identity", "bench"]
        command += ["--probe-port", str(self.port), "--image-directory", str(self.directory / "images"), "--log-level", "warning"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment(), stdout=log, stderr=log)

    def _environment(self) -> dict[str, str]:
        """Ours; but a controller finds its modules compiled, as an installed one does, whatever this process was told."""
        ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return ours | {"PYTHONPYCACHEPREFIX": str(self.directory / "bytecode")}

    def stop(self) -> None:
        """Ask it to end, and wait; nothing to do if it doesn't run."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """Kill it at once, as the kernel would."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def ready(self) -> bool:
        """Whether it has listed everything."""
        try:
            self._page("readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def metrics(self) -> list[Sample]:
        """What it counted since its start; nothing as long as it doesn't answer."""
        try:
            return parse(self._page("metrics"))
        except (urllib.error.URLError, OSError):
            return []

    def memory(self) -> float:
        """Resident memory in MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024

    @property
    def port(self) -> int:
        """Where its metrics are, of 127.0.0.1."""
        chosen: int = self.held.getsockname()[1]
        return chosen

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def _page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=10) as reply:
            text: str = reply.read().decode()
            return text


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process took since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ticks:
    """CPU time of all cores since the boot of the machine: how much of it was `stolen` by the machine's own host for others."""

    stolen: int
    all: int

    @classmethod
    def now(cls, file: Path = Path("/proc/stat")) -> Ticks:
        """See proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what follows is in these already."""
        ticks = [int(field) for field in file.read_text().split("\n", 1)[0].split()[1:9]]
        return cls(ticks[7], sum(ticks))

    def stolen_since(self, before: Ticks) -> float:
        """Percent of the time between the two; 0 if none has passed."""
        passed = self.all - before.all
        return 100 * (self.stolen - before.stolen) / passed if passed else 0.0


@contextmanager
def bench_cloud(directory: Path, hosts: int, *, durable: bool, shared_endpoint: bool) -> Iterator[tuple[LiveCloud, Controller]]:
    """A cloud of empty hosts with its controller, all Ready; everything is stopped in the end."""
    plane = ControlPlane(directory / "plane", durable=durable, die_with_parent=True)
    controller = Controller(plane.controller_kubeconfig, directory / "controller")
    with ExitStack() as stack:
        stack.enter_context(controller.held)
        stack.callback(plane.delete)
        plane.start()
        simulator = stack.enter_context(SimulatorProcess(["--hosts", str(hosts), *_BIG]))
        cloud = LiveCloud(directory, plane, simulator, stack.enter_context(file_server()))
        stack.callback(cloud.api.close)
        stack.callback(cloud.control.close)
        stack.callback(controller.stop)
        cloud.install()
        _apply(cloud, hosts, shared_endpoint)
        controller.start()
        for kind in ("Host", "StoragePool", "Network"):
            cloud.await_current(kind, deadline=120 + hosts)
        yield cloud, controller


def _apply(cloud: LiveCloud, hosts: int, shared_endpoint: bool) -> None:
    url = cloud.simulator.url
    cloud.api.apply(make.zone(), make.manifest("Pod", "p", zone="z"), make.cluster(url if shared_endpoint else ""))
    cloud.api.apply(*(make.host(name, "" if shared_endpoint else f"{url}/{name}?timeout=3") for name in host_names(hosts)))
    cloud.api.apply(make.pool(), make.template(cloud.image_url, cloud.checksum), make.offering("small", 1, "1Gi"))
    cloud.api.apply(make.network(cidr="10.0.0.0/15"), make.namespace("bare"))
