"""Native tasks: work that takes time, holds its object busy, and takes effect at its end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from drivers.errors import Busy, DriverError, NoRoom, NotFound, Transient
from drivers.types import Done, Failed, OpRef, Progress, Running, Started, Succeeded

from .clock import Clock, Timers

__all__ = ["Tasks"]

KEPT = 10_000
"""Ended tasks that are remembered."""


@dataclass(slots=True)
class _Task:
    begun: float
    ends: float


class Tasks:
    """All native tasks. `prefix` tells one life of the simulator from another: an old reference is not found, never mistaken."""

    def __init__(self, clock: Clock, timers: Timers, prefix: str) -> None:
        self._clock = clock
        self._timers = timers
        self._prefix = prefix
        self._count = 0
        self._running: dict[OpRef, _Task] = {}
        self._ended: OrderedDict[OpRef, Succeeded | Failed] = OrderedDict()
        self._busy: dict[Hashable, OpRef] = {}

    def require_idle(self, subject: Hashable) -> None:
        """Raises Busy while a task works on `subject`."""
        if subject in self._busy:
            raise Busy("another task is at work on this object", native_code="SIM_TASK_IN_PROGRESS", retry_after=0.5)

    def run(self, subject: Hashable, seconds: float, effect: Callable[[], None], fault: Failed | None) -> Done | Started:
        """Do `effect` now if `seconds` is 0, else in a task; with `fault` the task fails instead."""
        if seconds <= 0 and fault is None:
            effect()
            return Done()
        self._count += 1
        op = OpRef(f"{self._prefix}-{self._count}")
        now = self._clock.now()
        self._running[op] = _Task(now, now + seconds)
        self._busy[subject] = op
        self._timers.at(now + seconds, lambda: self._end(op, subject, effect, fault))
        return Started(op)

    def _end(self, op: OpRef, subject: Hashable, effect: Callable[[], None], fault: Failed | None) -> None:
        """The task's time is over. A task that was cancelled has no effect; one that was only forgotten still has it."""
        if self._busy.get(subject) != op:
            return
        del self._busy[subject]
        result: Succeeded | Failed = fault or Succeeded()
        if fault is None:
            try:
                effect()
            except DriverError as error:
                result = _failed(error)
        self._finish(op, result)

    def _finish(self, op: OpRef, result: Succeeded | Failed) -> None:
        if self._running.pop(op, None) is None:
            return
        self._ended[op] = result
        if len(self._ended) > KEPT:
            self._ended.popitem(last=False)

    def cancel(self, belongs: Callable[[Hashable], bool], reason: Failed) -> None:
        """Fail the tasks at work on subjects that `belongs` selects, without effect: their host crashed."""
        for subject, op in [item for item in self._busy.items() if belongs(item[0])]:
            del self._busy[subject]
            self._finish(op, reason)

    def forget(self, op: OpRef | None = None) -> None:
        """Forget a task, or all as a toolstack that was restarted; work under way still takes effect."""
        if op is None:
            self._running.clear()
            self._ended.clear()
        else:
            self._running.pop(op, None)
            self._ended.pop(op, None)

    def poll(self, op: OpRef) -> Progress:
        """How far a task is. Raises NotFound for an unknown one."""
        if (result := self._ended.get(op)) is not None:
            return result
        if (task := self._running.get(op)) is None:
            raise NotFound("no such task", native_code="SIM_TASK_UNKNOWN")
        span = task.ends - task.begun
        return Running(min(99, int(100 * (self._clock.now() - task.begun) / span)) if span > 0 else 0)


def _failed(error: DriverError) -> Failed:
    no_room = isinstance(error, NoRoom)
    return Failed(error.message, no_room or isinstance(error, Transient | Busy), error.native_code, no_room)
