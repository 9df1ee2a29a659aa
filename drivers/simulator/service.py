"""What the simulator does with a call, whatever way it came: time, session, faults, then the engine.

Not safe for threads by itself: the server calls it from its loop, in-process transports under its `lock`.
"""

from __future__ import annotations

import hmac
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from drivers import errors
from drivers.errors import AuthFailed, DriverError, InvalidSpec, NotFound, Transient, Unsupported
from drivers.types import (
    Capability,
    Credentials,
    Failed,
    HostID,
    ObservedHost,
    Started,
    StopMode,
)

from .engine.actions import Action, Actions
from .engine.adoption import Adopter
from .engine.census import take_census
from .engine.change import Changer
from .engine.clock import Clock
from .engine.compute import Compute
from .engine.datacentre import Datacentre, Scope
from .engine.faults import Fault, FaultKind, Faults
from .engine.names import names_of_call
from .engine.observe import observed_host
from .engine.power import PowerControl
from .engine.settings import Settings
from .engine.snapshots import Snapshots
from .engine.storage import Storage
from .engine.volumes import Volumes
from .methods import METHODS, News, SessionExpired, Welcome

__all__ = ["Service"]

_ON_A_HOST = ("compute.", "power.", "storage.", "volumes.", "snapshots.", "adoption.")
"""Groups of methods whose first argument is a host."""

_OF_ALL_HOSTS = ("compute.observe_page", "adoption.find")
"""Methods of these groups that name no host."""

SESSIONS = 100_000
"""Sessions that are remembered; the oldest one expires."""


