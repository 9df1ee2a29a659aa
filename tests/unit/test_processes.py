"""Processes that sleep: nothing of them goes on meanwhile, and all of it afterwards, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from tests.support.processes import Process, current, run

_NUMBER: ContextVar[int] = ContextVar("number", default=0)
ASLEEP = 100.0


def told(story: Callable[[Process, list[str]], Awaitable[None]]) -> list[str]:
    """What was noted while a process ran the story, fell asleep at 1 s, and awoke after `ASLEEP`."""
    notes: list[str] = []

    async def fall_asleep(process: Process) -> None:
        await asyncio.sleep(1)
        await process.sleep()
        notes.append("awake")

    async def main() -> None:
        process = Process("p")
        process.begin(fall_asleep(process))
        work = process.begin(story(process, notes))  # type: ignore[arg-type]
        await asyncio.sleep(ASLEEP)
        notes.append("slept")
        process.wake()
        await work

    run(main())
    return notes


def test_a_timer_that_is_due_while_it_sleeps_is_run_when_it_awakes() -> None:
    async def story(_: Process, notes: list[str]) -> None:
        await asyncio.sleep(5)
        notes.append(f"due at {asyncio.get_running_loop().time():.0f}")

    assert told(story) == ["slept", "awake", "due at 100"]


def test_what_is_due_comes_in_its_order() -> None:
    async def story(_: Process, notes: list[str]) -> None:
        loop = asyncio.get_running_loop()
        for seconds in (9, 3, 6):
            loop.call_later(seconds, notes.append, str(seconds))
        await asyncio.sleep(10)

    assert told(story) == ["slept", "awake", "3", "6", "9"]


def test_what_the_first_cancels_is_not_run_any_more() -> None:
    async def story(_: Process, notes: list[str]) -> None:
        loop = asyncio.get_running_loop()
        second = loop.call_later(6, notes.append, "second")
        loop.call_later(3, second.cancel)
        await asyncio.sleep(10)

    assert told(story) == ["slept", "awake"]


def test_a_limit_of_time_is_over_when_it_awakes() -> None:
    async def story(_: Process, notes: list[str]) -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(50)
        except TimeoutError:
            notes.append("too late")

    assert told(story) == ["slept", "awake", "too late"]


def test_others_go_on() -> None:
    async def main() -> list[float]:
        sleeper, other, seen = Process("sleeper"), Process("other"), list[float]()

        async def tick() -> None:
            for _ in range(3):
                await asyncio.sleep(10)
                seen.append(asyncio.get_running_loop().time())

        sleeper.begin(sleeper.sleep())
        await other.begin(tick())
        assert (sleeper.asleep, other.asleep) == (True, False)
        sleeper.wake()
        return seen

    assert run(main()) == [10.0, 20.0, 30.0]


def test_what_another_does_for_it_waits_for_it() -> None:
    async def main() -> list[str]:
        process, notes = Process("p"), list[str]()
        heard = asyncio.Event()

        async def listen() -> None:
            await heard.wait()
            notes.append("heard")

        process.begin(listen())
        process.begin(process.sleep())
        await asyncio.sleep(1)
        heard.set()
        await asyncio.sleep(1)
        notes.append("told")
        process.wake()
        await asyncio.sleep(1)
        return notes

    assert run(main()) == ["told", "heard"]


def test_a_task_keeps_its_context_over_the_sleep() -> None:
    async def story(process: Process, notes: list[str]) -> None:
        token = _NUMBER.set(7)
        await asyncio.sleep(5)
        notes.append(f"{_NUMBER.get()} of {current() is process}")
        _NUMBER.reset(token)

    assert told(story)[-1] == "7 of True"


def test_nobody_is_in_a_process_outside_of_any() -> None:
    async def main() -> tuple[Process | None, str]:
        process = Process("p")
        return current(), process.run(lambda: found.name if (found := current()) else "")

    assert run(main()) == (None, "p")
