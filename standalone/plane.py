"""One Kubernetes control plane on this machine's loopback address.

etcd, kube-apiserver and kube-controller-manager in a directory of their own: data, keys, logs, pid files and
`admin.kubeconfig` / `controller.kubeconfig`. No kubelet: objects are stored and watched, nothing runs in pods.
"""

import contextlib
import datetime
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from certificates.files import write_private
from standalone import access, build, components, ports, rbac
from standalone.cache import Progress, locked, make_directory
from standalone.client import Client
from standalone.components import Layout
from standalone.errors import StandaloneError
from standalone.ports import Ports
from standalone.processes import Process

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager")
"""In the order of starting; stopping goes the other way, or the API server would hang on its dead etcd."""

READY_SECONDS = 300.0
"""Enough for a loaded machine; an idle one needs 3 to 4."""

STOP_SECONDS = 10.0
"""For a clean end of what works."""

CLEAR_SECONDS = 1.0
"""For what is left of a broken one: an API server without etcd never ends cleanly, and has nothing to save."""

_POLL_SECONDS = 0.05
_PORT_TAKEN = "address already in use"
_ATTEMPTS = 3


@dataclass(frozen=True)
class ControlPlane:
    """The control plane in `directory`, running or not.

    `api_port` demands a port for the API server; None keeps the last one or takes a free one. `durable=False` lets etcd skip
    fsync: quicker, but a power cut may lose data. `die_with_parent=True` ties the processes to the thread that calls `start`;
    otherwise they outlive it. `binary` finds or makes the program, when it is first needed.
    """

    directory: Path
    api_port: int | None = None
    durable: bool = True
    die_with_parent: bool = False
    binary: Callable[[Progress], Path] = build.ensure

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._layout.kubeconfig("admin")

    @property
    def controller_kubeconfig(self) -> Path:
        """The kubeconfig of the user `vireo-controller`, who may do only what the controller needs (rbac.yaml)."""
        return self._layout.kubeconfig("controller")

    def start(self, progress: Progress = lambda _: None) -> None:
        """Return when the API server is ready and the access rules are in place; nothing to do if it already runs.

        Raises StandaloneError, after stopping whatever it started.
        """
        binary = self.binary(progress)
        with self._exclusive(progress):
            if self.running() and self._ready():
                return
            self._stop_all(CLEAR_SECONDS)
            try:
                self._start_all(binary, progress)
            except BaseException:
                self._stop_all(CLEAR_SECONDS)
                raise

    def stop(self) -> None:
        """Stop every process; the data stays. Not running is success. Raises StandaloneError if it can't look."""
        if self.directory.exists():
            with self._exclusive(lambda _: None):
                self._stop_all(STOP_SECONDS)

    def delete(self) -> None:
        """Stop, and remove the directory with all data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def running(self) -> bool:
        """Whether all three processes run."""
        return all(process.pid() is not None for process in self.processes())

    def processes(self) -> list[Process]:
        """The processes in the order of starting, running or not."""
        layout = self._layout
        marks = {name: frozenset((name, components.own(name, layout))) for name in NAMES}
        return [Process(name, layout.run / f"{name}.pid", layout.log / f"{name}.log", marks[name]) for name in NAMES]

    def kubectl(self, user: str = "admin") -> list[str]:
        """The beginning of a kubectl command line against this control plane, its caches inside the directory."""
        cache = self.directory / "kubectl-cache"
        binary = self.binary(lambda _: None)
        return [str(binary), "kubectl", f"--kubeconfig={self._layout.kubeconfig(user)}", f"--cache-dir={cache}"]

    @property
    def _layout(self) -> Layout:
        return Layout(self.directory.absolute())

    @contextlib.contextmanager
    def _exclusive(self, progress: Progress) -> Iterator[None]:
        make_directory(self.directory, 0o700)
        waiting = f"waiting for another start or stop of the control plane in {self.directory}"
        with locked(self._layout.run / "lock", lambda: progress(waiting)):
            try:
                yield
            except OSError as error:  # disk full, read-only, permissions: one sentence says it all
                where = f" ({error.filename})" if error.filename else ""
                raise StandaloneError(f"the control plane in {self.directory} failed: {error.strerror}{where}") from error

    def _start_all(self, binary: Path, progress: Progress) -> None:
        """Try again with other ports if a freely chosen one was taken between choosing and listening."""
        for _ in range(_ATTEMPTS - 1):
            try:
                self._start_once(binary, progress)
            except _PortTakenError:
                self._stop_all(CLEAR_SECONDS)
            else:
                return
        self._start_once(binary, progress)

    def _start_once(self, binary: Path, progress: Progress) -> None:
        layout = self._layout
        chosen = ports.choose(ports.load(layout.ports), self.api_port)
        etcd, apiserver, manager = self.processes()
        with ports.held((chosen.api, chosen.etcd, chosen.peer)):
            client = self._prepare(chosen)
            progress(f"starting the control plane on port {chosen.api}")
            etcd.start(components.etcd(binary, layout, chosen, self.durable), self.die_with_parent)
            apiserver.start(components.apiserver(binary, layout, chosen), self.die_with_parent)
            self._await_ready(client, [etcd, apiserver])
        manager.start(components.controller_manager(binary, layout), self.die_with_parent)
        rbac.apply(client)
        progress("the control plane is ready")

    def _prepare(self, chosen: Ports) -> Client:
        """Write keys, tokens, ports and kubeconfigs; return the administrator's client."""
        layout = self._layout
        for directory in (layout.pki.directory, layout.log, layout.run):
            make_directory(directory, 0o700)
        layout.pki.ensure(datetime.datetime.now(datetime.UTC))
        tokens = access.tokens(layout.tokens)
        ports.save(layout.ports, chosen)
        authority = layout.pki.authority.read_bytes()
        for user, token in tokens.items():
            text = access.kubeconfig(chosen.api, authority, user, token)
            write_private(layout.kubeconfig(user), text.encode())
        return Client(chosen.api, layout.pki.authority, tokens["admin"])

    def _ready(self) -> bool:
        layout = self._layout
        chosen = ports.load(layout.ports)
        if chosen is None or self.api_port not in (None, chosen.api):
            return False
        return Client(chosen.api, layout.pki.authority, access.tokens(layout.tokens)["admin"]).ready()

    def _await_ready(self, client: Client, started: list[Process]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not client.ready():
            for process in started:
                if process.pid() is None:
                    raise _died(process)
            if time.monotonic() > deadline:
                last = started[-1]
                raise StandaloneError(
                    f"{last.name} is not ready after {READY_SECONDS:.0f} s: {last.last_words()} ({last.log_file})"
                )
            time.sleep(_POLL_SECONDS)

    def _stop_all(self, grace: float) -> None:
        for process in reversed(self.processes()):
            process.stop(grace)


class _PortTakenError(StandaloneError):
    """A port that was free a moment ago is not any more."""


def _died(process: Process) -> StandaloneError:
    if process.logged(_PORT_TAKEN):
        return _PortTakenError(f"{process.name} found its port in use: {process.last_words()}")
    if process.logged(os.strerror(errno.ENOSPC)):
        return StandaloneError(f"{process.name} stopped: the disk is full ({process.log_file.parent})")
    return StandaloneError(f"{process.name} stopped at its start: {process.last_words()} (log: {process.log_file})")
