"""Several processes share the Leases of all shards: each shard has one at most, all have one soon, and nobody has too many."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.keys import Key
from controller.runtime.lease import LeaseRecord, LeaseTimes, Restored
from controller.runtime.ports import NotLeader
from controller.runtime.scope import Scope, entered
from controller.runtime.shards import Hooks, Shards

from .leases import Line, Server
from .virtual import EPOCH, LoopClock, run

TIMES = LeaseTimes(duration=15, deadline=10.0, period=2.0)
QUIET = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
KEY = Key("VirtualMachine", "shop", "web")


class World:
    """The Leases, and the processes that want them."""

    def __init__(self) -> None:
        self.leases: dict[int, Server] = {}
        self.processes: dict[str, Process] = {}

    def lease(self, number: int) -> Server:
        return self.leases.setdefault(number, Server())

    def holder(self, number: int) -> str:
        record = self.lease(number).record
        return record.holder if record else ""

    def start(self, name: str, count: int) -> Process:
        self.processes[name] = Process(self, name, count)
        return self.processes[name]

    def check(self) -> None:
        """No shard has two, and nobody works while somebody works on another division."""
        working = [each for each in self.processes.values() if each.active]
        assert len({each.count for each in working}) <= 1, [(each.name, each.count, each.active) for each in working]
        shards = [shard for each in working for shard in each.active]
        assert len(shards) == len(set(shards)), [(each.name, each.active) for each in working]


class Process:
    """Takes part for one term after the other; `trouble()` says what happens to each of its requests."""

    def __init__(self, world: World, name: str, count: int) -> None:
        self.world, self.name, self.count = world, name, count
        self.trouble: Callable[[], str] = lambda: ""
        self.told: list[str] = []
        self.finishes = True
        self.shards = self._make()
        self.task = asyncio.create_task(self._live())

    @property
    def active(self) -> set[int]:
        return {shard for shard in range(self.count) if self.shards.works_on(shard)}

    def _make(self) -> Shards:
        source = random.Random(self.name)

        def port(number: int) -> Line:
            return Line(self.world.lease(number), lambda: self.trouble())

        return Shards([port(n) for n in range(self.count)], port, self.name, TIMES, LoopClock(), source.random, QUIET)

    async def _live(self) -> None:
        while True:
            self.shards = self._make()
            try:
                with suppress(Restored):
                    await self.shards.acquire()
                    await self.shards.hold(Hooks(self._prepare, self._begin, self._finish))
            finally:
                await self.shards.release()

    async def _prepare(self, shard: int) -> None:
        assert not self.shards.works_on(shard)
        await asyncio.sleep(0.5)
        self.told.append(f"prepare {shard}")

    def _begin(self, shard: int) -> None:
        self.told.append(f"begin {shard}")

    async def _finish(self, shard: int) -> bool:
        assert not self.shards.works_on(shard)
        self.told.append(f"finish {shard}")
        await asyncio.sleep(1.0)
        return self.finishes

    async def stop(self) -> None:
        """As by SIGTERM: everything is given back."""
        self.world.processes.pop(self.name, None)
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def kill(self) -> None:
        """As by SIGKILL: nothing is."""
        for elector in self.shards._electors:
            elector._held_until = None
        await self.stop()


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World()
        try:
            await story(world)
        finally:
            for each in list(world.processes.values()):
                await each.stop()

    run(told())


def loads(world: World) -> list[int]:
    return sorted(len(each.active) for each in world.processes.values())


def test_one_process_takes_all() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 4)
        await asyncio.sleep(20)
        assert one.active == {0, 1, 2, 3}
        assert one.told == [f"{what} {shard}" for shard in range(4) for what in ("prepare", "begin")]
        assert [world.lease(n).record.shards for n in range(4)] == [4, 1, 1, 1]  # type: ignore[union-attr]

    play(story)


def test_an_undivided_one_is_as_it_was() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 1)
        await asyncio.sleep(10)
        assert one.active == {0}
        assert list(world.leases) == [0], "no other Lease is looked at"
        assert (
            world.lease(0).record
            == LeaseRecord("one", 15, EPOCH, world.lease(0).record.renewed_at, 0, world.lease(0).record.resource_version)
            or world.lease(0).record.shards == 1
        )  # type: ignore[union-attr]

    play(story)


@pytest.mark.parametrize(
    ("shards", "processes", "balanced"), [(4, 2, [2, 2]), (4, 3, [1, 1, 2]), (3, 3, [1, 1, 1]), (2, 3, [0, 1, 1])]
)
@pytest.mark.parametrize("late", [0.0, 60.0])
def test_the_shards_are_spread(shards: int, processes: int, balanced: list[int], late: float) -> None:
    """Whether the processes start together, or some join when others have all."""

    async def story(world: World) -> None:
        for number in range(processes):
            world.start(f"p{number}", shards)
            await asyncio.sleep(late)
        await asyncio.sleep(90)
        assert loads(world) == balanced
        world.check()

    play(story)


def test_a_shard_is_given_away_only_when_nothing_of_it_is_under_way() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 2)
        await asyncio.sleep(20)
        one.finishes = False
        two = world.start("two", 2)
        for _ in range(100):
            await asyncio.sleep(0.5)
            world.check()
        assert "finish 1" in one.told
        assert loads(world) == [1, 1], "the term ended, everything was given back, and was spread anew"
        assert two.active

    play(story)


def test_those_of_a_process_that_ends_are_taken_soon() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        assert loads(world) == [1, 1]
        await one.stop()
        await asyncio.sleep(4.0)
        assert two.active == {0, 1}

    play(story)


def test_those_of_a_process_that_is_killed_are_taken_within_20_seconds() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        await one.kill()
        await asyncio.sleep(19.0)
        assert two.active == {0, 1}

    play(story)


def test_one_restarted_under_its_name_goes_on_at_once() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 3)
        await asyncio.sleep(20)
        await one.kill()
        one = world.start("one", 3)
        await asyncio.sleep(6.0)
        assert one.active == {0, 1, 2}

    play(story)


def test_the_loss_of_one_ends_the_term() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 3)
        await asyncio.sleep(20)
        before = one.shards
        server = world.lease(2)
        assert server.record is not None
        server.store(LeaseRecord("thief", 15, EPOCH, EPOCH, 1, ""))
        await asyncio.sleep(3.0)
        assert one.shards is not before
        assert not any(before.works_on(shard) for shard in range(3))
        await asyncio.sleep(5.0)
        assert one.active == {0, 1}
        await asyncio.sleep(20.0)
        assert one.active == {0, 1, 2}, "the thief never renewed it"

    play(story)


def test_the_fence_is_that_of_the_shard_whose_work_it_is() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        [first], [second] = one.active, two.active
        for process, mine, other in ((one, first, second), (two, second, first)):
            process.shards.check()
            with entered(Scope(KEY, "r", None, mine)):
                process.shards.check()
            with entered(Scope(KEY, "r", None, other)), pytest.raises(NotLeader):
                process.shards.check()
        one.trouble = lambda: "down"
        await asyncio.sleep(TIMES.deadline + 0.1)
        with pytest.raises(NotLeader):
            one.shards.check()

    play(story)


def test_a_process_without_an_answer_stops_before_another_begins() -> None:
    async def story(world: World) -> None:
        one, two = world.start("one", 2), world.start("two", 2)
        await asyncio.sleep(60)
        one.trouble = lambda: "hang"
        for _ in range(60):
            await asyncio.sleep(0.5)
            world.check()
        assert two.active == {0, 1}
        one.trouble = lambda: ""
        await asyncio.sleep(120)
        assert loads(world) == [1, 1]

    play(story)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 4), (4, 2), (3, 4)])
def test_another_number_of_shards_waits_for_the_last_of_the_old(before: int, after: int) -> None:
    """A rollout: the new ones start while the old ones are there, which then end one after the other."""

    async def story(world: World) -> None:
        old = [world.start(f"old{n}", before) for n in range(2)]
        await asyncio.sleep(40)
        new = [world.start(f"new{n}", after) for n in range(2)]
        for one in old:
            for _ in range(40):
                await asyncio.sleep(0.5)
                world.check()
            assert before == 1 or not any(each.active for each in new)  # undivided, the first is the last that works
            await one.stop()
        await asyncio.sleep(40)
        assert sum(loads(world)) == after
        record = world.lease(0).record
        assert record is not None
        assert record.shards == after

    play(story)


def test_a_change_that_was_broken_off_is_ended_or_undone() -> None:
    """Whoever was changing the number dies in the middle of it, and those of the old number go on."""

    async def story(world: World) -> None:
        first, second = world.start("old0", 2), world.start("old1", 2)
        await asyncio.sleep(40)
        changer = world.start("new", 3)
        main = first if 0 in first.active else second
        await main.stop()
        await asyncio.sleep(3)
        record = world.lease(0).record
        assert record is not None
        assert (record.holder, record.shards) == ("new", -2)
        await changer.kill()
        await asyncio.sleep(60)
        [left] = world.processes.values()
        assert left.active == {0, 1}
        world.check()

    play(story)


def test_a_restored_api_server_begins_everything_anew() -> None:
    async def story(world: World) -> None:
        one = world.start("one", 2)
        await asyncio.sleep(20)
        before = one.shards
        for number in (0, 1):
            server = world.lease(number)
            server.version = 1
            assert server.record is not None
            server.store(server.record)
        await asyncio.sleep(6)
        assert one.shards is not before
        assert one.active == {0, 1}

    play(story)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.sampled_from([0.0, 0.1, 0.3]))
def test_never_two_and_never_none_for_long(seed: int, count: int, badness: float) -> None:
    source, calm = random.Random(seed), [False]

    def trouble() -> str:
        return source.choice(["down", "lost", "hang"]) if source.random() < badness and not calm[0] else ""

    async def story(world: World) -> None:
        born = 0
        for tick in range(400):
            while len(world.processes) < 3:
                born += 1
                asked = count if tick < 200 or source.random() < 0.7 else count + 1
                world.start(f"p{born}", asked).trouble = trouble
            await asyncio.sleep(0.5)
            world.check()
            if source.random() < 0.02:
                victim = world.processes[source.choice(sorted(world.processes))]
                if source.random() < 0.3:
                    victim.shards.retire()
                    await asyncio.sleep(source.uniform(0.0, 4.0))
                await (victim.kill() if source.random() < 0.5 else victim.stop())
        calm[0] = True
        others = [each for each in world.processes.values() if each.count != count]
        for each in others:
            await each.stop()
        if not world.processes:
            world.start("last", count)
        for _ in range(400):
            await asyncio.sleep(0.5)
            world.check()
        assert sum(loads(world)) == count
        assert loads(world)[-1] - loads(world)[0] <= 1

    play(story)
