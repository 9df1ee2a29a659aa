"""Time for the engine: real, or virtual and moved by hand. Seconds since the epoch, as floats."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "RealClock", "Timers", "VirtualClock"]


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class RealClock:
    """The machine's clock. Wall time, because timers of saved state must survive the process."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that stands still until it is moved; sleeping moves it."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds since the epoch of this clock."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` at once."""
        self._now += max(0.0, seconds)


class Timers:
    """What is due when. Callbacks run in order of their time, in `run_due`, never by themselves.

    There is no cancel: a callback checks whether it still applies.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Run `callback` in the first `run_due` at or after `when`."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, callback))

    def next_due(self) -> float | None:
        """Time of the earliest timer, None without any."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: float) -> None:
        """Run all callbacks that are due at `now`, also those that they add."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
