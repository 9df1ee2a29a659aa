"""Real threads: which lane a call goes through, what a hang holds, and connections that come too late."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from controller.inventory import Lanes, endpoint_lanes, lanes
from controller.inventory.opening import opened
from controller.runtime.lanes import LaneMetrics
from controller.runtime.threads import Threads
from drivers.base import Connection, Driver
from drivers.errors import AuthFailed, Busy, Conflict, DriverError, Transient, Unanswered
from drivers.types import Endpoint

DEADLINE = 120.0


class NotLeading(Exception):
    """What the guard raises."""


class Held:
    """A call that lasts until it is let go."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self._let_go = threading.Event()

    def __call__(self, *_: Any) -> str:
        self.running.release()
        self._let_go.wait(DEADLINE)
        return "late"

    def let_go(self) -> None:
        self._let_go.set()


@pytest.fixture
def held() -> Iterator[Held]:
    call = Held()
    yield call
    call.let_go()


def make(guard: Callable[[], None] = lambda: None) -> Lanes:
    return endpoint_lanes("e1", guard, time.monotonic, LaneMetrics(CollectorRegistry()), Threads())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  it changes in another thread
            await asyncio.sleep(0.01)


async def test_each_call_runs_in_a_thread_of_its_own_lane() -> None:
    ways = make()

    def name() -> str:
        return threading.current_thread().name

    assert [await way(name) for way in (ways.connect, ways.disconnect, ways.read, ways.survey, ways.change, ways.copy)] == [
        "e1 control",
        "e1 control",
        "e1 state",
        "e1 state",
        "e1 work",
        "e1 transfer",
    ]
    assert await ways.listen(name) == "e1 events"
    ways.close()


async def test_hanging_changes_do_not_hold_up_reads_or_heartbeats(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "WORK_TIMEOUT", 0.05)
    ways = make()
    outcomes = await asyncio.gather(*(ways.change(held) for _ in range(30)), return_exceptions=True)
    assert all(isinstance(outcome, Transient | Busy) for outcome in outcomes)
    assert any(isinstance(outcome, Unanswered) and outcome.outcome_unknown for outcome in outcomes)
    assert await ways.read(lambda: "read") == "read"
    assert await ways.connect(lambda: "heartbeat") == "heartbeat"
    ways.close()


async def test_endpoint_that_hangs_is_left_alone_for_a_while(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "READ_TIMEOUT", 0.05)
    ways = make()
    for _ in range(3):
        with pytest.raises(Unanswered):
            await ways.read(held)
    with pytest.raises(Busy) as raised:
        await ways.read(lambda: "not called")
    assert raised.value.retry_after > 0
    ways.close()


def failing(error: DriverError) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize("error", [Transient("the host is busy"), Transient("?", outcome_unknown=True), Busy("b"), Conflict("c")])
async def test_endpoint_that_refuses_has_answered_and_goes_on_being_asked(error: DriverError) -> None:
    ways = make()
    for _ in range(20):
        for way in (ways.read, ways.change, ways.copy):
            with pytest.raises(type(error)) as raised:
                await way(failing(error))
            assert raised.value is error, "the call was made"
    assert await ways.change(lambda: "done") == "done"
    ways.close()


async def test_endpoint_that_is_not_heard_is_left_alone_for_a_while() -> None:
    ways, lost = make(), Unanswered("the connection was lost")
    for _ in range(3):
        with pytest.raises(Unanswered):
            await ways.change(failing(lost))
    with pytest.raises(Busy):
        await ways.change(lambda: "not called")
    assert await ways.read(lambda: "read") == "read"
    ways.close()


async def test_a_refusal_between_two_silences_is_a_sign_of_life() -> None:
    ways = make()
    for _ in range(5):
        for error in (Unanswered("lost"), Unanswered("lost"), Transient("the host is busy")):
            with pytest.raises(Transient) as raised:
                await ways.change(failing(error))
            assert raised.value is error
    ways.close()


async def test_only_changes_are_guarded() -> None:
    def refuse() -> None:
        raise NotLeading

    ways = make(refuse)
    for way in (ways.change, ways.copy):
        with pytest.raises(NotLeading):
            await way(lambda: "not called")
    assert await ways.read(lambda: "read") == "read"
    assert await ways.connect(lambda: "connect") == "connect"
    ways.close()


async def test_closed_lanes_take_no_calls() -> None:
    ways = make()
    ways.close()
    with pytest.raises(Busy):
        await ways.read(lambda: "not called")


class SlowDriver:
    """Connects when it is let go, and counts what was closed."""

    def __init__(self, held: Held) -> None:
        self.held = held
        self.closed = threading.Semaphore(0)
        self.made = 0

    def connect(self, endpoint: Endpoint) -> Connection:
        self.held()
        self.made += 1
        return cast("Connection", self)

    def close(self) -> None:
        self.closed.release()


def load(driver: object) -> Callable[[], Driver]:
    return lambda: cast("Driver", driver)


async def test_connection_that_comes_after_our_patience_is_closed(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "CONTROL_TIMEOUT", 0.05)
    ways, driver = make(), SlowDriver(held)
    with pytest.raises(Transient):
        await opened(ways, load(driver), Endpoint("u"))
    held.let_go()
    await until(lambda: driver.closed.acquire(blocking=False))
    assert driver.made == 1
    ways.close()


async def test_connection_that_comes_after_a_cancellation_is_closed(held: Held) -> None:
    ways, driver = make(), SlowDriver(held)
    attempt = asyncio.create_task(opened(ways, load(driver), Endpoint("u")))
    await until(lambda: held.running.acquire(blocking=False))
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    held.let_go()
    await until(lambda: driver.closed.acquire(blocking=False))
    ways.close()


async def test_connection_in_time_stays_open(held: Held) -> None:
    ways, driver = make(), SlowDriver(held)
    held.let_go()
    assert await opened(ways, load(driver), Endpoint("u")) is cast("Connection", driver)
    assert not driver.closed.acquire(blocking=False)
    ways.close()


async def test_connection_made_in_the_very_moment_of_cancellation_is_closed(held: Held) -> None:
    """The thread has returned it, the loop has not delivered it yet."""
    ways, driver = make(), SlowDriver(held)
    held.let_go()
    attempt = asyncio.create_task(opened(ways, load(driver), Endpoint("u")))
    await asyncio.sleep(0)
    deadline = time.monotonic() + DEADLINE
    while not driver.made and time.monotonic() < deadline:
        time.sleep(0.005)  # noqa: ASYNC251  the loop must not run meanwhile
    time.sleep(0.05)  # noqa: ASYNC251
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await until(lambda: driver.closed.acquire(blocking=False))
    ways.close()


async def test_hanging_connects_are_bounded(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "CONTROL_TIMEOUT", 0.05)
    ways, driver = make(), SlowDriver(held)
    before = threading.active_count()
    for _ in range(12):
        with pytest.raises((Transient, Busy)):
            await opened(ways, load(driver), Endpoint("u"))
    assert threading.active_count() - before <= 4
    ways.close()


async def test_failure_to_connect_or_to_load_is_passed_on() -> None:
    ways = make()

    class Refusing:
        def connect(self, endpoint: Endpoint) -> Connection:
            raise AuthFailed("no")

    with pytest.raises(AuthFailed):
        await opened(ways, load(Refusing()), Endpoint("u"))
    ways.close()
