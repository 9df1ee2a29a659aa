"""The driver contract over a transport: the groups of calls, the session, the cached observation, and the event cursor."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from drivers.errors import Transient, Unsupported
from drivers.types import (
    ApplyMode,
    Capability,
    Change,
    Credentials,
    DesiredVM,
    Done,
    Event,
    HostID,
    ImageFile,
    InstanceID,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    OpRef,
    PoolSpec,
    Progress,
    Started,
    StopMode,
    StoredFile,
)

from .consoles import NoConsoles
from .engine.compute import VMPage
from .engine.modes import apply_mode
from .methods import News, SessionExpired, Welcome
from .volumes import AdoptionCalls, SnapshotCalls, VolumeCalls

__all__ = ["Session", "SimulatorConnection", "Transport"]


class Transport(Protocol):
    """A way to the simulator. Safe for threads."""

    def request(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        """One call. Raises DriverError."""

    def listen(self, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        """Have `heard` called once, in any thread: with what is new after the cursor, as soon as something is; with None if that
        can't be told any more, and a call must say why. Raises DriverError.
        """

    def close(self, session: str) -> None:
        """Log out as far as that is possible at once, make blocked calls return, and refuse new ones. Never raises."""


class Session:
    """Logs in, and again when the server has forgotten the session; such a call had no effect and is repeated once."""

    def __init__(self, transport: Transport, credentials: Credentials, host: str) -> None:
        self._transport = transport
        self._login = (credentials.username, credentials.password, host)
        self._lock = threading.Lock()
        self.welcome: Welcome = transport.request("", "login", self._login)

    def call(self, method: str, *args: Any) -> Any:
        """Call a method with a session that is known, new if need be. Raises DriverError."""
        token = self.welcome.session
        try:
            return self._transport.request(token, method, args)
        except SessionExpired:
            return self._transport.request(self._renew(token), method, args)

    def listen(self, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        """See `Transport.listen`."""
        self._transport.listen(self.welcome.session, epoch, cursor, heard)

    def _renew(self, expired: str) -> str:
        with self._lock:
            if self.welcome.session == expired:
                self.welcome = self._transport.request("", "login", self._login)
            return self.welcome.session

    def close(self) -> None:
        """Log out. Never raises."""
        self._transport.close(self.welcome.session)


class _Hosts:
    def __init__(self, session: Session) -> None:
        self._call = session.call

    def list_hosts(self) -> Sequence[ObservedHost]:
        hosts: Sequence[ObservedHost] = self._call("hosts.list")
        return hosts


class _Compute:
    """Keeps what it saw: the server only tells which hosts changed since, each with all its VMs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._call = session.call
        self._lock = threading.Lock()
        self._epoch, self._cursor = "", 0
        self._hosts: dict[HostID, tuple[ObservedVM, ...]] = {}

    def observe_all(self) -> Mapping[InstanceID, ObservedVM]:
        with self._lock:
            more = True
            while more:
                more = self._take(self._call("compute.observe_page", self._epoch, self._cursor))
            return {vm.instance: vm for vms in self._hosts.values() for vm in vms}

    def _take(self, page: VMPage) -> bool:
        """Whether there is more to ask for. Hosts are kept in the order of their last change, as the server tells them."""
        if page.epoch != self._epoch:
            self._hosts = {}
        for host, vms in page.hosts:
            self._hosts.pop(host, None)
            if vms:
                self._hosts[host] = vms
        self._epoch, self._cursor = page.epoch, page.cursor
        return page.more

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        vm: ObservedVM = self._call("compute.observe", host, instance)
        return vm

    def create(self, host: HostID, vm: DesiredVM) -> Done | Started:
        outcome: Done | Started = self._call("compute.create", host, vm)
        return outcome

    def apply(self, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done | Started:
        outcome: Done | Started = self._call("compute.apply", host, instance, tuple(changes))
        return outcome

    def apply_mode(self, change: Change, observed: ObservedVM) -> ApplyMode:
        return apply_mode(change, observed, self._session.welcome.capabilities)

    def delete(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec] = ()) -> Done | Started:
        outcome: Done | Started = self._call("compute.delete", host, instance, tuple(pools))
        return outcome


class _Power:
    def __init__(self, session: Session) -> None:
        self._call = session.call

    def start(self, host: HostID, instance: InstanceID) -> Done | Started:
        outcome: Done | Started = self._call("power.start", host, instance)
        return outcome

    def stop(self, host: HostID, instance: InstanceID, mode: StopMode) -> Done | Started:
        outcome: Done | Started = self._call("power.stop", host, instance, mode)
        return outcome

    def resume(self, host: HostID, instance: InstanceID) -> Done | Started:
        outcome: Done | Started = self._call("power.resume", host, instance)
        return outcome


