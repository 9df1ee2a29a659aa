"""Delays that grow from try to try, and never too far to be computed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.backoff import Backoff


def test_each_is_twice_the_one_before_up_to_the_longest() -> None:
    assert [Backoff(2.0, 60.0).delay(times) for times in range(7)] == [2, 4, 8, 16, 32, 60, 60]


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_number_of_tries_is_too_many(times: int, random: float) -> None:
    assert 60 * 0.7 <= Backoff(2.0, 60.0).delay(times + 5, random) <= 60
