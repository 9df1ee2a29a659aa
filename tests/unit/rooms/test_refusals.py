"""Refusals for want of room: later and later, and at once when there is more."""

from __future__ import annotations

from typing import Any

import pytest

from controller.placing.refusals import FIRST_DELAY, PAUSE
from controller.runtime.keys import Key
from drivers.errors import NoRoom
from tests.support.cloud import POOL
from tests.unit.rooms.test_rooms import GI, World

DATA, OTHER = Key("Volume", "shop", "data"), Key("Volume", "shop", "other")
LOOK = Key("StoragePool", "", "s1")
FULL = NoRoom.of("the pool s1", 10 * GI, 3 * GI)


def measured(world: World, **capacity: Any) -> None:
    world.put(POOL, {"state": "Up", "capacity": {"total": "100Gi", "available": "3Gi", "allocated": "50Gi"} | capacity}, "s1")


def test_what_is_said_names_the_pool_and_both_sizes() -> None:
    refusal = World().refusals.note(DATA, "u", "s1", FULL)
    assert refusal.message == "no room in storage pool s1: the pool s1 has 3Gi free of the 10Gi needed"


def test_it_rests_longer_each_time_and_not_for_ever() -> None:
    world, rests = World(), []
    for _ in range(8):
        refusal = world.refusals.note(DATA, "u", "s1", FULL)
        rests.append(refusal.until - world.now)
        assert world.refusals.resting("u", "s1") is refusal
        assert world.refusals.wait(refusal).retry_after == rests[-1]
        world.now = refusal.until
        assert world.refusals.resting("u", "s1") is None
    assert rests == [FIRST_DELAY, 4, 8, 16, 32, PAUSE, PAUSE, PAUSE]
    world.refusals.forget("u")
    assert world.refusals.note(DATA, "u", "s1", FULL).until - world.now == FIRST_DELAY


def test_each_object_has_its_own_and_each_pool_too() -> None:
    world = World()
    world.refusals.note(DATA, "u", "s1", FULL)
    world.refusals.note(DATA, "u", "s1", FULL)
    world.refusals.note(DATA, "u", "s2", FULL)
    assert world.refusals.pools("u") == {"s1", "s2"}
    assert [each.pool for each in world.refusals.of("u")] == ["s2", "s1"], "the next to be tried is first"
    assert world.refusals.pools("other") == frozenset()
    world.now += FIRST_DELAY
    assert world.refusals.pools("u") == {"s1"}


def test_the_pool_is_looked_at_for_that() -> None:
    """And now and then as long as something waits for it."""
    world = World()
    assert not world.refusals.awaited("s1")
    world.refusals.note(DATA, "u", "s1", FULL)
    assert world.woken == [LOOK]
    world.now += 1000
    assert (world.refusals.awaited("s1"), world.refusals.awaited("s2")) == (True, False)
    world.refusals.forget("u")
    assert not world.refusals.awaited("s1")


@pytest.mark.parametrize(
    ("capacity", "woken"),
    [
        ({"available": "4Gi"}, True),
        ({"total": "200Gi"}, True),
        ({"available": "2Gi", "total": "200Gi"}, True),
        ({"available": "2Gi"}, False),
        ({"allocated": "1Gi"}, False),
        ({}, False),
    ],
)
def test_more_room_wakes_those_that_the_pool_refused(capacity: dict[str, str], woken: bool) -> None:
    """What was promised and given back is no room yet: the pool is looked at for that, and then says so."""
    world = World()
    measured(world)
    world.refusals.note(DATA, "u", "s1", FULL)
    world.refusals.note(OTHER, "w", "s2", FULL)
    world.woken.clear()
    measured(world, **capacity)
    assert world.woken == [DATA] * woken
    assert (world.refusals.resting("u", "s1") is None) is woken
    assert world.refusals.resting("w", "s2") is not None
    assert world.refusals.note(DATA, "u", "s1", FULL).tries == 2, "it goes on where it was, should that not be enough"


def test_a_pool_that_is_seen_first_or_again_after_it_was_deleted_has_no_more_than_before() -> None:
    world = World()
    world.refusals.note(DATA, "u", "s1", FULL)
    world.woken.clear()
    measured(world)
    world.remove("StoragePool", "s1")
    measured(world, available="90Gi")
    assert world.woken == []
