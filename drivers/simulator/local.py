"""The simulator in the caller's own process, without sockets: for unit tests and virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from drivers.errors import DriverError, Unanswered

from .engine.faults import Fault, FaultKind
from .methods import METHODS, News
from .service import Service

__all__ = ["LocalTransport"]

POLL = 0.02
"""Seconds between looks for events."""


class LocalTransport:
    """Calls a Service, one thread at a time. A hang takes `timeout` seconds of the service's clock, then fails as a socket would.

    All transports of one service share its `lock`.
    """

    def __init__(self, service: Service, *, timeout: float = 15.0) -> None:
        self._service = service
        self._timeout = timeout
        self._closed = threading.Event()

    def request(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        """One call; see `connection.Transport`. The lock is free while it is delayed or hangs, so that others go on."""
        if self._closed.is_set():
            raise Unanswered("the connection is closed")
        service = self._service
        with service.lock:
            service.advance()
            silent = service.unreachable(session, method, args)
            faults = [] if silent else service.strike(method, args)
        self._suffer(method, faults, silent=silent)
        with service.lock:
            service.advance()
            result = service.execute(session, method, args, faults)
        if any(fault.kind is FaultKind.LOSE_REPLY for fault in faults):
            raise Unanswered("the connection was lost", outcome_unknown=METHODS[method].mutates)
        return result

    def _suffer(self, method: str, faults: list[Fault], *, silent: bool) -> None:
        for fault in faults:
            if fault.kind is FaultKind.DELAY:
                self._service.clock.sleep(fault.seconds)
        if silent or any(fault.kind is FaultKind.HANG for fault in faults):
            self._service.clock.sleep(self._timeout)
            raise Unanswered(f"{method}: no answer in {self._timeout:g} s", outcome_unknown=METHODS[method].mutates)

    def listen(self, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        """See `connection.Transport`. Looks again and again, because a virtual clock is moved by others."""

        def look() -> None:
            news: News | None = None
            try:
                while news is None or not (news.events or news.lost):
                    news = self.request(session, "events.wait", (epoch, cursor, 0.0))
                    self._closed.wait(POLL)
            except DriverError:
                news = None
            heard(news)

        threading.Thread(target=look, name="simulator-events", daemon=True).start()

    def close(self, session: str) -> None:
        """Log out."""
        self._closed.set()
        with self._service.lock:
            self._service.execute(session, "logout", (), [])
