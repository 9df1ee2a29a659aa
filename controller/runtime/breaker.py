"""A circuit breaker: stop asking an endpoint that doesn't answer, and find out cheaply when it does again."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class State(enum.Enum):
    """CLOSED lets calls through, OPEN none, HALF_OPEN one at a time to find out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """Open after `failures` in a row, first for `cooldown` seconds, twice as long after each probe that fails, up to
    `longest`.
    """

    failures: int = 3
    cooldown: float = 5.0
    longest: float = 60.0


class Breaker:
    """Counts consecutive failures of one endpoint.  Not thread-safe: it lives in the event loop."""

    def __init__(self, options: BreakerOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._failures = 0
        self._cooldown = options.cooldown
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """Where the breaker stands now."""
        if self._opened_at is None:
            return State.CLOSED
        return State.OPEN if self._clock() < self._opened_at + self._cooldown else State.HALF_OPEN

    def admit(self) -> float | None:
        """Let one call through (None), or return in how many seconds to come back.

        Each call let through must be reported by `succeeded`, `failed` or `abandoned`.
        """
        match self.state:
            case State.CLOSED:
                return None
            case State.HALF_OPEN if not self._probing:
                self._probing = True
                return None
            case State.HALF_OPEN:
                return self._options.cooldown
            case State.OPEN:
                assert self._opened_at is not None
                return self._opened_at + self._cooldown - self._clock()

    def succeeded(self) -> None:
        """Note that the endpoint answered, be it with a refusal."""
        self._failures = 0
        self._opened_at = None
        self._probing = False
        self._cooldown = self._options.cooldown

    def failed(self) -> None:
        """Note that the endpoint did not answer."""
        self._failures += 1
        if self._probing:
            self._cooldown = min(2 * self._cooldown, self._options.longest)
            self._open()
        elif self._opened_at is None and self._failures >= self._options.failures:
            self._open()

    def abandoned(self) -> None:
        """Note that the call was given up before the endpoint was asked: nothing is known."""
        self._probing = False

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._probing = False
