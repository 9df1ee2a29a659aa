"""The slope that a soak calls flat or not."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.memory import WARM_UP, Memory, growth, resident


def line(level: float, slope: float, minutes: int, first: int = 0) -> list[tuple[float, float]]:
    """Memory that grows by `slope` MiB per minute."""
    return [(float(minute), level + slope * minute) for minute in range(first, minutes)]


@given(st.floats(50, 500), st.floats(50, 500), st.floats(-1, 1))
def test_one_slope_is_found_whatever_the_level_of_each_process(one: float, two: float, slope: float) -> None:
    found = growth({"a 1": line(one, slope, 30), "b 2": line(two, slope, 25)})
    assert found == pytest.approx(60 * slope, abs=1e-6)


def test_a_process_that_took_the_place_of_another_is_no_growth() -> None:
    assert growth({"a 1": line(100, 0, 40), "a 2": line(200, 0, 40)}) == pytest.approx(0)


def test_what_a_start_fills_is_no_growth() -> None:
    start = [(minute, 50.0 + 20 * minute) for minute in range(int(WARM_UP))]
    assert growth({"a 1": [*start, *line(150, 0, 30, first=int(WARM_UP))]}) == pytest.approx(0)


@pytest.mark.parametrize("minutes", [0, 3, int(WARM_UP) + 9])
def test_too_short_a_life_tells_nothing(minutes: int) -> None:
    assert growth({"a 1": line(100, 5, minutes)}) is None


def test_lives_begin_when_they_are_seen_first() -> None:
    memory = Memory()
    for minute in range(40, 70):
        memory.take("a 1", float(minute), 100 + minute)
    assert memory.lives["a 1"][0] == (0.0, 140.0)
    assert memory.growth() == pytest.approx(60)


def test_resident_memory_is_that_of_the_process() -> None:
    assert 10 < resident(os.getpid()) < 10_000
