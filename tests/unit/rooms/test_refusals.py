"""A pool that has no room for days is asked as often as on the first one."""

from __future__ import annotations

import pytest

from controller.placing.refusals import FIRST_DELAY, PAUSE, Refusals
from controller.runtime.keys import Key
from drivers.errors import NoRoom

KEY = Key("Volume", "shop", "data")
TRIES_OF_THREE_DAYS = 3 * 24 * 60


def test_later_and_later_and_then_each_minute_for_days() -> None:
    now, delays = 0.0, []
    refusals = Refusals(lambda _key: None, lambda: now)
    for _ in range(TRIES_OF_THREE_DAYS):
        until = refusals.note(KEY, "u1", "p1", NoRoom("full")).until
        delays.append(until - now)
        now = until
    assert delays[:6] == pytest.approx([FIRST_DELAY, 4, 8, 16, 32, PAUSE])
    assert (min(delays[6:]), max(delays[6:])) == pytest.approx((PAUSE, PAUSE))
