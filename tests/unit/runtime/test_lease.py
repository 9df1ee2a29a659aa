"""Leader election: never two leaders, and never none for long, whatever happens to the requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.lease import LeaderElector, LeaseRecord, LeaseTimes, Restored
from controller.runtime.ports import NotLeader

from .leases import Line, Server
from .virtual import LoopClock, run

TIMES = LeaseTimes(duration=15, deadline=10.0, period=2.0)
QUIET = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])


def elector(server: Server, name: str, trouble: Callable[[], str] = lambda: "", seed: int = 0) -> LeaderElector:
    return LeaderElector(Line(server, trouble), name, TIMES, LoopClock(), random.Random(seed).random, QUIET)


async def campaign(candidate: LeaderElector) -> None:
    while True:
        await candidate.acquire()
        await candidate.hold()


def test_the_first_takes_it_and_the_second_waits() -> None:
    async def main() -> None:
        server = Server()
        one, two = elector(server, "one"), elector(server, "two")
        await one.acquire()
        holding = asyncio.create_task(one.hold())
        waiting = asyncio.create_task(two.acquire())
        await asyncio.sleep(600)
        assert one.is_leader
        assert not two.is_leader
        assert not waiting.done()
        one.check()
        with pytest.raises(NotLeader):
            two.check()
        assert server.record is not None
        assert (server.record.holder, server.record.transitions) == ("one", 0)
        assert 600 / 2.4 <= server.writes <= 600 / 1.6 + 2
        for task in (holding, waiting):
            task.cancel()

    run(main())


def test_a_clean_handover_takes_less_than_a_period() -> None:
    async def main() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        one, two = elector(server, "one"), elector(server, "two")
        await one.acquire()
        waiting = asyncio.create_task(two.acquire())
        await asyncio.sleep(3)
        released = loop.time()
        await one.release()
        assert not one.is_leader
        await waiting
        assert loop.time() - released <= 1.2 + 0.1
        assert server.record is not None
        assert (server.record.holder, server.record.transitions) == ("two", 1)

    run(main())


def test_a_dead_leader_is_replaced_when_its_lease_ran_out() -> None:
    async def main() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        one, two = elector(server, "one"), elector(server, "two")
        await one.acquire()
        died = loop.time()
        await two.acquire()
        assert 15 <= loop.time() - died <= 20
        assert not one.is_leader

    run(main())


def test_a_leader_that_cannot_renew_counts_itself_out_before_others_may_take_over() -> None:
    async def main() -> None:
        server, loop, trouble = Server(), asyncio.get_running_loop(), [""]
        one = elector(server, "one", lambda: trouble[0])
        await one.acquire()
        renewed = loop.time()
        trouble[0] = "down"
        await one.hold()
        assert not one.is_leader
        assert loop.time() - renewed <= TIMES.deadline
        with pytest.raises(NotLeader):
            one.check()

    run(main())


def test_a_hanging_renewal_does_not_outlast_the_deadline() -> None:
    async def main() -> None:
        server, loop, trouble = Server(), asyncio.get_running_loop(), [""]
        one = elector(server, "one", lambda: trouble[0])
        await one.acquire()
        renewed = loop.time()
        trouble[0] = "hang"
        await one.hold()
        assert loop.time() - renewed <= TIMES.deadline + 0.01

    run(main())


class Leaping(LoopClock):
    """A clock of a process that stands still now and then: no alarm of its rings meanwhile."""

    leapt = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt


@pytest.mark.parametrize(("seconds", "lost"), [(5.0, False), (9.0, True)])
def test_a_renewal_that_a_process_hears_of_too_late_is_none(seconds: float, lost: bool) -> None:
    """Between the end of the lease and that moment its writes were refused, and nobody would make them again."""

    async def main() -> None:
        server, clock = Server(), Leaping()

        def stand_still() -> str:
            clock.leapt += seconds if server.writes == 1 else 0.0
            return ""

        one = LeaderElector(Line(server, stand_still), "one", TIMES, clock, random.Random(0).random, QUIET)
        await one.acquire()
        holding = asyncio.create_task(one.hold())
        await asyncio.sleep(6)
        assert (holding.done(), one.is_leader) == (lost, not lost)
        holding.cancel()

    run(main())


def test_a_short_outage_is_survived() -> None:
    async def main() -> None:
        server, trouble = Server(), [""]
        one = elector(server, "one", lambda: trouble[0])
        await one.acquire()
        holding = asyncio.create_task(one.hold())
        for bad in ("down", "lost", "down"):
            trouble[0] = bad
            await asyncio.sleep(6)
            trouble[0] = ""
            await asyncio.sleep(6)
            assert one.is_leader
        assert not holding.done()
        holding.cancel()

    run(main())


def test_a_leader_whose_lease_was_taken_notices_at_its_next_renewal() -> None:
    async def main() -> None:
        server = Server()
        one = elector(server, "one")
        await one.acquire()
        assert server.record is not None
        server.store(replace(server.record, holder="two"))
        await asyncio.wait_for(one.hold(), timeout=3)
        assert not one.is_leader
        await one.release()
        assert server.record.holder == "two", "what isn't ours is not released"

    run(main())


def test_a_restarted_process_of_the_same_name_goes_on_at_once() -> None:
    async def main() -> None:
        server, loop = Server(), asyncio.get_running_loop()
        await elector(server, "one").acquire()
        started = loop.time()
        await elector(server, "one").acquire()
        assert loop.time() - started < 1
        assert server.record is not None
        assert server.record.transitions == 0

    run(main())


def test_a_deleted_lease_is_made_again() -> None:
    async def main() -> None:
        server = Server()
        one = elector(server, "one")
        await one.acquire()
        holding = asyncio.create_task(one.hold())
        server.record = None
        await asyncio.sleep(5)
        assert one.is_leader
        assert server.record is not None
        holding.cancel()

    run(main())


def test_release_is_best_effort() -> None:
    async def main() -> None:
        server, trouble = Server(), [""]
        one = elector(server, "one", lambda: trouble[0])
        await one.release()
        assert server.writes == 0
        await one.acquire()
        trouble[0] = "down"
        await one.release()
        assert not one.is_leader

    run(main())


def restored(server: Server, record: LeaseRecord | None, version: int) -> None:
    """Put a backup of the lease in its place; None: from before there was one."""
    server.record, server.version = record, version


@pytest.mark.parametrize("known", [True, False], ids=["with an older lease", "without the lease"])
def test_a_leader_whose_server_was_restored_from_a_backup_is_none_any_more(known: bool) -> None:
    async def main() -> None:
        server = Server()
        one = elector(server, "one")
        server.version = 100
        await one.acquire()
        backup = server.record if known else None
        holding = asyncio.create_task(one.hold())
        await asyncio.sleep(10)
        assert not holding.done()
        restored(server, backup, 101 if known else 50)
        with pytest.raises(Restored, match="was restored"):
            await asyncio.wait_for(holding, timeout=5)
        assert not one.is_leader
        await elector(server, "one").acquire()

    run(main())


def test_a_candidate_whose_server_was_restored_from_a_backup_waits_no_more() -> None:
    async def main() -> None:
        server = Server()
        one, two = elector(server, "one"), elector(server, "two")
        await one.acquire()
        backup = server.record
        holding, waiting = asyncio.create_task(one.hold()), asyncio.create_task(two.acquire())
        await asyncio.sleep(10)
        holding.cancel()
        restored(server, backup, 1)
        with pytest.raises(Restored):
            await asyncio.wait_for(waiting, timeout=5)
        assert not two.is_leader

    run(main())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.sampled_from([0.0, 0.1, 0.4]))
def test_never_two_leaders_and_never_none_for_long(seed: int, candidates: int, badness: float) -> None:
    source = random.Random(seed)

    def trouble() -> str:
        return source.choice(["down", "lost", "hang"]) if source.random() < badness and not calm[0] else ""

    calm = [False]

    async def main() -> None:
        server = Server()
        running: dict[LeaderElector, asyncio.Task[None]] = {}
        for number in range(candidates):
            one = elector(server, f"c{number}", trouble, seed + number)
            running[one] = asyncio.create_task(campaign(one))
        for tick in range(600):
            await asyncio.sleep(0.5)
            leaders = [one for one in running if one.is_leader]
            assert len(leaders) <= 1
            if leaders and tick % 80 == 79 and len(running) > 1:
                running.pop(leaders[0]).cancel()
        calm[0] = True
        await asyncio.sleep(40 + TIMES.duration + 2 * TIMES.period)
        assert len([one for one in running if one.is_leader]) == 1
        for task in running.values():
            task.cancel()

    run(main())
