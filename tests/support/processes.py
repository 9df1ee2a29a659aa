"""Processes that share one loop in virtual time, each of which can be stopped as SIGSTOP does, and go on later.

Everything that a process begins inherits its context: tasks, timers, callbacks. While it is asleep, none of them is run. What
became due meanwhile is run when it awakes, in the order in which it became due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

import looptime

from tests.unit.runtime.virtual import AtOnce

R = TypeVar("R")


class Process:
    """What was run in it, and all that was begun from there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asleep = False
        self._awake = asyncio.Event()
        self._due: list[_Step] = []
        self._context = copy_context()
        self._context.run(_CURRENT.set, self)

    def run(self, function: Callable[..., R], *args: Any) -> R:
        """Call a function in the process."""
        return self._context.copy().run(function, *args)

    def begin(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Begin a task in the process."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    async def sleep(self) -> None:
        """Called by the process itself: it stands still here, and all the rest of it too, until it is woken."""
        self.asleep = True
        self._awake.clear()
        await self._awake.wait()

    def wake(self) -> None:
        """Let it go on: first where it fell asleep, which may be a thread that waits for no loop."""
        self.asleep = False
        self._awake.set()
        due, self._due = self._due, []
        for step in due:
            asyncio.get_running_loop().call_soon(step.again, context=step.context)

    def put_off(self, step: _Step) -> None:
        """Have a step run when it awakes."""
        self._due.append(step)


_CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    """The process that asks."""
    return _CURRENT.get()


class _Step:
    """A callback of a process; one that was put off is not run if it is cancelled before its turn comes."""

    def __init__(self, process: Process, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._process, self._callback, self._args = process, callback, args
        self.context = context
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self._process.asleep:
            self._process.put_off(self)
        else:
            self._callback(*self._args)

    def again(self) -> None:
        """Run what was put off."""
        assert self.handle is not None
        if not self.handle.cancelled():
            self()


class ProcessLoop(asyncio.SelectorEventLoop):
    """Runs what belongs to a process only while that is awake."""

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As the base has it, for a process."""
        if (step := _step(callback, args, context)) is None:
            return super().call_soon(callback, *args, context=context)
        step.handle = super().call_soon(step, context=step.context)
        return step.handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        """As the base has it, for a process."""
        if (step := _step(callback, args, context)) is None:
            return super().call_soon_threadsafe(callback, *args, context=context)
        step.handle = super().call_soon_threadsafe(step, context=step.context)
        return step.handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        """As the base has it, for a process."""
        if (step := _step(callback, args, context)) is None:
            return super().call_at(when, callback, *args, context=context)
        handle = super().call_at(when, step, context=step.context)
        step.handle = handle
        return handle


def _step(callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> _Step | None:
    process = _CURRENT.get() if context is None else context.get(_CURRENT)
    return None if process is None else _Step(process, callback, args, context or copy_context())


def run(main: Coroutine[Any, Any, R], *, end: float = 100_000.0) -> R:
    """Run to the end in virtual time, as `tests.unit.runtime.virtual.run` does, with processes that can be stopped."""

    def make() -> asyncio.AbstractEventLoop:
        return looptime.patch_event_loop(ProcessLoop(), start=0.0, end=end, noop_cycles=5)

    with asyncio.Runner(loop_factory=make) as runner:
        runner.get_loop().set_default_executor(AtOnce())
        return runner.run(main)
