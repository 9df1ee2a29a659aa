"""Results, the conditions they lead to, and what kstatus makes of those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.conditions import Conditions
from controller.runtime.results import Done, Failed, Requeue, Result, Waiting, done, failed, requeue, waiting

from .models import Condition

NOW = datetime(2026, 11, 20, 10, 0, 0, 900_000, tzinfo=UTC)

reasons = st.sampled_from(["Running", "NoHost", "Broken", "Booting"])
results: st.SearchStrategy[Result] = st.one_of(
    st.builds(done, reasons),
    st.builds(requeue, st.floats(0, 100), reasons),
    st.builds(waiting, reasons, retry_after=st.none() | st.floats(0, 100)),
    st.builds(failed, reasons, st.text(max_size=5), terminal=st.booleans()),
)


def editor(items: list[Any], generation: int = 1, now: datetime = NOW) -> Conditions:
    return Conditions(items, Condition, generation, now)


def kstatus(items: list[Condition], generation: int, observed: int) -> str:
    """The generic rules of kstatus, from its README: generation first, then Stalled, then Reconciling, then Ready."""
    by_type = {item.type: item.status for item in items}
    if observed != generation:
        return "InProgress"
    if by_type.get("Stalled") == "True":
        return "Failed"
    if by_type.get("Reconciling") == "True":
        return "InProgress"
    return {"True": "Current", "False": "InProgress", "Unknown": "InProgress"}.get(by_type.get("Ready", ""), "Current")


@given(st.lists(results, min_size=1, max_size=6))
def test_after_any_history_the_last_result_decides(history: list[Result]) -> None:
    items: list[Any] = []
    for step, result in enumerate(history):
        editor(items, now=NOW + timedelta(seconds=step)).apply(result)
    types = [item.type for item in items]
    last = history[-1]
    expected = {Done: "Current", Requeue: "InProgress", Waiting: "InProgress"}.get(type(last))
    if isinstance(last, Failed):
        expected = "Failed" if last.terminal else "InProgress"
    assert kstatus(items, 1, 1) == expected
    assert types in (["Ready"], ["Ready", "Reconciling"], ["Ready", "Stalled"])
    assert all(item.reason == last.reason for item in items)


def test_last_transition_time_moves_with_the_status_only() -> None:
    items: list[Any] = []
    for second, status in enumerate([False, False, True, True, False]):
        editor(items, now=NOW + timedelta(seconds=second)).set("Placed", status, "Reason", str(second))
    assert items[0].last_transition_time == "2026-11-20T10:00:04Z"
    editor(items, now=NOW + timedelta(seconds=9)).set("Placed", False, "Other", "text")
    assert items[0].last_transition_time == "2026-11-20T10:00:04Z"
    assert (items[0].reason, items[0].message) == ("Other", "text")


def test_what_is_said_again_stays_the_condition_that_it_was() -> None:
    items: list[Any] = []
    editor(items).set("Placed", True, "Reason", "text" * 1000)
    [before] = items
    editor(items, now=NOW + timedelta(seconds=9)).set("Placed", True, "Reason", "text" * 1000)
    assert items[0] is before


@pytest.mark.parametrize(
    "change",
    [{"status": False}, {"status": "Unknown"}, {"reason": "Other"}, {"message": "other"}, {"generation": 2}],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_a_condition_counts(change: dict[str, Any]) -> None:
    items: list[Any] = []
    editor(items).set("Placed", True, "Reason", "text")
    [before], now = items, {"status": True, "reason": "Reason", "message": "text", "generation": 1} | change
    editor(items, generation=now.pop("generation")).set("Placed", **now)
    assert items[0] != before


def test_times_are_whole_seconds_in_utc() -> None:
    items: list[Any] = []
    editor(items, now=NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))).set("Placed", True, "Reason")
    assert items[0].last_transition_time == "2026-11-20T10:00:00Z"


def test_each_condition_names_the_generation_it_speaks_of() -> None:
    items: list[Any] = []
    editor(items, generation=3).set("Placed", True, "Reason")
    editor(items, generation=4).apply(done("Running"))
    assert {item.type: item.observed_generation for item in items} == {"Ready": 4, "Placed": 3}


@given(st.permutations(["Ready", "Reconciling", "Placed", "DisksReady", "Stalled", "Paused"]))
def test_order_does_not_depend_on_history(types: list[str]) -> None:
    items: list[Any] = []
    for type in types:
        editor(items).set(type, True, "Reason")
    assert [item.type for item in items] == ["Ready", "Reconciling", "Stalled", "Paused", "DisksReady", "Placed"]


def test_read_and_remove() -> None:
    items: list[Any] = []
    conditions = editor(items)
    conditions.set("Placed", "Unknown", "Reason")
    assert conditions.get("Placed") is items[0]
    assert not conditions.is_true("Placed")
    conditions.set("Placed", True, "Reason")
    assert conditions.is_true("Placed")
    assert [item.type for item in conditions] == ["Placed"]
    conditions.remove("Placed")
    conditions.remove("Placed")
    assert conditions.get("Placed") is None
    assert not conditions.is_true("Placed")


def test_a_long_message_is_cut() -> None:
    items: list[Any] = []
    editor(items).set("Placed", False, "Reason", "x" * 50_000)
    assert len(items[0].message) == 1024
    assert items[0].message.endswith("…")


@pytest.mark.parametrize("reason", ["", "has space", "1Digit", "ends:", "é", "x" * 300, "new\nline"])
def test_reasons_that_the_api_refuses_are_refused_here(reason: str) -> None:
    for make in (lambda: done(reason), lambda: requeue(1, reason), lambda: waiting(reason), lambda: failed(reason, "x")):
        with pytest.raises(ValueError, match="not a condition reason"):
            make()


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_delays_are_not_negative(delay: float) -> None:
    makers = (
        lambda: requeue(delay, "R"),
        lambda: waiting("R", retry_after=delay),
        lambda: failed("R", "x", retry_after=delay),
        lambda: done("R", recheck_after=delay),
    )
    for make in makers:
        with pytest.raises(ValueError, match="not negative"):
            make()


def test_a_terminal_failure_has_no_retry() -> None:
    with pytest.raises(ValueError, match="not retried"):
        failed("R", "x", terminal=True, retry_after=1)
