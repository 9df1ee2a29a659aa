"""Long work leaves the event loop to others between its slices: shown by what they get done, not by a clock."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.slices import SLICE, sliced


@pytest.mark.parametrize("count", [0, 1, SLICE - 1, SLICE, SLICE + 1, 10 * SLICE])
def test_all_items_come_in_order(count: int) -> None:
    async def main() -> list[int]:
        return [each async for each in sliced(range(count))]

    assert asyncio.run(main()) == list(range(count))


def test_others_get_a_turn_after_each_slice() -> None:
    async def main() -> None:
        seen, most, turns = 0, 0, 0

        async def other() -> None:
            nonlocal seen, most, turns
            while True:
                most, seen, turns = max(most, seen), 0, turns + 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        async for _ in sliced(range(20 * SLICE)):
            seen += 1
        beside.cancel()
        assert most == SLICE
        assert turns >= 20

    asyncio.run(main())


def test_nothing_is_taken_before_its_turn() -> None:
    """What a lazy sequence gives is as it is when its turn comes, not as it was at the start."""

    async def main() -> list[str]:
        known = dict.fromkeys(range(2 * SLICE), "old")

        async def change() -> None:
            known.update(dict.fromkeys(known, "new"))

        changing = asyncio.create_task(change())
        found = [each async for each in sliced(known[number] for number in range(2 * SLICE))]
        await changing
        return found

    assert asyncio.run(main()) == ["old"] * SLICE + ["new"] * SLICE