class _Storage:
    def __init__(self, session: Session, cloud: str) -> None:
        self._call = session.call
        self._cloud = cloud

    def ensure_pool(self, host: HostID, pool: PoolSpec) -> ObservedPool:
        observed: ObservedPool = self._call("storage.ensure_pool", host, pool, self._cloud)
        return observed

    def release_pool(self, host: HostID, pool: PoolSpec) -> Done:
        done: Done = self._call("storage.release_pool", host, pool, self._cloud)
        return done

    def list_pools(self, host: HostID) -> Sequence[PoolSpec]:
        pools: Sequence[PoolSpec] = self._call("storage.list_pools", host, self._cloud)
        return pools

    def has_image(self, host: HostID, pool: PoolSpec, image: str) -> bool:
        there: bool = self._call("storage.has_image", host, pool, image)
        return there

    def put_image(self, host: HostID, pool: PoolSpec, image: ImageFile) -> Done | Started:
        """The content is not sent, only looked at: a simulated guest needs none."""
        try:
            found = os.stat(image.path)
        except OSError as error:
            raise Transient(f"image {image.name!r} can't be read: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode) or found.st_size != image.physical_size:
            raise Transient(f"image {image.name!r} is not a file of {image.physical_size} bytes")
        outcome: Done | Started = self._call("storage.put_image", host, pool, image)
        return outcome

    def delete_image(self, host: HostID, pool: PoolSpec, image: str) -> Done:
        done: Done = self._call("storage.delete_image", host, pool, image)
        return done

    def list_files(self, host: HostID, pool: PoolSpec) -> Sequence[StoredFile]:
        files: Sequence[StoredFile] = self._call("storage.list_files", host, pool)
        return files


class _Tasks:
    def __init__(self, session: Session) -> None:
        self._call = session.call

    def poll(self, op: OpRef) -> Progress:
        progress: Progress = self._call("tasks.poll", op)
        return progress


class _Events:
    """Reads on from a cursor, so that nothing is missed whenever it is asked; while it listens, there is nothing to ask for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._epoch, self._cursor = session.welcome.epoch, session.welcome.cursor
        self._lock = threading.Lock()
        self._notify: Callable[[], None] | None = None
        self._listening = False
        self._heard: News | None = None

    def subscribe(self, notify: Callable[[], None]) -> None:
        if Capability.EVENTS not in self._session.welcome.capabilities:
            raise Unsupported(f"this endpoint lacks {Capability.EVENTS}", native_code="SIM_UNSUPPORTED")
        self._notify = notify
        self._listen()

    def fetch(self) -> Sequence[Event]:
        with self._lock:
            if self._listening:
                return ()
            news, self._heard = self._heard, None
        if news is None:
            news = self._session.call("events.wait", self._epoch, self._cursor, 0.0)
        self._epoch, self._cursor = news.epoch, news.cursor
        if self._notify is not None:
            self._listen()
        if news.lost:
            raise Transient("events may have been lost", native_code="SIM_EVENTS_LOST")
        return news.events

    def _listen(self) -> None:
        self._listening = True
        try:
            self._session.listen(self._epoch, self._cursor, self._hear)
        except BaseException:
            self._listening = False
            raise

    def _hear(self, news: News | None) -> None:
        with self._lock:
            self._heard, self._listening = news, False
        if self._notify is not None:
            self._notify()


class SimulatorConnection:
    """A logged-in endpoint of the simulator; see `drivers.base.Connection`."""

    def __init__(self, transport: Transport, credentials: Credentials, host: str = "", cloud: str = "") -> None:
        self._session = Session(transport, credentials, host)
        self.capabilities: frozenset[Capability] = self._session.welcome.capabilities
        self.hosts = _Hosts(self._session)
        self.compute = _Compute(self._session)
        self.power = _Power(self._session)
        self.storage = _Storage(self._session, cloud)
        self.volumes = VolumeCalls(self._session.call)
        self.snapshots = SnapshotCalls(self._session.call)
        self.adoption = AdoptionCalls(self._session.call)
        self.consoles = NoConsoles()
        self.tasks = _Tasks(self._session)
        self.events = _Events(self._session)

    def close(self) -> None:
        """Log out and end all calls."""
        self._session.close()
