"""Room in pools: one book with the scheduler's, nothing given twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.placing.placement import Placements
from controller.placing.refusals import Refusals
from controller.placing.rooms import Rooms
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.scheduler import Allocation, HostIndex, PoolScope, Reason
from controller.shared.lookups import register_all
from tests.support.cloud import POOL
from tests.support.volumes import volume

GI = 1 << 30
ZONE = [(PoolScope.ZONE, "z1")]


class World:
    """Pools and volumes that come, change and go."""

    def __init__(self) -> None:
        self.store, self.index, self.woken, self.now = Store(), HostIndex(), list[Key](), 1000.0
        self.refusals = Refusals(self.woken.append, lambda: self.now)
        register_all(self.store)
        self.rooms, self.placements = Rooms(self.store, self.index, self.refusals), Placements(self.store, self.index)
        self.version = 0

    def put(self, text: str, status: dict[str, Any] | None = None, name: str = "", **spec: Any) -> None:
        raw = yaml.safe_load(text)
        self.version += 1
        raw["metadata"]["name"] = name or raw["metadata"]["name"]
        uid = f"uid-{raw['metadata']['name']}"
        raw["metadata"] |= {"uid": uid, "generation": 1, "resourceVersion": str(self.version)}
        raw["metadata"].setdefault("namespace", "")
        raw["spec"] |= spec
        raw |= {"status": status} if status else {}
        if change := self.store.upsert(raw):
            self.placements.take(change)
            self.rooms.take(change)

    def pool(self, name: str = "s1", total: int = 100, free: int = 100, **spec: Any) -> None:
        capacity = {"total": f"{total}Gi", "available": f"{free}Gi"}
        self.put(POOL, {"state": "Up", "capacity": capacity}, name, path=f"/{name}", **spec)

    def remove(self, kind: str, name: str) -> None:
        if change := self.store.delete(Key(kind, "" if kind == "StoragePool" else "shop", name)):
            self.placements.take(change)
            self.rooms.take(change)


def test_volumes_and_vms_share_a_pool() -> None:
    world = World()
    world.pool()
    world.placements.occupy("vm", Allocation("h1", "s1", 1, GI, 120 * GI))
    assert world.rooms.best(ZONE, frozenset(), 81 * GI) is Reason.INSUFFICIENT_STORAGE
    assert world.rooms.best(ZONE, frozenset(), 80 * GI) == "s1"
    world.rooms.reserve("v", "s1", 50 * GI)
    assert world.index.pool_allocated("s1") == 170 * GI
    assert world.rooms.lack("vm", "s1", 150 * GI) == 0
    assert world.rooms.lack("vm", "s1", 151 * GI) == GI
    world.rooms.release("v")
    assert world.rooms.lack("vm", "s1", 151 * GI) == 0


@pytest.mark.parametrize(
    ("tags", "size", "expected"),
    [
        ([], 10, "empty"),
        (["ssd"], 10, "full"),
        (["ssd"], 30, Reason.INSUFFICIENT_STORAGE),
        (["tape"], 10, Reason.STORAGE_TAGS_MISMATCH),
    ],
)
def test_the_emptiest_with_the_tags(tags: list[str], size: int, expected: str) -> None:
    world = World()
    world.pool("full", tags=["ssd"])
    world.pool("empty")
    world.rooms.reserve("other", "full", 180 * GI)
    assert world.rooms.best(ZONE, frozenset(tags), size * GI) == expected


def test_no_pool_at_all_or_none_in_scope() -> None:
    world = World()
    assert world.rooms.best(ZONE, frozenset(), GI) is Reason.NO_STORAGE_POOL
    world.pool("local", scope="Host", host="h1")
    assert world.rooms.best(ZONE, frozenset(), GI) is Reason.NO_STORAGE_POOL
    assert world.rooms.best([(PoolScope.HOST, "h1")], frozenset(), GI) == "local"


def test_a_pool_that_is_really_full_takes_nothing() -> None:
    world = World()
    world.pool(free=1)
    assert world.rooms.best(ZONE, frozenset(), 20 * GI) is Reason.INSUFFICIENT_STORAGE
    assert world.rooms.lack("v", "s1", 20 * GI) == 9 * GI, "a tenth is kept free"


def test_what_statuses_say_counts_until_the_object_is_gone() -> None:
    world = World()
    world.pool()
    world.put(volume(size="7Gi"), {"pool": "s1"})
    assert world.index.pool_allocated("s1") == 7 * GI
    world.rooms.reserve("uid-data", "s1", 9 * GI)
    world.put(volume(size="9Gi"), {"pool": "s1", "size": "7Gi"})
    assert world.index.pool_allocated("s1") == 9 * GI, "what was decided since is not forgotten"
    world.remove("Volume", "data")
    assert world.index.pool_allocated("s1") == 0


def test_an_unknown_pool_lacks_nothing_that_could_be_told() -> None:
    assert World().rooms.lack("v", "none", GI) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60)), max_size=30))
def test_never_more_is_promised_than_twice_the_capacity(wishes: list[tuple[str, int]]) -> None:
    world = World()
    world.pool()
    for uid, size in wishes:
        if not world.rooms.lack(uid, "s1", size * GI):
            world.rooms.reserve(uid, "s1", size * GI)
        assert world.index.pool_allocated("s1") <= 200 * GI


def test_all_room_can_be_taken_from_statuses_anew() -> None:
    world = World()
    world.pool(total=100)
    world.put(volume(), {"pool": "s1", "size": "5Gi"})
    world.put(volume(), {"pool": "s1", "size": "50Gi"})
    assert world.index.pool_allocated("s1") == 5 * GI, "it grew while another process gave room out"
    asyncio.run(world.rooms.from_statuses())
    assert world.index.pool_allocated("s1") == 50 * GI
