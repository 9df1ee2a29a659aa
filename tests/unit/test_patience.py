"""When work that fails is tried again, and when no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.context import Context
from controller.runtime.results import Requeue, Waiting
from controller.shared.patience import LONGEST_BUSY, PAUSE, TRIES, GivenUp, Patience
from drivers.errors import AuthFailed, Busy, Conflict, DriverError, InvalidSpec, NotFound, Transient, Unsupported
from tests.unit.runtime.virtual import SetClock

KNOWN = Transient("no room", native_code="E1")
LOST = Transient("no answer", outcome_unknown=True)


def wish(clock: SetClock, generation: int = 1, *, deleting: bool = False, uid: str = "u") -> Context[Any]:
    """What Patience sees of a reconcile."""
    metadata = SimpleNamespace(generation=generation)
    return cast("Context[Any]", SimpleNamespace(uid=uid, deleting=deleting, clock=clock, object=SimpleNamespace(metadata=metadata)))


def left(patience: Patience, ctx: Context[Any]) -> float:
    """Seconds until the next try."""
    match patience.rest(ctx):
        case Waiting(retry_after=float() as seconds) | Requeue(after=float() as seconds):
            return seconds
    return 0.0


def fail(patience: Patience, clock: SetClock, errors: list[DriverError]) -> list[float]:
    """Let the tries fail so, each as soon as its time has come; the delays between them."""
    ctx, delays = wish(clock), []
    for error in errors:
        assert patience.failed(ctx, error, known=error is not LOST) is None
        delays.append(left(patience, ctx))
        clock.time += delays[-1]
        assert left(patience, ctx) == 0
    return delays


def test_each_delay_is_twice_the_last() -> None:
    assert fail(Patience(), SetClock(), [KNOWN] * (TRIES - 1)) == [2, 4, 8, 16, 32, 64, 128]


def test_the_last_try_is_followed_by_a_pause_and_then_by_as_many() -> None:
    patience, clock = Patience(), SetClock()
    for _ in range(2):
        fail(patience, clock, [KNOWN] * (TRIES - 1))
        given_up = patience.failed(wish(clock), KNOWN, known=True)
        assert isinstance(given_up, GivenUp)
        assert str(given_up) == f"no room; given up after {TRIES} tries (E1)"
        assert (given_up.reason, given_up.outcome_unknown) == (KNOWN.reason, False)
        rest = patience.rest(wish(clock))
        assert (left(patience, wish(clock)), rest and rest.message) == (PAUSE, str(given_up))
        clock.time += PAUSE


@given(st.lists(st.sampled_from([KNOWN, LOST]), max_size=60))
def test_only_failures_of_known_outcome_are_counted_and_delays_only_grow(errors: list[DriverError]) -> None:
    """And no row ends while one of unknown outcome may be at work: its volume would be written by two."""
    patience, clock, known, doubt = Patience(), SetClock(), 0, 0.0
    for number, error in enumerate(errors):
        known += error is KNOWN
        doubt = clock.time + LONGEST_BUSY if error is LOST else doubt
        given_up = patience.failed(wish(clock), error, known=error is KNOWN)
        long = clock.time >= LONGEST_BUSY
        assert (given_up is not None) == (clock.time >= doubt and (known >= TRIES or long))
        if given_up:
            return
        assert left(patience, wish(clock)) == min(PAUSE, 2.0 ** (number + 1))
        clock.time += left(patience, wish(clock))


@pytest.mark.parametrize("later", [{}, {"generation": 2}, {"deleting": True}])
def test_a_call_that_nobody_heard_of_again_may_be_at_work_for_an_hour(later: dict[str, Any]) -> None:
    patience, clock = Patience(), SetClock()
    patience.doubt(wish(clock))
    assert left(patience, wish(clock)) == 0
    begun, ctx = clock.time, wish(clock, **later)
    while patience.failed(ctx, KNOWN, known=True) is None:
        assert clock.time < begun + LONGEST_BUSY
        clock.time += left(patience, ctx)
    assert clock.time >= begun + LONGEST_BUSY


def test_what_was_observed_makes_an_outcome_known() -> None:
    patience, clock = Patience(), SetClock()
    for _ in range(TRIES - 1):
        assert patience.failed(wish(clock), LOST, known=True) is None
    given_up = patience.failed(wish(clock), LOST, known=True)
    assert given_up is not None
    assert given_up.outcome_unknown


def test_a_busy_hypervisor_is_asked_as_often_as_it_says_for_an_hour() -> None:
    patience, clock, busy = Patience(), SetClock(), Busy("at work", retry_after=7.0)
    asked = 0
    while patience.failed(wish(clock), busy, known=True) is None:
        assert isinstance(patience.rest(wish(clock)), Requeue)
        assert left(patience, wish(clock)) == 7.0
        clock.time += 7.0
        asked += 1
    assert asked * 7.0 == pytest.approx(LONGEST_BUSY, abs=7.0)


@pytest.mark.parametrize("kind", [Conflict, NotFound, InvalidSpec, AuthFailed, Unsupported])
def test_what_does_not_pass_is_no_matter_of_patience(kind: type[DriverError]) -> None:
    patience, clock = Patience(), SetClock()
    for _ in range(2 * TRIES):
        assert patience.failed(wish(clock), kind("no"), known=True) is None
        assert patience.rest(wish(clock)) is None


@pytest.mark.parametrize("other", [{"generation": 2}, {"deleting": True}, {"uid": "v"}])
def test_another_wish_is_tried_at_once_and_has_tries_of_its_own(other: dict[str, Any]) -> None:
    patience, clock = Patience(), SetClock()
    fail(patience, clock, [KNOWN] * (TRIES - 1))
    assert patience.failed(wish(clock), KNOWN, known=True)
    assert left(patience, wish(clock, **other)) == 0
    assert patience.failed(wish(clock, **other), KNOWN, known=True) is None
    assert left(patience, wish(clock, **other)) == 2


def test_a_success_is_a_new_beginning() -> None:
    patience, clock = Patience(), SetClock()
    fail(patience, clock, [KNOWN] * (TRIES - 1))
    patience.forget("u")
    patience.forget("nobody")
    assert fail(patience, clock, [KNOWN]) == [2]
