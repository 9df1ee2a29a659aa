"""Long work in the event loop in slices, between which others get their turn: renewals of the Lease, the watch, probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

SLICE = 50
"""Items between two turns of others: parsing so many objects takes a few milliseconds."""


async def sliced(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items one after the other; while others have their turn, what an item stands for may change or go."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)
