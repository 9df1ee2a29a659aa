"""Virtual time: the loop's clock jumps to the next timer, so an hour of backoff takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import looptime

R = TypeVar("R")
EPOCH = datetime(2026, 11, 22, 10, tzinfo=UTC)
"""Two days after the objects of tests were made: what they ask for at a time in between is due."""


class LoopClock:
    """The clock of the running loop, for both kinds of time."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class SetClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time


class AtOnce(ThreadPoolExecutor):
    """Has no threads: what a thread would do takes no time, as all else does here, however busy the machine is."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        outcome: Future[R] = Future()
        try:
            outcome.set_result(fn(*args, **kwargs))
        except Exception as error:
            outcome.set_exception(error)
        return outcome


def run(main: Coroutine[Any, Any, R], *, end: float = 100_000.0) -> R:
    """Run to the end in virtual time; a test that would take longer than `end` virtual seconds fails."""
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0.0, end=end, noop_cycles=5)) as runner:
        runner.get_loop().set_default_executor(AtOnce())
        return runner.run(main)
