"""Connections to one libvirtd: opened when needed, watched by keepalive, opened again after a loss.

libvirt limits the requests under way on each connection (`max_client_requests`, 5 by default), so reading state never shares one
with calls that wait for a guest or write disks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import libvirt

from drivers.errors import AuthFailed, DriverError, Transient, Unanswered
from drivers.kvm import errors
from drivers.kvm.link import credentials, eventloop, peer
from drivers.kvm.link.line import Line
from drivers.kvm.link.url import Target, Transport, parse
from drivers.types import Endpoint

Result = TypeVar("Result")

COPY_LIMIT = 3600.0
"""Seconds for a call that copies a disk, beyond those of any call."""


class Role(StrEnum):
    """What a connection is for."""

    STATE = "state"
    WORK = "work"
    POWER = "power"
    AGENT = "agent"
    EVENTS = "events"
    CONSOLE = "console"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds.

    A peer that stops answering is given up after `keepalive` × (`keepalive_count` + 1), a call that the peer answers not, while
    it is alive, after `call`; one call waits `turn` for another on the same object. A command on the host, over SSH, has `command`:
    half of what the controller waits for a host to connect, since a host whose logins hang is to be used without them.
    """

    connect: float = 20.0
    keepalive: int = 5
    keepalive_count: int = 2
    agent: int = 5
    call: float = 120.0
    turn: float = 30.0
    command: float = 15.0


class Session:
    """All connections to one endpoint. Safe to use from several threads.

    `farewells` are called for a connection of that role before it is closed, lost or not.
    """

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        """Raises InvalidSpec if the URL is not one of this driver."""
        self.endpoint = endpoint
        self._target: Target = parse(endpoint.url)
        self.timeouts = timeouts
        self._slots = {role: _Slot() for role in Role}
        self._closed = False
        self.farewells: dict[Role, Callable[[Any], None]] = {}

    def run(
        self,
        role: Role,
        action: str,
        function: Callable[[Any], Result],
        *,
        mutating: bool = False,
        extra: float = 0.0,
        limit: float | None = None,
    ) -> Result:
        """What `function` returns for the libvirt connection of `role`; libvirt's errors become those of `drivers.errors`.

        `action` is a verb and an object for the message, `extra` seconds are added to the bound of a call, or it is `limit`. Raises
        Unanswered if the host cannot be reached or does not answer.
        """
        line = self._line(role)
        limit = self.timeouts.call + extra if limit is None else limit
        try:
            return line.call(function, limit)
        except TimeoutError:
            self._slots[role].forget(line)
            message = f"cannot {action}: the host did not answer within {limit:g} seconds"
            raise Unanswered(message, outcome_unknown=mutating) from None
        except libvirt.libvirtError as error:
            lost = not line.alive or errors.cut_off(error)
            if lost:
                self._slots[role].forget(line)
            raise errors.translate(error, action, mutating=mutating, lost=lost) from None

    @property
    def opening(self) -> bool:
        """Whether an attempt to connect still waits for the host."""
        return any(slot.opening for slot in self._slots.values())

    def close(self) -> None:
        """Close every connection; calls under way end with Unanswered. May be called twice."""
        self._closed = True
        for slot in self._slots.values():
            slot.close()

    def _line(self, role: Role) -> Line:
        if self._closed:
            raise Unanswered("the connection to the host is closed")
        return self._slots[role].get(lambda: self._open(role), self.timeouts.connect)

    def _open(self, role: Role) -> Line:
        eventloop.start()
        try:
            connection = self._dialled()
            connection.setKeepAlive(self.timeouts.keepalive, self.timeouts.keepalive_count)
        except libvirt.libvirtError as error:
            raise self._named(errors.translate_connect(error, tls=self._target.transport is Transport.TLS)) from None
        except OSError as error:
            raise Transient(f"cannot connect to the host: no private place for its credentials ({error.strerror})") from None
        return Line(connection, self.farewells.get(role))

    def _dialled(self) -> Any:
        """A new connection. A peer that hangs up where it should let us in is asked once more: it may just be restarting."""
        with credentials.login(self.endpoint, self._target) as uri:
            dial = partial(libvirt.openAuth, uri, credentials.sasl(self.endpoint.credentials), 0)
            try:
                return dial()
            except libvirt.libvirtError as error:
                if not errors.hung_up(error):
                    raise
            return dial()

    def _named(self, error: DriverError) -> DriverError:
        """Where one side refused the other's certificate, who the other side is."""
        if not isinstance(error, AuthFailed) or self._target.transport is not Transport.TLS:
            return error
        shown = peer.describe(self._target, self.timeouts.agent)
        return AuthFailed(f"{error.message}; the peer shows {shown}", native_code=error.native_code) if shown else error


class _Slot:
    """One line, or one attempt to open it: a host that hangs costs one thread, however often it is tried."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempt: Future[Line] | None = None

    @property
    def opening(self) -> bool:
        return self._attempt is not None and not self._attempt.done()

    def get(self, opener: Callable[[], Line], timeout: float) -> Line:
        attempt = self._started(opener)
        if attempt.done() and not attempt.exception() and not attempt.result().alive:
            self._drop(attempt)
            attempt = self._started(opener)
        try:
            return attempt.result(timeout)
        except TimeoutError:
            raise Unanswered(f"the host did not answer within {timeout:g} seconds") from None
        except DriverError:
            self._drop(attempt)
            raise

    def forget(self, line: Line) -> None:
        """Open afresh next time, unless somebody did already."""
        attempt = self._attempt
        if attempt is not None and attempt.done() and not attempt.exception() and attempt.result() is line:
            self._drop(attempt)

    def close(self) -> None:
        with self._lock:
            attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.add_done_callback(
                lambda ended: _retire(ended, Unanswered("the connection to the host was closed", outcome_unknown=True))
            )

    def _started(self, opener: Callable[[], Line]) -> Future[Line]:
        with self._lock:
            if self._attempt is None:
                self._attempt = Future()
                threading.Thread(target=_fulfil, args=(self._attempt, opener), name="libvirt-open", daemon=True).start()
            return self._attempt

    def _drop(self, attempt: Future[Line]) -> None:
        with self._lock:
            if self._attempt is attempt:
                self._attempt = None
        _retire(attempt)


def _fulfil(attempt: Future[Line], opener: Callable[[], Line]) -> None:
    try:
        line = opener()
    except BaseException as error:
        attempt.set_exception(error)
    else:
        attempt.set_result(line)


def _retire(attempt: Future[Line], reason: Unanswered | None = None) -> None:
    if not attempt.exception():
        attempt.result().retire(reason)
