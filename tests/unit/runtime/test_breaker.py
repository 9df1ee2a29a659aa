"""The circuit breaker, step by step and against random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.breaker import Breaker, BreakerOptions, State

from .virtual import SetClock

OPTIONS = BreakerOptions(failures=3, cooldown=5, longest=20)


def made() -> tuple[Breaker, SetClock]:
    clock = SetClock()
    return Breaker(OPTIONS, clock.monotonic), clock


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.admit() is None
        breaker.failed()


def test_opens_after_failures_in_a_row() -> None:
    breaker, _ = made()
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    fail(breaker, 1)
    assert breaker.state is State.OPEN
    assert breaker.admit() == 5


def test_a_success_in_between_starts_the_count_afresh() -> None:
    breaker, _ = made()
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state is State.CLOSED


def test_says_when_to_come_back() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.time = 3.5
    assert breaker.admit() == 1.5


def test_lets_one_probe_through_at_a_time() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.time = 5
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is None
    assert breaker.admit() is not None
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.admit() is None
    assert breaker.admit() is None


def test_waits_longer_after_each_failed_probe_up_to_a_limit() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    waits = []
    for _ in range(4):
        wait = breaker.admit()
        assert wait is not None
        waits.append(wait)
        clock.time += wait
        fail(breaker, 1)
    assert waits == [5, 10, 20, 20]
    clock.time += 20
    breaker.admit()
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.admit() == 5


def test_an_abandoned_probe_lets_another_through() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.time = 5
    assert breaker.admit() is None
    breaker.abandoned()
    assert breaker.admit() is None


@pytest.mark.parametrize("late", ["succeeded", "failed"])
def test_calls_that_were_under_way_when_it_opened(late: str) -> None:
    breaker, clock = made()
    for _ in range(4):
        assert breaker.admit() is None
    for _ in range(3):
        breaker.failed()
    clock.time = 4
    getattr(breaker, late)()
    assert breaker.state is (State.CLOSED if late == "succeeded" else State.OPEN)
    if late == "failed":
        assert breaker.admit() == 1, "a late failure does not prolong the wait"


@given(st.lists(st.sampled_from(["call ok", "call fail", "call abandon", "wait"]), max_size=60))
def test_never_stuck_and_never_hammers(history: list[str]) -> None:
    breaker, clock = made()
    failures_in_a_row = 0
    for step in history:
        if step == "wait":
            clock.time += 2
            continue
        refused = breaker.admit()
        if refused is not None:
            assert 0 < refused <= OPTIONS.longest
            assert failures_in_a_row >= OPTIONS.failures
            continue
        if step == "call ok":
            breaker.succeeded()
            failures_in_a_row = 0
        elif step == "call fail":
            breaker.failed()
            failures_in_a_row += 1
        else:
            breaker.abandoned()
    clock.time += OPTIONS.longest
    assert breaker.admit() is None
