"""How soon the shards of a process that ends are worked on by others, and by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controller.runtime.lease import LeaseRecord
from controller.runtime.shards import HASTE, LOOKS, PATIENCE
from controller.runtime.shards import SOON as TIMES_AS_OFTEN

from .test_shards import TIMES, Process, World, play

LOOK = 1.2 * TIMES.period / LOOKS
SOON = LOOK + PATIENCE + 0.3  # the last for requests, one for each Lease
FORESEEN = LOOK + PATIENCE  # an end that was told so long before has cost the others their patience already
QUICKLY = LOOK / TIMES_AS_OFTEN + HASTE + 0.1


async def until(seen: Callable[[], bool], within: float) -> float:
    """When it is so, in seconds from now."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not seen():
        assert loop.time() - begun < within, "too late"
        await asyncio.sleep(0.01)
    return loop.time() - begun


def test_one_that_has_shards_waits_longer_than_one_without_looks() -> None:
    assert PATIENCE > LOOK
    assert HASTE > LOOK / TIMES_AS_OFTEN


async def end(process: Process, work: float) -> set[int]:
    """As by SIGTERM, with work under way that takes so long; returns the shards that it gave back."""
    given = set(process.active)
    process.shards.retire()
    await asyncio.sleep(work)
    await process.stop()
    return given


@pytest.mark.parametrize("work", [0.0, 0.05, 0.4, 0.8, FORESEEN + 0.1, 5.0, 12.0])
@pytest.mark.parametrize("late", [0.0, 0.15, 0.3, 0.45])
@pytest.mark.parametrize("count", [2, 3])
def test_an_end_that_is_told_beforehand_leaves_less_to_wait_for(count: int, late: float, work: float) -> None:
    """Never longer than without a word, and hardly at all if the others have known for a while."""

    async def story(world: World) -> None:
        processes = [world.start(f"p{number}", count) for number in range(count)]
        await asyncio.sleep(60 + late)
        [given] = await end(processes[1], work)
        assert world.holder(given) == ""
        await until(lambda: world.holder(given) != "", QUICKLY if work >= FORESEEN else SOON)
        await until(lambda: any(given in each.active for each in processes), 1.0)
        world.check()

    play(story)


