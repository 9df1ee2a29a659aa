"""Lanes with real threads: what a hung or dead endpoint does to callers, and what it doesn't."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.runtime.breaker import BreakerOptions, State
from controller.runtime.keys import Key
from controller.runtime.lanes import CallTimeout, Lane, LaneBusy, LaneMetrics, LaneOpen, LaneOptions
from controller.runtime.ports import NotLeader
from controller.runtime.scope import Scope, current, entered
from controller.runtime.threads import Threads

from .virtual import SetClock

LONG = 120.0  # never waited for in a passing test
SHORT = 1.0  # enough for a thread to begin on a busy machine


class Dead(Exception):
    """The endpoint did not answer."""


class Refused(Exception):
    """The endpoint answered with an error."""


class Bench:
    """A lane, a clock to set, and functions that hang until they are let go."""

    def __init__(
        self, *, threads: int = 2, queue_limit: int = 10, failures: int = 3, guard: Callable[[], None] = lambda: None
    ) -> None:
        self.clock = SetClock()
        self.registry = CollectorRegistry()
        self.release = threading.Event()
        self.threads = Threads()
        self.entered = threading.Semaphore(0)
        self.inside: set[threading.Thread] = set()
        options = LaneOptions("state", threads, queue_limit, BreakerOptions(failures, 5, 20))
        self.lane = Lane(
            "h1",
            options,
            unanswered=lambda error: isinstance(error, Dead),
            guard=guard,
            clock=self.clock.monotonic,
            metrics=LaneMetrics(self.registry),
            threads=self.threads,
        )

    def hang(self) -> str:
        self.inside.add(threading.current_thread())
        self.entered.release()
        assert self.release.wait(LONG)
        return "late"

    async def hung(self, count: int) -> list[asyncio.Task[str]]:
        """Calls that hang, all of them inside the function by now."""
        tasks = [asyncio.create_task(self.lane.call(self.hang, timeout=LONG)) for _ in range(count)]
        for _ in tasks:
            assert await asyncio.to_thread(self.entered.acquire, timeout=LONG)
        return tasks

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"purpose": "state", **labels}) or 0.0


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(**options: int | Callable[[], None]) -> Bench:
        made.append(Bench(**options))  # type: ignore[arg-type]
        return made[-1]

    yield bench
    for one in made:
        one.release.set()
        one.lane.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def die() -> None:
    raise Dead


def refuse() -> None:
    raise Refused("no such VM")


async def test_a_call_returns_what_the_function_returns(make: Callable[..., Bench]) -> None:
    bench = make()
    assert await bench.lane.call(lambda a, b: a + b, 1, 2, timeout=LONG) == 3
    with pytest.raises(Refused, match="no such VM"):
        await bench.lane.call(refuse, timeout=LONG)
    assert bench.sample("vireo_lane_calls_total", outcome="success") == 1
    assert bench.sample("vireo_lane_calls_total", outcome="error") == 1
    assert bench.sample("vireo_lane_call_seconds_count") == 2


async def test_calls_run_in_no_more_threads_than_allowed(make: Callable[..., Bench]) -> None:
    bench = make(threads=3)
    tasks = await bench.hung(3)
    more = [asyncio.create_task(bench.lane.call(bench.hang, timeout=LONG)) for _ in range(4)]
    await until(lambda: bench.sample("vireo_lane_queued") == 4)
    assert bench.sample("vireo_lane_running") == 3
    assert len(bench.inside) == 3
    bench.release.set()
    assert await asyncio.gather(*tasks, *more) == ["late"] * 7
    assert bench.sample("vireo_lane_queued") == 0
    await until(lambda: bench.sample("vireo_lane_running") == 0)


async def test_a_call_that_never_returns_is_given_up_and_keeps_its_thread(make: Callable[..., Bench]) -> None:
    bench = make(threads=2)
    with pytest.raises(CallTimeout, match=r"h1 has not answered within 1 s; whether the call had an effect is unknown"):
        await bench.lane.call(bench.hang, timeout=SHORT)
    assert bench.lane.abandoned == 1
    assert await bench.lane.call(lambda: "other thread", timeout=LONG) == "other thread"
    bench.release.set()
    await until(lambda: bench.lane.abandoned == 0)
    assert await bench.lane.call(lambda: "again", timeout=LONG) == "again"


async def test_a_full_lane_refuses_at_once(make: Callable[..., Bench]) -> None:
    bench = make(threads=1, queue_limit=2)
    await bench.hung(1)
    waiting = [asyncio.create_task(bench.lane.call(str, timeout=LONG)) for _ in range(2)]
    await until(lambda: bench.sample("vireo_lane_queued") == 2)
    with pytest.raises(LaneBusy, match="2 calls wait already"):
        await bench.lane.call(str, timeout=LONG)
    bench.release.set()
    assert await asyncio.gather(*waiting) == ["", ""]


async def test_a_call_whose_turn_never_came_was_not_made(make: Callable[..., Bench]) -> None:
    bench = make(threads=1)
    await bench.hung(1)
    made: list[int] = []
    with pytest.raises(LaneBusy, match="no thread became free"):
        await bench.lane.call(made.append, 1, timeout=SHORT)
    bench.release.set()
    await bench.lane.call(made.append, 2, timeout=LONG)
    assert made == [2]


async def test_a_cancelled_caller_leaves_no_call_behind(make: Callable[..., Bench]) -> None:
    bench = make(threads=1)
    running = (await bench.hung(1))[0]
    made: list[int] = []
    queued = asyncio.create_task(bench.lane.call(made.append, 1, timeout=LONG))
    await until(lambda: bench.sample("vireo_lane_queued") == 1)
    for task in (queued, running):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert bench.lane.abandoned == 1
    assert bench.sample("vireo_lane_queued") == 0
    bench.release.set()
    await bench.lane.call(made.append, 2, timeout=LONG)
    assert made == [2]
    assert bench.lane.abandoned == 0


async def cancelled_as_it_returns(lane: Lane, function: Callable[[], None]) -> asyncio.Future[Any]:
    """A call whose caller is cancelled between its return and his hearing of it; returns what it left."""
    returned = lane._returned
    futures: list[asyncio.Future[Any]] = []
    task = asyncio.create_task(lane.call(function, timeout=LONG))

    def and_cancel(*what: Any) -> None:
        returned(*what)
        futures.append(what[0].future)
        task.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "_returned", and_cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
    return futures[0]


@pytest.mark.parametrize("function", [lambda: None, die])
async def test_a_caller_that_is_cancelled_as_its_call_returns_counts_for_nothing(
    function: Callable[[], None], make: Callable[..., Bench]
) -> None:
    """Or the lane would take itself for hung after a few of them. What the call raised is no error that the log must tell."""
    bench = make(threads=1)
    future = await cancelled_as_it_returns(bench.lane, function)
    assert future.done()
    assert not future._log_traceback, "asyncio tells the log of what it takes for an error that nobody heard of"
    assert bench.lane.abandoned == 0
    assert bench.sample("vireo_lane_queued") == 0


async def test_an_endpoint_that_does_not_answer_is_left_alone_for_a_while(make: Callable[..., Bench]) -> None:
    bench = make(failures=3)
    for _ in range(3):
        with pytest.raises(Dead):
            await bench.lane.call(die, timeout=LONG)
    called: list[int] = []
    with pytest.raises(LaneOpen, match="h1 has not been answering; next try in 5 s") as refused:
        await bench.lane.call(called.append, 1, timeout=LONG)
    assert refused.value.retry_after == 5
    assert called == []
    assert bench.sample("vireo_lane_open") == 1
    bench.clock.time += 5
    await bench.lane.call(called.append, 2, timeout=LONG)
    assert bench.lane.state is State.CLOSED
    assert bench.sample("vireo_lane_open") == 0
    assert called == [2]


async def test_timeouts_count_as_no_answer(make: Callable[..., Bench]) -> None:
    bench = make(threads=5, failures=2)
    for _ in range(2):
        with pytest.raises(CallTimeout):
            await bench.lane.call(bench.hang, timeout=SHORT)
    with pytest.raises(LaneOpen):
        await bench.lane.call(str, timeout=LONG)


async def test_a_lane_whose_threads_all_hang_opens_too(make: Callable[..., Bench]) -> None:
    bench = make(threads=1, failures=3)
    with pytest.raises(CallTimeout):
        await bench.lane.call(bench.hang, timeout=SHORT)
    for _ in range(2):
        with pytest.raises(LaneBusy):
            await bench.lane.call(str, timeout=SHORT)
    with pytest.raises(LaneOpen):
        await bench.lane.call(str, timeout=LONG)


async def test_an_answer_is_an_answer_even_if_it_is_a_refusal(make: Callable[..., Bench]) -> None:
    bench = make(failures=2)
    for _ in range(5):
        with pytest.raises(Dead):
            await bench.lane.call(die, timeout=LONG)
        with pytest.raises(Refused):
            await bench.lane.call(refuse, timeout=LONG)
    assert bench.lane.state is State.CLOSED


async def test_the_guard_stops_a_call_that_waited_too_long(make: Callable[..., Bench]) -> None:
    leading = [True]

    def guard() -> None:
        if not leading[0]:
            raise NotLeader("lost")

    bench = make(threads=1, failures=1, guard=guard)
    await bench.hung(1)
    made: list[int] = []
    queued = asyncio.create_task(bench.lane.call(made.append, 1, timeout=LONG))
    await until(lambda: bench.sample("vireo_lane_queued") == 1)
    leading[0] = False
    bench.release.set()
    with pytest.raises(NotLeader):
        await queued
    assert made == []
    assert bench.lane.state is State.CLOSED, "the endpoint has nothing to do with it"


async def test_one_hung_lane_does_not_hold_up_another(make: Callable[..., Bench]) -> None:
    dead, alive = make(threads=2), make(threads=2)
    await dead.hung(2)
    results = await asyncio.gather(*(alive.lane.call(lambda n=n: n, timeout=LONG) for n in range(10)))
    assert results == list(range(10))


async def test_a_closed_lane_takes_no_calls(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.lane.close()
    with pytest.raises(LaneBusy):
        await bench.lane.call(str, timeout=LONG)


@pytest.mark.parametrize("raised", [SystemExit(1), KeyboardInterrupt(), StopIteration()])
async def test_what_must_not_reach_the_loop_becomes_an_ordinary_error(make: Callable[..., Bench], raised: BaseException) -> None:
    bench = make()

    def call() -> None:
        raise raised

    with pytest.raises(RuntimeError, match=type(raised).__name__):
        await bench.lane.call(call, timeout=LONG)
    assert await bench.lane.call(str, timeout=LONG) == ""


async def test_a_timeout_of_the_endpoint_itself_is_its_own_error(make: Callable[..., Bench]) -> None:
    """Not to be taken for ours: the call did return."""
    bench = make()

    def call() -> None:
        raise TimeoutError("socket")

    with pytest.raises(TimeoutError, match="socket"):
        await bench.lane.call(call, timeout=LONG)
    assert bench.lane.abandoned == 0


async def test_no_call_is_lost_or_made_twice_under_load(make: Callable[..., Bench]) -> None:
    bench = make(threads=4, queue_limit=1000)
    made: list[int] = []
    await asyncio.gather(*(bench.lane.call(made.append, n, timeout=LONG) for n in range(500)))
    assert sorted(made) == list(range(500))
    assert bench.sample("vireo_lane_queued") == 0


async def test_the_guard_knows_what_is_being_reconciled() -> None:
    """Which Lease it asks for depends on that."""
    seen: list[Scope | None] = []
    bench = Bench(guard=lambda: seen.append(current()))
    scope = Scope(Key("VirtualMachine", "shop", "web"), "r1", None, 2)
    with entered(scope):
        await bench.lane.call(lambda: "done", timeout=LONG)
    await bench.lane.call(lambda: "done", timeout=LONG)
    assert seen == [scope, None]


async def test_an_error_goes_with_the_last_who_looks_at_it(make: Callable[..., Bench]) -> None:
    """Its traceback holds all that was under way: an endpoint that fails often must not fill the memory until a collector looks."""

    def refuse() -> None:
        raise Refused("not today")

    async def refused(lane: Lane) -> weakref.ref[Refused] | None:
        try:
            await lane.call(refuse, timeout=LONG)
        except Refused as error:
            return weakref.ref(error)
        return None

    bench = make()
    gc.disable()
    try:
        error = await refused(bench.lane)
        assert error is not None
        await until(lambda: error() is None)
    finally:
        gc.enable()
