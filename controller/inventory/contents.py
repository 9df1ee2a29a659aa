"""What lies in storage pools: one call for all who want to know at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.inventory.link import HostLink
from drivers.types import PoolContents, PoolSpec


class ContentsReader:
    """Reads the contents of pools; `clock` gives monotonic seconds. Nothing of it is durable."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: dict[tuple[HostLink, str], asyncio.Task[PoolContents]] = {}
        self._slots: dict[tuple[HostLink, str], asyncio.Lock] = {}
        self._last: dict[str, tuple[float, PoolContents]] = {}

    async def read(self, link: HostLink, pool: PoolSpec, *, older_than: float = 0.0) -> PoolContents:
        """The contents of a pool, asked for after this call, or less than `older_than` seconds before it. Raises DriverError.

        Those who come while one call is under way share the next one.
        """
        last = self._last.get(pool.name)
        if last is not None and self._clock() - last[0] < older_than:
            return last[1]
        place = (link, pool.name)
        if place not in self._calls:
            self._calls[place] = asyncio.get_running_loop().create_task(self._call(link, pool))
        return await asyncio.shield(self._calls[place])

    def forget(self, pool: str) -> None:
        """The pool is gone."""
        self._last.pop(pool, None)
        for place in [place for place, lock in self._slots.items() if place[1] == pool and not lock.locked()]:
            del self._slots[place]

    async def close(self) -> None:
        """End what still runs."""
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self, link: HostLink, pool: PoolSpec) -> PoolContents:
        place = (link, pool.name)
        async with self._slots.setdefault(place, asyncio.Lock()):
            self._calls.pop(place, None)  # from here on it is too late to join
            asked = self._clock()
            contents = await link.volumes.contents(pool)
            self._last[pool.name] = asked, contents
            return contents
