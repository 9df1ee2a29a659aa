"""Long work in the background that reconcilers ask about again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_RETRY = 30.0


class Report(Protocol):
    """Told of a new phase or a new percentage; None while how much there is to do is not known."""

    def __call__(self, phase: str, percent: int | None) -> None:
        """Take note."""


class ErrandFailed(Exception):
    """The work ended badly. `terminal`: the same work would fail again; else it is tried again after `retry_after` seconds."""

    def __init__(self, reason: str, message: str, *, terminal: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.terminal = terminal
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """The work is done."""

    result: T


@dataclass(frozen=True, slots=True)
class Working:
    """The work is under way."""

    phase: str
    percent: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The work failed, and is not tried again before `retry_at` (monotonic seconds), or never if that is None."""

    reason: str
    message: str
    retry_at: float | None

    @property
    def terminal(self) -> bool:
        """Whether it is not tried again."""
        return self.retry_at is None


class Errands(Generic[K, T]):
    """Work by key: started when first asked for, shared by all who ask, remembered until forgotten.

    Those who asked are woken when it ends. All of it is lost with the process and begun again by the next who asks.
    """

    def __init__(self, wake: Callable[[Key], None], clock: Clock, log: FilteringBoundLogger) -> None:
        self._wake = wake
        self._clock = clock
        self._log = log
        self._states: dict[K, Finished[T] | Working | Broken] = {}
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._waiters: dict[K, set[Key]] = {}

    def ask(self, key: K, work: Callable[[Report], Awaitable[T]], waiter: Key) -> Finished[T] | Working | Broken:
        """How the work stands; it is begun if it is not under way, and again if its time to be tried again has come."""
        state = self._states.get(key)
        due = isinstance(state, Broken) and state.retry_at is not None and self._clock.monotonic() >= state.retry_at
        if state is None or due:
            state = self._states[key] = Working("Queued", None)
            self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, work))
        if isinstance(state, Working):
            self._waiters.setdefault(key, set()).add(waiter)
        return state

    def state(self, key: K) -> Finished[T] | Working | Broken | None:
        """How the work stands, None if nobody asked for it."""
        return self._states.get(key)

    def known(self) -> list[K]:
        """What was asked for and not forgotten."""
        return list(self._states)

    def under_way(self) -> list[K]:
        """What is being worked on."""
        return list(self._tasks)

    def forget(self, key: K) -> None:
        """Stop the work and forget how it ended."""
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
        self._states.pop(key, None)
        self._waiters.pop(key, None)

    async def close(self) -> None:
        """Stop all work."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: K, work: Callable[[Report], Awaitable[T]]) -> None:
        mine = asyncio.current_task()

        def report(phase: str, percent: int | None) -> None:
            if self._tasks.get(key) is mine:  # not after it was forgotten
                self._states[key] = Working(phase, percent)

        try:
            state: Finished[T] | Broken = Finished(await work(report))
        except ErrandFailed as error:
            state = Broken(error.reason, error.message, self._retry_at(error))
        except NotLeader as error:
            state = Broken("NotLeader", str(error), self._clock.monotonic() + _RETRY)
        except Exception as error:
            self._log.error("background work failed unexpectedly", exc_info=error)
            state = Broken("InternalError", f"unexpected {type(error).__name__}", self._clock.monotonic() + _RETRY)
        self._states[key] = state
        self._tasks.pop(key, None)
        for waiter in self._waiters.pop(key, set()):
            self._wake(waiter)

    def _retry_at(self, error: ErrandFailed) -> float | None:
        return None if error.terminal else self._clock.monotonic() + (error.retry_after or _RETRY)