class Service:
    """A simulated datacentre as one object with one way in."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        random: Random | None = None,
        epoch: str = "",
        credentials: Credentials | None = None,
    ) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        random = random or Random()  # noqa: S311 - chooses which calls fail, keeps no secret
        self.dc = Datacentre(settings, clock, random, epoch or uuid.uuid4().hex[:12])
        self.faults = Faults(random)
        self.actions = Actions(self.dc)
        self._credentials = credentials
        self._sessions: OrderedDict[str, Scope] = OrderedDict()
        self._handlers = self._table()

    def _table(self) -> dict[str, Callable[..., Any]]:
        """Handlers by method; the first argument of each is the session's scope."""
        dc = self.dc
        compute, changer, power, storage = Compute(dc), Changer(dc), PowerControl(dc), Storage(dc)
        volumes, snapshots, adopter = Volumes(dc), Snapshots(dc), Adopter(dc)
        return {
            "hosts.list": self._list_hosts,
            "compute.observe_page": compute.observe_page,
            "compute.observe": lambda _, *args: compute.observe(*args),
            "compute.create": compute.create,
            "compute.apply": changer.apply,
            "compute.delete": lambda _, *args: compute.delete(*args),
            "power.start": lambda _, *args: power.start(*args),
            "power.stop": lambda _, *args: power.stop(*args),
            "power.resume": lambda _, *args: power.resume(*args),
            "storage.ensure_pool": lambda _, *args: storage.ensure_pool(*args),
            "storage.release_pool": lambda _, *args: storage.release_pool(*args),
            "storage.list_pools": lambda _, *args: storage.list_pools(*args),
            "storage.has_image": lambda _, *args: storage.has_image(*args),
            "storage.put_image": lambda _, *args: storage.put_image(*args),
            "storage.delete_image": lambda _, *args: storage.delete_image(*args),
            "storage.list_files": lambda _, *args: storage.list_files(*args),
            "volumes.contents": lambda _, *args: volumes.contents(*args),
            "volumes.create_volume": lambda _, *args: volumes.create_volume(*args),
            "volumes.grow_volume": volumes.grow_volume,
            "volumes.delete_volume": volumes.delete_volume,
            "volumes.snapshot_volume": volumes.snapshot_volume,
            "volumes.restore_volume": volumes.restore_volume,
            "volumes.delete_volume_snapshot": lambda _, *args: volumes.delete_volume_snapshot(*args),
            "snapshots.create_snapshot": lambda _, *args: snapshots.create_snapshot(*args),
            "snapshots.restore": lambda _, *args: snapshots.restore(*args),
            "snapshots.delete_snapshot": lambda _, *args: snapshots.delete_snapshot(*args),
            "adoption.find": adopter.find,
            "adoption.adopt": lambda _, *args: adopter.adopt(*args),
            "adoption.disown": lambda _, *args: adopter.disown(*args),
            "tasks.poll": lambda _, op: dc.tasks.poll(op),
            "events.wait": self._news,
            "control.add_fault": lambda _, fault: self.faults.add(fault, self.clock.now()),
            "control.list_faults": lambda _: self.faults.in_force(),
            "control.clear_faults": lambda _: self.faults.clear(),
            "control.act": lambda _, action: self.actions.do(action),
            "control.set_durations": lambda _, durations: self._set(durations=durations),
            "control.set_guests": lambda _, boot, shutdown: self._set(boot=boot, shutdown=shutdown),
            "control.census": lambda _: take_census(dc),
        }

    # Sessions ------------------------------------------------------------------------------------------------------

    def _login(self, username: str, password: str, host: str) -> Welcome:
        """Open a session for one host, or with an empty name for all. Raises AuthFailed, Transient."""
        if self._credentials is not None and not self._known(username, password, self._credentials):
            raise AuthFailed("the simulator refused the user name or password", native_code="SIM_LOGIN")
        scope = HostID(host) if host else None
        if scope is not None and not self.dc.lists(scope, scope):
            raise Transient(f"no host {host!r} answers at this endpoint", native_code="SIM_HOST_UNKNOWN")
        token = uuid.uuid4().hex
        self._sessions[token] = scope
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return Welcome(token, self.dc.epoch, self.dc.changes.subscribe(scope), self.dc.settings.capabilities)

    @staticmethod
    def _known(username: str, password: str, known: Credentials) -> bool:
        given = f"{username}\0{password}".encode()
        return hmac.compare_digest(given, f"{known.username}\0{known.password}".encode())

    def expire_sessions(self) -> None:
        """End all sessions."""
        self._sessions.clear()

    def scope(self, token: str) -> Scope:
        """What a session reaches. Raises SessionExpired."""
        if token not in self._sessions:
            raise SessionExpired("the session has expired", native_code="SIM_SESSION")
        return self._sessions[token]

    def unreachable(self, token: str, method: str, args: tuple[Any, ...]) -> bool:
        """Whether a packet to this endpoint gets no answer at all: its only host is down or cut off."""
        scope = (HostID(args[2]) or None) if method == "login" else self._sessions.get(token)
        found = self.dc.hosts.get(scope) if scope is not None else None
        return found is not None and not (found.up and found.reachable)

    # Calls ---------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Let everything happen that is due."""
        self.dc.timers.run_due(self.clock.now())

    def strike(self, method: str, args: tuple[Any, ...]) -> list[Fault]:
        """Faults that happen to this call."""
        if method.startswith("control.") or not self.faults.in_force():
            return []
        return self.faults.strike(method, names_of_call(self.dc, args), self.clock.now())

    def execute(self, token: str, method: str, args: tuple[Any, ...], faults: list[Fault]) -> Any:
        """Carry out a call under its faults; delays, hangs and lost replies are the transport's to act.

        Raises DriverError.
        """
        if any(fault.kind is FaultKind.EXPIRE_SESSION for fault in faults):
            self.expire_sessions()
        self.dc.task_fault = None
        for fault in faults:
            if fault.kind is FaultKind.ERROR:
                raise _scripted(fault)
            if fault.kind is FaultKind.TASK_ERROR:
                self.dc.task_fault = Failed("the task failed as scripted", retryable=True, native_code=fault.code)
        if method == "login":
            return self._login(*args)
        if method == "logout":
            self._sessions.pop(token, None)
            return None
        scope = self.scope(token)
        self._check_allowed(scope, method, args)
        result = self._handlers[method](scope, *args)
        if isinstance(result, Started) and any(fault.kind is FaultKind.FORGET_TASK for fault in faults):
            self.dc.tasks.forget(result.op)
        self.advance()
        return result

    def _check_allowed(self, scope: Scope, method: str, args: tuple[Any, ...]) -> None:
        """Raises Unsupported without the capability, NotFound for a host that this endpoint doesn't reach."""
        capability = METHODS[method].capability
        if capability is not None and not self.dc.has(capability):
            raise Unsupported(f"this endpoint lacks {capability}", native_code="SIM_UNSUPPORTED")
        if method == "power.stop" and args[2] is StopMode.SOFT and not self.dc.has(Capability.SOFT_STOP):
            raise Unsupported(f"this endpoint lacks {Capability.SOFT_STOP}", native_code="SIM_UNSUPPORTED")
        if scope is None:
            return
        if method.startswith("control."):
            raise Unsupported("control needs a session for all hosts", native_code="SIM_UNSUPPORTED")
        if method.startswith(_ON_A_HOST) and method not in _OF_ALL_HOSTS and args[0] != scope:
            raise NotFound(f"this endpoint has no host {args[0]!r}", native_code="SIM_HOST_UNKNOWN")

    def _list_hosts(self, scope: Scope) -> tuple[ObservedHost, ...]:
        chosen = self.dc.hosts.values() if scope is None else [self.dc.hosts[scope]] if scope in self.dc.hosts else []
        return tuple(observed_host(host) for host in chosen if host.listed)

    def _news(self, scope: Scope, epoch: str, cursor: int, _timeout: float) -> News:
        """What is new at this moment; waiting is the transport's."""
        if epoch != self.dc.epoch:
            return News(self.dc.epoch, self.dc.changes.subscribe(scope), (), True)
        return News(self.dc.epoch, *self.dc.changes.news(cursor, scope))

    def _set(self, **values: Any) -> None:
        self.dc.settings = replace(self.dc.settings, **values)

    # Scripts -------------------------------------------------------------------------------------------------------

    def schedule(self, at: float, action: Action) -> None:
        """Carry out an act `at` seconds from now; one that fails then is dropped."""
        self.dc.timers.at(self.clock.now() + at, lambda: self._try(action))

    def _try(self, action: Action) -> None:
        try:
            self.actions.do(action)
        except (NotFound, InvalidSpec):
            return


def _scripted(fault: Fault) -> DriverError:
    kind = getattr(errors, fault.error)
    made: DriverError = kind("the simulator was told to refuse this call", native_code=fault.code)
    return made
