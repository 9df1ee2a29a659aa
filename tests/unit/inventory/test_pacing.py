"""When an endpoint is tried again: soon, then later and later, and never so often that an account gets locked."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.inventory import Cadence
from controller.inventory.pacing import Pace
from drivers.errors import AuthFailed, Busy, DriverError, InvalidSpec, Transient, Unanswered, Unsupported
from drivers.types import Capability

LOST = (Transient("gone"), Unanswered("silent"), Busy("full"), DriverError("odd"))
REFUSED = (AuthFailed("no"), InvalidSpec("no"), Unsupported("old"))

VCENTER_FAILURES, VCENTER_SECONDS = 5, 180
"""By default an account is locked at this many failed logins within this time."""


ALL = frozenset(Capability)


def test_how_often_all_is_looked_at_follows_what_events_tell() -> None:
    cadence = Cadence()
    assert cadence.looks(ALL, "u") == cadence.resync
    assert cadence.looks(ALL - {Capability.EVENTS}, "u") == cadence.poll
    assert cadence.looks(frozenset(), "u") == cadence.poll


@given(st.text())
def test_where_events_leave_something_out_it_is_about_a_minute(url: str) -> None:
    cadence = Cadence()
    looks = cadence.looks(ALL - {Capability.DEFINITION_EVENTS}, url)
    assert 0.9 * cadence.untold <= looks <= 1.1 * cadence.untold
    assert looks == cadence.looks(ALL - {Capability.DEFINITION_EVENTS}, url)


def test_endpoints_are_not_all_looked_at_together() -> None:
    some = ALL - {Capability.DEFINITION_EVENTS}
    paces = sorted(Cadence().looks(some, f"qemu+tls://kvm-{number}/system") for number in range(1000))
    assert len(set(paces)) > 990
    assert paces[100] < 56 < 64 < paces[-100]


@pytest.mark.parametrize("failure", LOST)
def test_what_does_not_answer_is_tried_soon_and_then_later(failure: DriverError) -> None:
    pace = Pace(Cadence())
    assert [pace.after(failure, 0.1) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("failure", REFUSED)
def test_what_refuses_is_tried_after_a_minute_and_then_later(failure: DriverError) -> None:
    pace = Pace(Cadence())
    assert [pace.after(failure, 0.1) for _ in range(5)] == [60, 120, 240, 300, 300]


def test_both_begin_anew_once_a_connection_has_lasted() -> None:
    pace, cadence = Pace(Cadence()), Cadence()
    for _ in range(9):
        pace.after(LOST[0], 1)
        pace.after(REFUSED[0], 1)
    assert (pace.after(LOST[0], cadence.last_retry), pace.after(REFUSED[0], cadence.last_retry)) == (30, 300)
    assert pace.after(LOST[0], cadence.last_retry + 1) == cadence.first_retry
    assert pace.after(REFUSED[0], 0) == cadence.first_refused


@given(st.lists(st.sampled_from(LOST + REFUSED), min_size=1, max_size=60))
def test_no_order_of_failures_gets_an_account_locked(failures: list[DriverError]) -> None:
    """Each attempt that comes to nothing at once; a refusal is a failed login. Two shards log in on their own."""
    pace = Pace(Cadence())
    pauses = [pace.after(failure, 0) for failure in failures]
    moments = [0.0, *accumulate(pauses)]
    logins = [moment for moment, failure in zip(moments, failures, strict=False) if failure in REFUSED]
    most = max((sum(first <= other < first + VCENTER_SECONDS for other in logins) for first in logins), default=0)
    assert 2 * most < VCENTER_FAILURES


@given(st.lists(st.tuples(st.sampled_from(LOST + REFUSED), st.floats(0, 100)), min_size=1, max_size=60))
def test_nobody_waits_longer_than_the_longest_pause(ends: list[tuple[DriverError, float]]) -> None:
    pace, cadence = Pace(Cadence()), Cadence()
    for failure, lasted in ends:
        pause = pace.after(failure, lasted)
        first, last = (
            (cadence.first_refused, cadence.last_refused) if failure in REFUSED else (cadence.first_retry, cadence.last_retry)
        )
        assert first <= pause <= last
