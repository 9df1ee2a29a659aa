"""How many endpoints are opened at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PLACES = 32
"""A thousand threads that all want the interpreter at a start keep each other from it."""

PATIENCE = 0.5
"""Seconds that one which does not answer keeps others waiting."""


class Entry:
    """Lets endpoints in one after the other, PLACES at a time, whoever came first."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(PLACES)
        self._coming = 0

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a place, and none is taken."""
        return not self._coming

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and keep it through the block, PATIENCE seconds at most: after that the block goes on without."""
        self._coming += 1
        try:
            await self._places.acquire()
        except BaseException:
            self._coming -= 1
            raise
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._coming -= 1
                self._places.release()

        leaving = asyncio.get_running_loop().call_later(PATIENCE, leave)
        try:
            yield
        finally:
            leaving.cancel()
            leave()
