"""What lies in storage pools: one call for all who want to know at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.inventory.link import HostLink
from drivers.types import PoolContents, PoolSpec

KEPT = 60.0
"""Seconds for which an answer is kept for those who can do with an old one."""

_Place = tuple[HostLink, str]


class ContentsReader:
    """Reads the contents of pools; `clock` gives monotonic seconds. Nothing of it is durable."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: dict[_Place, asyncio.Task[PoolContents]] = {}
        self._next: dict[_Place, asyncio.Task[PoolContents]] = {}
        self._last: dict[str, tuple[float, PoolContents]] = {}

    async def read(self, link: HostLink, pool: PoolSpec, *, older_than: float = 0.0) -> PoolContents:
        """The contents of a pool, asked for after this call, or less than `older_than` (at most KEPT) seconds before.

        Those who come while one call is under way share the next one. Raises DriverError.
        """
        last = self._last.get(pool.name)
        if last is not None and self._clock() - last[0] < older_than:
            return last[1]
        place = (link, pool.name)
        if place not in self._next:
            self._next[place] = asyncio.get_running_loop().create_task(self._call(place, pool))
        return await asyncio.shield(self._next[place])

    async def close(self) -> None:
        """End what still runs."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, place: _Place, pool: PoolSpec) -> PoolContents:
        if before := self._running.get(place):
            await asyncio.wait([before])
        self._running[place] = self._next.pop(place)  # from here on it is too late to join
        try:
            asked = self._clock()
            contents = await place[0].volumes.contents(pool)
        finally:
            del self._running[place]
        self._last = {name: kept for name, kept in self._last.items() if asked - kept[0] < KEPT} | {pool.name: (asked, contents)}
        return contents
