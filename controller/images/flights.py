"""One piece of work at a time for each key, shared by everyone who asks for it meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from controller.images.progress import Phase, Progress

__all__ = ["Flights"]

T = TypeVar("T")


class _Flight(Generic[T]):
    """Work under way, and who wants to know of it."""

    def __init__(self) -> None:
        self.listeners: list[Progress] = []
        self.last: tuple[Phase, int | None] | None = None
        self.waiting = 0
        self.task: asyncio.Future[T]

    def tell(self, phase: Phase, percent: int | None) -> None:
        self.last = phase, percent
        for listener in self.listeners:
            listener(phase, percent)


class Flights(Generic[T]):
    """Work under way by key. It is cancelled when nobody waits for it any more."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def join(self, key: str, work: Callable[[Progress], Awaitable[T]], progress: Progress | None) -> T:
        """The result of the work under this key, which is begun unless it is under way. Raises what the work raises."""
        flight = self._flights.get(key) or self._begin(key, work)
        flight.waiting += 1
        if progress is not None:
            flight.listeners.append(progress)
            if flight.last is not None:
                progress(*flight.last)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if progress is not None:
                flight.listeners.remove(progress)
            if not flight.waiting:
                await self._end(key, flight)

    def _begin(self, key: str, work: Callable[[Progress], Awaitable[T]]) -> _Flight[T]:
        flight: _Flight[T] = _Flight()
        flight.task = asyncio.ensure_future(work(flight.tell))
        self._flights[key] = flight
        return flight

    async def _end(self, key: str, flight: _Flight[T]) -> None:
        """Forget a flight that nobody waits for; who comes now begins a new one."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.task.done():
            flight.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flight.task
