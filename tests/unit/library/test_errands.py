"""Work in the background: begun once, shared, remembered, tried again in its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader
from controller.shared.errands import Broken, ErrandFailed, Errands, Finished, Report, Working
from tests.unit.runtime.virtual import LoopClock, run

A, B = Key("VirtualMachine", "shop", "a"), Key("VirtualMachine", "shop", "b")


class Work:
    """Takes two seconds, and ends as told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.begun = 0
        self.reports: list[Report] = []

    async def __call__(self, report: Report) -> str:
        self.begun += 1
        self.reports.append(report)
        report("Copying", 40)
        await asyncio.sleep(2)
        if self.failures:
            raise self.failures.pop(0)
        return "done"


class World:
    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.log = structlog.testing.CapturingLogger()
        self.errands: Errands[str, str] = Errands(self.woken.append, LoopClock(), structlog.wrap_logger(self.log, processors=[]))


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World()
        await story(world)
        await world.errands.close()

    run(told())


def test_begun_once_shared_and_remembered() -> None:
    async def story(world: World) -> None:
        work = Work()
        assert world.errands.ask("k", work, A) == Working("Queued", None)
        await asyncio.sleep(1)
        assert world.errands.ask("k", work, B) == Working("Copying", 40)
        assert world.errands.under_way() == ["k"]
        await asyncio.sleep(2)
        assert sorted(world.woken) == [A, B]
        assert world.errands.ask("k", work, A) == Finished("done")
        assert (work.begun, world.errands.under_way(), world.errands.known()) == (1, [], ["k"])

    play(story)


def test_failure_is_tried_again_in_its_time_and_not_before() -> None:
    async def story(world: World) -> None:
        work = Work(ErrandFailed("Full", "no room", retry_after=10))
        world.errands.ask("k", work, A)
        await asyncio.sleep(3)
        found = world.errands.ask("k", work, A)
        assert isinstance(found, Broken)
        assert (found.reason, found.message, found.terminal, found.retry_at) == ("Full", "no room", False, 12.0)
        await asyncio.sleep(8)
        assert isinstance(world.errands.ask("k", work, A), Broken)
        await asyncio.sleep(1)
        assert isinstance(world.errands.ask("k", work, A), Working)
        await asyncio.sleep(3)
        assert world.errands.state("k") == Finished("done")
        assert world.woken == [A, A]

    play(story)


def test_terminal_failure_is_never_tried_again_until_forgotten() -> None:
    async def story(world: World) -> None:
        work = Work(ErrandFailed("Bad", "nonsense", terminal=True))
        world.errands.ask("k", work, A)
        await asyncio.sleep(10_000)
        found = world.errands.ask("k", work, A)
        assert isinstance(found, Broken)
        assert found.terminal
        world.errands.forget("k")
        assert world.errands.state("k") is None
        world.errands.ask("k", work, A)
        await asyncio.sleep(3)
        assert world.errands.state("k") == Finished("done")

    play(story)


def test_work_that_is_not_ours_any_more_is_no_defect() -> None:
    async def story(world: World) -> None:
        work = Work(NotLeader("me does not hold the lease"))
        world.errands.ask("k", work, A)
        await asyncio.sleep(3)
        found = world.errands.ask("k", work, A)
        assert isinstance(found, Broken)
        assert (found.reason, found.terminal) == ("NotLeader", False)
        assert world.log.calls == []
        await asyncio.sleep(30)
        world.errands.ask("k", work, A)
        await asyncio.sleep(3)
        assert world.errands.ask("k", work, A) == Finished("done")

    play(story)


def test_unexpected_failure_is_logged_shown_without_its_text_and_retried() -> None:
    async def story(world: World) -> None:
        work = Work(RuntimeError("password hunter2"))
        world.errands.ask("k", work, A)
        await asyncio.sleep(3)
        found = world.errands.state("k")
        assert isinstance(found, Broken)
        assert (found.reason, found.message, found.terminal) == ("InternalError", "unexpected RuntimeError", False)
        assert [call.method_name for call in world.log.calls] == ["error"]

    play(story)


def test_what_was_forgotten_reports_nothing_and_wakes_nobody() -> None:
    async def story(world: World) -> None:
        work = Work()
        world.errands.ask("k", work, A)
        await asyncio.sleep(1)
        world.errands.forget("k")
        await asyncio.sleep(0)
        work.reports[0]("Copying", 90)
        assert world.errands.state("k") is None
        world.errands.ask("k", work, B)
        work.reports[0]("Copying", 99)
        assert world.errands.state("k") == Working("Queued", None), "the old work does not speak for the new"
        await asyncio.sleep(10)
        assert world.woken == [B]

    play(story)


def test_close_ends_all_work() -> None:
    async def story(world: World) -> None:
        work = Work()
        world.errands.ask("k", work, A)
        await asyncio.sleep(1)
        await world.errands.close()
        await asyncio.sleep(10)
        assert world.woken == []

    play(story)