@pytest.mark.parametrize("work", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_however_long_it_was_foreseen_one_that_has_none_goes_first(shards: int, work: float) -> None:
    async def story(world: World) -> None:
        one = world.start("one", shards)
        await asyncio.sleep(20)
        for number in range(1, shards):
            world.start(f"p{number}", shards)
        await asyncio.sleep(120)
        world.start("waiting", shards)
        await asyncio.sleep(20)
        [given] = await end(one, work)
        await until(lambda: world.holder(given) != "", LOOK / TIMES_AS_OFTEN + 0.1 if work > LOOK else LOOK + 0.1)
        assert world.holder(given) == "waiting"

    play(story)


def test_the_end_is_on_the_lease_until_it_is_given_back() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        [given] = one.active
        one.shards.retire()
        await asyncio.sleep(0.1)
        assert [world.lease(number).record.ending for number in (given, 1 - given)] == [True, False]  # type: ignore[union-attr]
        writes = world.lease(given).writes
        await asyncio.sleep(9.0)
        assert world.lease(given).writes - writes in range(3, 7), "it renews as always, and tells it each time"
        assert world.lease(given).record.ending  # type: ignore[union-attr]
        assert (one.active, two.active) == ({given}, {1 - given}), "nobody takes what is still held"
        await one.stop()
        assert not world.lease(given).record.ending  # type: ignore[union-attr]
        await asyncio.sleep(5.0)
        assert not world.lease(given).record.ending  # type: ignore[union-attr]
        assert two.active == {0, 1}

    play(story)


def test_one_that_dies_while_it_ends_is_replaced_like_any_other() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        one.shards.retire()
        await asyncio.sleep(3.0)
        await one.kill()
        await asyncio.sleep(TIMES.duration - TIMES.period * 1.2 - 0.5)
        assert len(two.active) == 1
        await asyncio.sleep(5.0)
        assert two.active == {0, 1}

    play(story)


@pytest.mark.parametrize("late", [0.0, 0.15, 0.3, 0.45])
@pytest.mark.parametrize("count", [2, 3])
def test_the_shard_of_one_that_ends_is_taken_by_one_that_has_another(count: int, late: float) -> None:
    async def story(world: World) -> None:
        processes = [world.start(f"p{number}", count) for number in range(count)]
        await asyncio.sleep(60 + late)
        assert [len(each.active) for each in processes] == [1] * count
        [given] = processes[1].active
        await processes[1].stop()
        assert world.holder(given) == ""
        await until(lambda: world.holder(given) != "", SOON)
        await until(lambda: any(given in each.active for each in processes), 1.0)
        world.check()

    play(story)


@pytest.mark.parametrize("shards", [2, 4])
def test_the_shards_of_one_that_ends_are_taken_at_once_by_one_that_has_none(shards: int) -> None:
    async def story(world: World) -> None:
        one = world.start("one", shards)
        await asyncio.sleep(20)
        for number in range(1, shards):
            world.start(f"p{number}", shards)
        await asyncio.sleep(120)
        waiting = world.start("waiting", shards)
        await asyncio.sleep(20)
        assert waiting.active == set()
        [given] = one.active
        await one.stop()
        await until(lambda: world.holder(given) != "", LOOK + 0.1)
        assert world.holder(given) == "waiting"

    play(story)


def test_many_shards_of_one_that_ends_are_taken_without_everybody_waiting_for_each_that_he_has() -> None:
    async def story(world: World) -> None:
        processes = [world.start(f"p{number}", 16) for number in range(4)]
        await asyncio.sleep(400)
        assert sorted(len(each.active) for each in processes) == [4, 4, 4, 4]
        given = processes.pop().active
        await world.processes["p3"].stop()
        await until(lambda: all(world.holder(number) for number in given), 4 * PATIENCE)
        world.check()
        await asyncio.sleep(60)
        assert sorted(len(each.active) for each in processes) == [5, 5, 6]

    play(story)


def test_of_two_that_have_shards_the_one_with_fewer_goes_first() -> None:
    async def story(world: World) -> None:
        many, few, ends = (world.start(name, 6) for name in ("many", "few", "ends"))
        await asyncio.sleep(200)
        for number in sorted(few.active)[1:]:
            world.lease(number).store(world.lease(number).record.__class__("nobody", 10_000, None, None, 0, ""))  # type: ignore[union-attr]
        await asyncio.sleep(60)
        assert (len(many.active), len(few.active), len(ends.active)) == (2, 1, 2)
        given = max(ends.active)
        await ends.stop()
        await until(lambda: world.holder(given) != "", SOON)
        assert len(few.active | {n for n in range(6) if world.holder(n) == "few"}) >= 2

    play(story)


@pytest.mark.parametrize("work", [0.4, 5.0])
def test_of_two_that_have_shards_the_one_with_fewer_goes_first_however_long_it_was_foreseen(work: float) -> None:
    async def story(world: World) -> None:
        many, few, ends = (world.start(name, 6) for name in ("many", "few", "ends"))
        await asyncio.sleep(200)
        for number in sorted(few.active)[1:]:
            world.lease(number).store(LeaseRecord("nobody", 10_000, None, None, 0, ""))
        await asyncio.sleep(60)
        assert (len(many.active), len(few.active), len(ends.active)) == (2, 1, 2)
        given = await end(ends, work)
        await until(lambda: any(world.holder(number) for number in given), SOON)
        assert {world.holder(number) for number in given} == {"", "few"}

    play(story)


def test_one_that_is_about_to_end_takes_nothing_and_gives_nothing_away() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 3), world.start("two", 3)
        await asyncio.sleep(60)
        had = set(one.active)
        one.shards.retire()
        await asyncio.sleep(2 * LOOK)
        told = list(one.told)
        await two.stop()
        world.start("three", 3)
        await asyncio.sleep(60)
        assert (one.active, one.told) == (had, told), "and it still holds what it had, for what runs"

    play(story)
