"""Waiting for what a connection tells, as a session of the controller does it: for the bell first, then for the news."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from drivers.base import Connection
from drivers.types import Event


class Listening:
    """A subscription. `rung` counts notifications."""

    def __init__(self, connection: Connection) -> None:
        self.rung = 0
        self._events = connection.events
        self._bell = threading.Event()
        connection.events.subscribe(self._ring)

    def _ring(self) -> None:
        self.rung += 1
        self._bell.set()

    def wait(self, seconds: float) -> Sequence[Event]:
        """What was told within so many seconds; nothing is fetched unless the bell rings. Raises what `fetch` raises."""
        end = time.monotonic() + seconds
        while self._bell.wait(max(0.0, end - time.monotonic())):
            self._bell.clear()
            if news := self._events.fetch():
                return news
        return ()
