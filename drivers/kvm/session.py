"""Connections to one libvirtd: opened when needed, watched by keepalive, opened again after a loss.

libvirt limits the requests under way on each connection (`max_client_requests`, 5 by default), so reading state never shares one
with calls that wait for a guest or write disks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import libvirt

from drivers.errors import DriverError, Transient
from drivers.kvm import credentials, errors, eventloop
from drivers.kvm.url import Target, Transport, parse
from drivers.types import Endpoint


class Role(StrEnum):
    """What a connection is for."""

    STATE = "state"
    WORK = "work"
    AGENT = "agent"
    EVENTS = "events"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds. A peer that stops answering is given up after `keepalive` × (`keepalive_count` + 1)."""

    connect: float = 20.0
    keepalive: int = 5
    keepalive_count: int = 2
    agent: int = 5


class Session:
    """All connections to one endpoint. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        """Raises InvalidSpec if the URL is not one of this driver."""
        self.endpoint = endpoint
        self._target: Target = parse(endpoint.url)
        self.timeouts = timeouts
        self._slots = {role: _Slot() for role in Role}
        self._closed = False

    @contextmanager
    def use(self, role: Role, action: str, *, mutating: bool = False) -> Iterator[Any]:
        """The libvirt connection for `role`; libvirt's errors inside become those of `drivers.errors`.

        `action` is a verb and an object for the message. Raises Transient if the host cannot be reached.
        """
        connection = self._connection(role)
        try:
            yield connection
        except libvirt.libvirtError as error:
            lost = not _alive(connection)
            if lost:
                self._slots[role].forget(connection)
            raise errors.translate(error, action, mutating=mutating, lost=lost) from None

    @property
    def opening(self) -> bool:
        """Whether an attempt to connect still waits for the host."""
        return any(slot.opening for slot in self._slots.values())

    def close(self) -> None:
        """Close every connection; calls under way end with Transient. May be called twice."""
        self._closed = True
        for slot in self._slots.values():
            slot.close()

    def _connection(self, role: Role) -> Any:
        if self._closed:
            raise Transient("the connection to the host is closed")
        return self._slots[role].get(self._open, self.timeouts.connect)

    def _open(self) -> Any:
        eventloop.start()
        try:
            with credentials.login(self.endpoint, self._target) as uri:
                connection = libvirt.openAuth(uri, credentials.sasl(self.endpoint.credentials), 0)
            connection.setKeepAlive(self.timeouts.keepalive, self.timeouts.keepalive_count)
        except libvirt.libvirtError as error:
            raise errors.translate_connect(error, tls=self._target.transport is Transport.TLS) from None
        except OSError as error:
            raise Transient(f"cannot connect to the host: no private place for its credentials ({error.strerror})") from None
        return connection


class _Slot:
    """One connection, or one attempt to open it: a host that hangs costs one thread, however often it is tried."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempt: Future[Any] | None = None

    @property
    def opening(self) -> bool:
        return self._attempt is not None and not self._attempt.done()

    def get(self, opener: Callable[[], Any], timeout: float) -> Any:
        attempt = self._started(opener)
        if attempt.done() and not attempt.exception() and not _alive(attempt.result()):
            self._drop(attempt)
            attempt = self._started(opener)
        try:
            return attempt.result(timeout)
        except FutureTimeout:
            raise Transient(f"the host did not answer within {timeout:g} seconds") from None
        except DriverError:
            self._drop(attempt)
            raise

    def forget(self, connection: Any) -> None:
        """Open afresh next time, unless somebody did already."""
        attempt = self._attempt
        if attempt is not None and attempt.done() and not attempt.exception() and attempt.result() is connection:
            self._drop(attempt)

    def close(self) -> None:
        with self._lock:
            attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.add_done_callback(_close)

    def _started(self, opener: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            if self._attempt is None:
                self._attempt = Future()
                threading.Thread(target=_fulfil, args=(self._attempt, opener), name="libvirt-open", daemon=True).start()
            return self._attempt

    def _drop(self, attempt: Future[Any]) -> None:
        with self._lock:
            if self._attempt is attempt:
                self._attempt = None
        _close(attempt)


def _fulfil(attempt: Future[Any], opener: Callable[[], Any]) -> None:
    try:
        connection = opener()
    except BaseException as error:
        attempt.set_exception(error)
    else:
        attempt.set_result(connection)


def _close(attempt: Future[Any]) -> None:
    if not attempt.exception():
        with suppress(libvirt.libvirtError):
            attempt.result().close()


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
