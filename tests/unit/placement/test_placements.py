"""The scheduler's index follows the objects of the cloud, and a VM's size follows the room on its host."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.placing.placement import Placements
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.scheduler import Allocation, HostIndex, Placement, Rejection, Request
from controller.shared.lookups import register_all
from tests.support.cloud import CLUSTER, HOST, OFFERING, POD, POOL, ZONE

GI = 1 << 30
READY_HOST = {
    "state": "Up",
    "capacity": {"cpus": 8, "memory": "32Gi"},
    "conditions": [
        {"type": "Schedulable", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-11-20T10:00:00Z"},
    ],
}
READY_POOL = {"state": "Up", "capacity": {"total": "1Ti", "available": "1Ti"}}
VM = """
kind: VirtualMachine
metadata: {name: web, namespace: shop}
spec: {zone: z1, offering: small, template: {name: debian}}
"""
PLACED: dict[str, Any] = {"host": "h1", "cluster": "c1", "disks": [{"name": "root", "pool": "s1", "size": "10Gi"}]}


class World:
    """Objects that come, change and go."""

    def __init__(self) -> None:
        self.store = Store()
        register_all(self.store)
        self.placements = Placements(self.store, HostIndex())
        self.versions = 0

    def put(self, text: str, status: dict[str, Any] | None = None, **spec: Any) -> None:
        raw = yaml.safe_load(text)
        self.versions += 1
        raw["spec"] |= spec
        namespace = raw["metadata"].get("namespace", "")
        raw["metadata"] |= {"namespace": namespace, "uid": f"uid-{raw['metadata']['name']}", "generation": 1}
        raw["metadata"]["resourceVersion"] = str(self.versions)
        if status:
            raw["status"] = status
        if change := self.store.upsert(raw):
            self.placements.take(change)

    def remove(self, kind: str, name: str, namespace: str = "") -> None:
        if change := self.store.delete(Key(kind, namespace, name)):
            self.placements.take(change)

    def ready(self, **cluster: Any) -> None:
        for text in (ZONE, POD, OFFERING):
            self.put(text)
        self.put(CLUSTER, overcommit={"cpu": "1", "memory": "1"}, disableThreshold={"cpu": 100, "memory": 100}, **cluster)
        self.put(HOST, READY_HOST)
        self.put(POOL, READY_POOL)

    def place(self, uid: str = "x", cpus: int = 2, memory: int = 4 * GI) -> Placement | Rejection:
        return self.placements.place(Request(uid, "z1", cpus, memory, 10 * GI))


def test_place_in_a_ready_cloud() -> None:
    world = World()
    world.ready()
    assert world.place() == Placement("h1", "c1", "s1")
    assert world.placements.size("x") == Allocation("h1", "s1", 2, 4 * GI, 10 * GI)
    world.placements.release("x")
    assert world.placements.size("x") is None


DISABLED: list[tuple[str, dict[str, Any] | None, dict[str, Any], str]] = [
    (ZONE, None, {"allocationState": "Disabled"}, "ZoneDisabled"),
    (POD, None, {"allocationState": "Disabled"}, "PodDisabled"),
    (CLUSTER, None, {"allocationState": "Disabled"}, "ClusterDisabled"),
    (HOST, READY_HOST, {"adminState": "Disabled"}, "HostDisabled"),
    (HOST, {**READY_HOST, "state": "Down"}, {}, "HostDown"),
    (HOST, {**READY_HOST, "state": "Alert"}, {}, "HostDown"),
    (HOST, {**READY_HOST, "state": "Error"}, {}, "HostRefused"),
    (POOL, READY_POOL, {"allocationState": "Disabled"}, "NoStoragePool"),
    (POOL, {**READY_POOL, "state": "Error"}, {}, "NoStoragePool"),
    (POOL, {**READY_POOL, "capacity": {"total": "1Gi", "available": "1Gi"}}, {}, "InsufficientStorage"),
]


@pytest.mark.parametrize(("text", "status", "spec", "reason"), DISABLED)
def test_what_is_closed_takes_no_vms_until_it_is_open_again(
    text: str, status: dict[str, Any] | None, spec: dict[str, Any], reason: str
) -> None:
    world = World()
    world.ready()
    world.put(text, status, **spec)
    answer = world.place()
    assert isinstance(answer, Rejection)
    assert reason in answer.counts
    world.ready()
    assert isinstance(world.place(), Placement)


@pytest.mark.parametrize(("kind", "name"), [("Host", "h1"), ("StoragePool", "s1"), ("Cluster", "c1")])
def test_what_is_gone_takes_no_vms(kind: str, name: str) -> None:
    world = World()
    world.ready()
    world.remove(kind, name)
    assert isinstance(world.place(), Rejection)


@given(order=st.permutations([ZONE, POD, CLUSTER, HOST, POOL, OFFERING, VM]))
def test_order_of_arrival_makes_no_difference(order: Sequence[str]) -> None:
    """Kinds are listed side by side after a restart."""
    world = World()
    statuses: dict[str, dict[str, Any]] = {HOST: READY_HOST, POOL: READY_POOL, VM: PLACED}
    for text in order:
        world.put(text, statuses.get(text))
    assert world.placements.size("uid-web") == Allocation("h1", "s1", 2, 4 * GI, 10 * GI)
    assert isinstance(world.place(), Placement)


def test_vm_that_is_gone_gives_its_room_back() -> None:
    world = World()
    world.ready()
    world.put(VM, PLACED)
    assert isinstance(world.place("big", cpus=7), Rejection)
    world.remove("VirtualMachine", "web", "shop")
    assert world.placements.size("uid-web") is None
    assert isinstance(world.place("big", cpus=7), Placement)


def test_status_does_not_undo_what_was_decided_since() -> None:
    world = World()
    world.ready()
    world.placements.occupy("uid-web", Allocation("h1", "s1", 4, 8 * GI, 20 * GI))
    world.put(VM, PLACED)
    assert world.placements.size("uid-web") == Allocation("h1", "s1", 4, 8 * GI, 20 * GI)


RESIZES = [
    # others, wanted CPUs, has, lacks, counted CPUs
    (0, 8, 2, False, 8),
    (0, 9, 2, True, 2),
    (4, 4, 2, False, 4),
    (4, 5, 2, True, 2),
    (8, 2, 2, False, 2),  # an overfull host takes nothing away
    (8, 1, 2, False, 1),
    (8, 3, 2, True, 2),
    (6, 4, 4, False, 4),  # it has that already
]


@pytest.mark.parametrize(("others", "wanted", "has", "lacks", "counted"), RESIZES)
@pytest.mark.parametrize("recorded", [2, 5], ids=["as it is", "as it waits to be"])
def test_resize(others: int, wanted: int, has: int, lacks: bool, counted: int, recorded: int) -> None:
    """What was recorded for a VM after a restart may be a size that it never got; the answer is the same."""
    world = World()
    world.ready()
    world.placements.occupy("others", Allocation("h1", "s1", others, 4 * GI, 0))
    world.placements.occupy("x", Allocation("h1", "s1", recorded, 4 * GI, 10 * GI))
    lack = world.placements.resize("x", wanted, 4 * GI, 30 * GI, (has, 4 * GI))
    assert bool(lack) is lacks
    assert world.placements.size("x") == Allocation("h1", "s1", counted, 4 * GI, 30 * GI)
    if lack:
        assert "h1" in lack
        assert "CPUs" in lack


def test_resize_of_what_has_no_place_or_no_known_host_is_let_through() -> None:
    world = World()
    world.ready()
    assert world.placements.resize("nobody", 99, 99, 99, None) == ""
    world.placements.occupy("x", Allocation("unknown", "s1", 1, GI, GI))
    assert world.placements.resize("x", 99, 99, 99, (1, GI)) == ""


@given(sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 20)), max_size=12))
def test_growing_never_gives_more_than_there_is(sizes: list[tuple[int, int]]) -> None:
    world = World()
    world.ready()
    real: dict[str, tuple[int, int]] = {}
    for number, (cpus, memory) in enumerate(sizes):
        uid = f"vm-{number % 3}"
        if uid not in real:
            if isinstance(world.place(uid, cpus, memory * GI), Placement):
                real[uid] = (cpus, memory * GI)
        elif not world.placements.resize(uid, cpus, memory * GI, 10 * GI, real[uid]):
            real[uid] = (cpus, memory * GI)
    assert sum(cpus for cpus, _ in real.values()) <= 8
    assert sum(memory for _, memory in real.values()) <= 32 * GI
    for uid, (cpus, memory) in real.items():
        held = world.placements.size(uid)
        assert held is not None
        assert (held.cpus, held.memory) == (cpus, memory)


GROUP = {"antiAffinity": {"group": "web"}}


@given(order=st.permutations([OFFERING, HOST, VM]))
def test_group_and_given_back_room_are_read_from_the_object_in_any_order(order: Sequence[str]) -> None:
    world = World()
    for text in (ZONE, POD, CLUSTER, POOL, *order):
        if text == VM:
            world.put(VM, PLACED | {"roomReleased": True}, placement=GROUP)
        else:
            world.put(text)
    assert world.placements.size("uid-web") == Allocation("h1", "s1", 0, 0, 10 * GI, "shop/web")


def test_a_group_that_changes_is_taken_over_and_the_size_stays() -> None:
    world = World()
    world.ready()
    world.put(VM, PLACED, placement=GROUP)
    world.put(VM, PLACED, placement={"antiAffinity": {"group": "db"}})
    assert world.placements.size("uid-web") == Allocation("h1", "s1", 2, 4 * GI, 10 * GI, "shop/db")
    world.put(VM, PLACED)
    assert world.placements.size("uid-web") == Allocation("h1", "s1", 2, 4 * GI, 10 * GI)


def test_what_the_cluster_and_the_pool_say_reaches_the_scheduler() -> None:
    world = World()
    world.ready(maxGuestsPerHost=1)
    assert isinstance(world.place("a"), Placement)
    answer = world.place("b")
    assert isinstance(answer, Rejection)
    assert answer.counts == {"TooManyGuests": 1}
    world.placements.release_room("a", 0)
    world.put(POOL, READY_POOL | {"hostsFailing": ["h1"]})
    answer = world.place("b")
    assert isinstance(answer, Rejection)
    assert answer.counts == {"NoStoragePool": 1}
    world.put(POOL, READY_POOL)
    assert isinstance(world.place("b"), Placement)


def test_room_that_was_given_back_is_taken_again_only_while_there_is_some() -> None:
    world = World()
    world.ready()
    world.placements.occupy("x", Allocation("h1", "s1", 4, 8 * GI, 10 * GI, "shop/web"))
    world.placements.release_room("x", 20 * GI)
    assert world.placements.size("x") == Allocation("h1", "s1", 0, 0, 20 * GI, "shop/web")
    world.placements.occupy("others", Allocation("h1", "s1", 6, 8 * GI, 0))
    assert world.placements.resize("x", 4, 8 * GI, 20 * GI, (0, 0)) == "host h1 lacks 2 CPUs"
    assert world.placements.size("x") == Allocation("h1", "s1", 0, 0, 20 * GI, "shop/web")
    assert world.placements.resize("x", 2, 8 * GI, 20 * GI, (0, 0)) == ""
    assert world.placements.size("x") == Allocation("h1", "s1", 2, 8 * GI, 20 * GI, "shop/web")
    world.placements.release_room("nobody", 0)
    assert world.placements.size("nobody") is None


def test_all_places_can_be_taken_from_statuses_anew() -> None:
    """A process that did not place VMs itself has seen them once, and not what became of them."""
    world = World()
    for text in (ZONE, POD, CLUSTER, POOL, OFFERING):
        world.put(text)
    world.put(HOST, READY_HOST)
    world.put(VM, PLACED)
    world.placements.occupy("uid-gone", Allocation("h1", "s1", 1, GI, GI))
    moved = {**PLACED, "host": "h2", "roomReleased": True}
    world.put(VM, moved)
    held = world.placements.size("uid-web")
    assert held is not None
    assert held.host == "h1"
    asyncio.run(world.placements.from_statuses())
    assert world.placements.size("uid-web") == Allocation("h2", "s1", 0, 0, 10 * GI)
    assert world.placements.size("uid-gone") is not None, "what has no object here is not a VM that others placed"
