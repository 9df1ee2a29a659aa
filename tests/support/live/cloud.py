"""A cloud on one machine: starts its parts, applies what a user would, waits as a user would, and counts what is there."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from crds.v1alpha1 import KINDS
from drivers.simulator.control import Control
from standalone.plane import ControlPlane
from tests.support import kstatus
from tests.support.files import FileServer, Served, etag, file_server
from tests.support.live import manifests as make
from tests.support.live.api import Api, Manifest
from tests.support.live.controller import ROOT, ControllerProcess
from tests.support.simulator import SimulatorProcess

DEADLINE = 240.0
"""Seconds that anything may take on a busy machine; nothing is asserted about time."""


class LiveCloud:
    """Control plane, image server and simulator run; the controller only after `controller.start()`."""

    def __init__(self, directory: Path, plane: ControlPlane, simulator: SimulatorProcess, files: FileServer) -> None:
        self.directory = directory
        self.plane = plane
        self.simulator = simulator
        self.files = files
        self.api = Api(plane.kubeconfig)
        self.controller = self.replica("controller-0")
        self.image = _image(directory / "tiny.qcow2")
        self.image_url = files.serve("/tiny.qcow2", Served(self.image, etag(self.image)))
        self.checksum = f"sha256:{hashlib.sha256(self.image).hexdigest()}"
        self.control: Control = simulator.control()

    def replica(self, identity: str, kubeconfig: Path | None = None) -> ControllerProcess:
        """A controller process, not started; `kubeconfig` is another way to the API server."""
        return ControllerProcess(kubeconfig or self.plane.controller_kubeconfig, self.directory / "controllers", identity)

    def install(self) -> None:
        """Install the CRDs and the namespaces, and wait until the API server serves them, which it says a bit too early."""
        paths = sorted((ROOT / "crds" / "manifests").glob("*.yaml"))
        definitions = [each for path in paths for each in yaml.safe_load_all(path.read_text())]
        for each in definitions:
            self.api.apply_definition(each)
        self.until(lambda: all(self.api.established(each["metadata"]["name"]) for each in definitions), "CRDs are established")
        self.until(lambda: all(self.api.served(kind.KIND) for kind in KINDS), "objects of all kinds can be asked for")
        self.api.apply(make.namespace("shop"), make.namespace("vireo-system"))

    def basics(self, hosts: int = 3, *, endpoint_per_host: bool = False, url: str = "") -> None:
        """Apply a zone with hosts, a shared pool, three offerings, a template and a network; nothing is waited for.

        `url` is another way to the simulator.
        """
        url, names = url or self.simulator.url, host_names(hosts)
        self.api.apply(make.zone(), make.manifest("Pod", "p", zone="z"), make.cluster("" if endpoint_per_host else url))
        self.api.apply(*(make.host(name, f"{url}/{name}?timeout=3" if endpoint_per_host else "") for name in names))
        self.api.apply(make.pool(), make.template(self.image_url, self.checksum), make.network())
        self.api.apply(make.offering("small", 1, "1Gi"), make.offering("large", 4, "4Gi"), make.offering("narrow", 2, "512Mi"))

    def until(self, happened: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
        """Look again and again until it is so; returns what `happened` returned. Raises AssertionError."""
        end = time.monotonic() + deadline
        while not (found := happened()):
            assert time.monotonic() < end, f"not within {deadline:.0f} s: {what}\n{self.troubles()}"
            time.sleep(0.1)
        return found

    def await_current(self, kind: str = "VirtualMachine", names: Sequence[str] = (), deadline: float = DEADLINE) -> None:
        """Wait until kstatus says Current of these objects, or of all of the kind; none of them is being deleted then."""
        wanted = set(names)

        def current() -> bool:
            found = [each for each in self.api.list(kind) if not wanted or each["metadata"]["name"] in wanted]
            return len(found) >= len(wanted) and all(kstatus.compute(each) == kstatus.CURRENT and _written(each) for each in found)

        self.until(current, f"{kind} {' '.join(names) or 'all'} Current", deadline)

    def await_reason(self, kind: str, name: str, reason: str, fragment: str, type: str = "Ready") -> Manifest:
        """Wait for a condition of this reason whose message holds the fragment; returns the object."""

        def said() -> Manifest | None:
            found = self.api.get(kind, name)
            conditions = (found or {}).get("status", {}).get("conditions", [])
            right = [c for c in conditions if c["type"] == type and c["reason"] == reason and fragment in c.get("message", "")]
            return found if right else None

        found: Manifest = self.until(said, f"{kind} {name}: {type} {reason} … {fragment}")
        return found

    def await_gone(self, kind: str, *names: str) -> None:
        """Wait until none of these exists."""
        self.until(lambda: not {each["metadata"]["name"] for each in self.api.list(kind)} & set(names), f"{names} are gone")

    def troubles(self) -> str:
        """What is not Current, for whoever reads a failed test."""
        lines = []
        for kind in ("Host", "StoragePool", "Template", "Network", "VirtualMachine", "Volume", "Snapshot", "SnapshotRestore"):
            for each in self.api.list(kind):
                if (state := kstatus.compute(each)) != kstatus.CURRENT or not _written(each):
                    status = each.get("status", {})
                    said = [
                        f"{c['type']}={c['status']} {c['reason']}: {c.get('message', '')}" for c in status.get("conditions", [])
                    ]
                    lines.append(f"{kind} {each['metadata']['name']} {state} {status.get('state')} {said}")
        return "\n".join(lines[:20])


@contextmanager
def live_cloud(directory: Path, *simulator: str, hosts: int = 10) -> Iterator[LiveCloud]:
    """A cloud with CRDs installed; `simulator` are more arguments of the simulator server. Everything is stopped in the end."""
    directory.mkdir(parents=True, exist_ok=True)
    plane = ControlPlane(directory / "plane", durable=False, die_with_parent=True)
    arguments = ["--hosts", str(hosts), "--boot", "0", "--shutdown", "0", *simulator]
    with ExitStack() as stack:
        stack.callback(plane.delete)
        plane.start()
        cloud = LiveCloud(directory, plane, stack.enter_context(SimulatorProcess(arguments)), stack.enter_context(file_server()))
        stack.callback(cloud.api.close)
        stack.callback(cloud.control.close)
        stack.callback(cloud.controller.kill)
        cloud.install()
        yield cloud


@contextmanager
def working_cloud(directory: Path, hosts: int) -> Iterator[LiveCloud]:
    """A cloud whose controller works, with `basics` in place, an endpoint for each host."""
    with live_cloud(directory, hosts=hosts) as cloud:
        cloud.controller.start()
        cloud.basics(hosts, endpoint_per_host=True)
        for kind in ("Host", "StoragePool", "Template", "Network"):
            cloud.await_current(kind)
        yield cloud


def host_names(count: int) -> list[str]:
    """The simulator's names of its first hosts."""
    return [f"host-{number:05d}" for number in range(1, count + 1)]


def _written(found: Manifest) -> bool:
    """Whether the controller has looked at this generation; kstatus takes an object without any status for Current."""
    return bool(found.get("status", {}).get("observedGeneration", -1) == found["metadata"]["generation"])


def _image(path: Path) -> bytes:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "16M"]
    subprocess.run(command, check=True, timeout=200)
    return path.read_bytes()
