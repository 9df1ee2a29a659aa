"""Work that is shared by everyone who asks for it."""

import asyncio
from collections.abc import Callable

import pytest

from controller.images.errors import ImageError, Reason
from controller.images.flights import Flights
from controller.images.progress import Phase, Progress, Steps

Step = tuple[Phase, int | None]


class Work:
    """Work that a test brings to its end."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.tell: Progress
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, tell: Progress) -> str:
        self.begun += 1
        self.tell = tell
        try:
            return await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def listener(steps: list[Step]) -> Callable[[Phase, int | None], None]:
    return lambda phase, percent: steps.append((phase, percent))


async def test_everyone_gets_the_one_result_and_the_progress() -> None:
    flights, work = Flights[str](), Work()
    early: list[Step] = []
    late: list[Step] = []
    first = asyncio.create_task(flights.join("k", work, listener(early)))
    await settle()
    work.tell(Phase.DOWNLOADING, 5)
    second = asyncio.create_task(flights.join("k", work, listener(late)))
    third = asyncio.create_task(flights.join("k", work, None))
    await settle()
    work.tell(Phase.DOWNLOADING, 6)
    work.end.set_result("done")
    assert [*await asyncio.gather(first, second, third)] == ["done"] * 3
    assert work.begun == 1
    assert early == late == [(Phase.DOWNLOADING, 5), (Phase.DOWNLOADING, 6)]


async def test_other_keys_are_other_work() -> None:
    flights, one, two = Flights[str](), Work(), Work()
    tasks = [asyncio.create_task(flights.join(key, work, None)) for key, work in (("a", one), ("b", two))]
    await settle()
    one.end.set_result("1")
    two.end.set_result("2")
    assert await asyncio.gather(*tasks) == ["1", "2"]


async def test_everyone_gets_the_error_and_the_next_one_begins_anew() -> None:
    flights, work = Flights[str](), Work()
    tasks = [asyncio.create_task(flights.join("k", work, None)) for _ in range(2)]
    await settle()
    work.end.set_exception(ImageError(Reason.DOWNLOAD_FAILED, "broken"))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["broken"] * 2
    again = Work()
    again.end.set_result("well")
    assert await flights.join("k", again, None) == "well"


async def test_the_work_goes_on_while_anyone_waits() -> None:
    flights, work = Flights[str](), Work()
    first, second = (asyncio.create_task(flights.join("k", work, None)) for _ in range(2))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert work.cancelled == 0
    work.end.set_result("done")
    assert await second == "done"


async def test_the_work_is_cancelled_when_nobody_waits() -> None:
    flights, work = Flights[str](), Work()
    tasks = [asyncio.create_task(flights.join("k", work, None)) for _ in range(2)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert work.cancelled == 1


async def test_who_comes_while_work_is_being_cancelled_gets_work_of_its_own() -> None:
    flights, release = Flights[str](), asyncio.Event()

    async def slow_to_stop(tell: Progress) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()
        raise AssertionError("waits for ever")

    first = asyncio.create_task(flights.join("k", slow_to_stop, None))
    await settle()
    first.cancel()
    await settle()
    again = Work()
    second = asyncio.create_task(flights.join("k", again, None))
    await settle()
    release.set()
    await asyncio.wait([first])
    again.end.set_result("done")
    assert await second == "done"


def test_progress_is_told_only_when_it_changes() -> None:
    told: list[Step] = []
    steps = Steps(listener(told))
    for done in range(1001):
        steps(Phase.DOWNLOADING, done, 500)
    steps(Phase.DOWNLOADING)
    steps(Phase.DOWNLOADING, 7, 0)
    steps(Phase.VERIFYING)
    assert told == [*((Phase.DOWNLOADING, percent) for percent in range(101)), (Phase.DOWNLOADING, None), (Phase.VERIFYING, None)]
