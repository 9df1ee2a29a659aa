"""The simulator in the caller's own process, without sockets: for unit tests and virtual time."""

from __future__ import annotations

import threading
import time
from typing import Any

from drivers.errors import Transient

from .engine.faults import Fault, FaultKind
from .methods import METHODS, News
from .service import Service

__all__ = ["LocalTransport"]

POLL = 0.02
"""Seconds between looks at the clock while waiting for events."""


class LocalTransport:
    """Calls a Service under a lock. A hang takes `timeout` seconds of the service's clock, then fails as a socket would."""

    def __init__(self, service: Service, *, timeout: float = 15.0) -> None:
        self._service = service
        self._timeout = timeout
        self._lock = threading.RLock()
        self._closed = threading.Event()

    def request(self, session: str, method: str, args: tuple[Any, ...], wait: float = 0.0) -> Any:
        """One call; see `connection.Transport`."""
        if self._closed.is_set():
            raise Transient("the connection is closed")
        if method == "events.wait":
            return self._wait(session, args, wait)
        with self._lock:
            return self._call(session, method, args)

    def _call(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        service = self._service
        service.advance()
        self._reach(session, method, args)
        if method == "login":
            return service.login(*args)
        faults = service.strike(method, args)
        self._suffer(method, faults)
        result = service.execute(session, method, args, faults)
        if any(fault.kind is FaultKind.LOSE_REPLY for fault in faults):
            raise Transient("the connection was lost", outcome_unknown=METHODS[method].mutates)
        return result

    def _reach(self, session: str, method: str, args: tuple[Any, ...]) -> None:
        scope = args[2] if method == "login" else self._service.scope(session)
        if scope and self._service.unreachable(scope):
            self._hang(method)

    def _suffer(self, method: str, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.kind is FaultKind.DELAY:
                self._service.clock.sleep(fault.seconds)
                self._service.advance()
            elif fault.kind is FaultKind.HANG:
                self._hang(method)

    def _hang(self, method: str) -> None:
        self._service.clock.sleep(self._timeout)
        raise Transient(f"{method}: no answer in {self._timeout} s", outcome_unknown=METHODS[method].mutates)

    def _wait(self, session: str, args: tuple[Any, ...], timeout: float) -> News:
        """Looks again and again, because a virtual clock is moved by others."""
        deadline = time.monotonic() + timeout
        while True:
            with self._lock:
                news: News = self._call(session, "events.wait", args)
            if news.events or news.lost or time.monotonic() >= deadline:
                return news
            if self._closed.wait(min(POLL, max(0.0, deadline - time.monotonic()))):
                raise Transient("the connection is closed")

    def close(self, session: str) -> None:
        """Log out."""
        self._closed.set()
        with self._lock:
            self._service.logout(session)
