"""Which shard a VM is in, by its status alone, and which one it is to be given to."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.inventory import Inventory
from controller.placing.sharding import Sharding
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import register_all
from crds.v1alpha1 import Cluster, VirtualMachine
from drivers.types import InstanceID

WEB = Key("VirtualMachine", "shop", "web")
SPEC: dict[str, Any] = {"zone": "z1", "offering": "small", "template": {"name": "debian"}}
PLACED: dict[str, Any] = {"host": "h1", "cluster": "c1", "disks": [{"name": "root", "pool": "s1", "size": "10Gi"}]}


class Link:
    def __init__(self) -> None:
        self.doubted: list[InstanceID] = []

    def doubt(self, instance: InstanceID) -> None:
        self.doubted.append(instance)


class World:
    def __init__(self, count: int = 2) -> None:
        self.store, self.links = Store(), {"h1": Link()}
        register_all(self.store)
        self.link = lambda name: self.links.get(name)
        self.sharding = Sharding(self.store, cast("Inventory", self), count, {0}.__contains__)
        self.version = 0

    def put(self, kind: str, name: str, spec: dict[str, Any], status: Any = None, namespace: str = "", uid: str = "") -> None:
        self.version += 1
        metadata = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "generation": 1}
        metadata["resourceVersion"] = str(self.version)
        change = self.store.upsert({"kind": kind, "metadata": metadata, "spec": spec, "status": status or {}})
        if change:
            self.sharding.take(change)

    def vm(self, status: Any = None, **spec: Any) -> VirtualMachine:
        self.put("VirtualMachine", "web", {**SPEC, **spec}, status, "shop")
        found = self.store.get(VirtualMachine, "web", "shop")
        assert found is not None
        return found

    def cluster(self, uid: str) -> Cluster:
        self.put("Cluster", "c1", {"zone": "z1", "pod": "p1", "hypervisor": "Simulator"}, uid=uid)
        self.put("Host", "h1", {"cluster": "c1"})
        found = self.store.get(Cluster, "c1")
        assert found is not None
        return found

    def home(self, shard: int) -> Cluster:
        """A cluster of this home."""
        return next(each for n in range(100) if self.sharding.home(each := self.cluster(f"uid-{n}")) == shard)


@given(st.one_of(st.none(), st.integers(-5, 20), st.text(), st.booleans(), st.lists(st.integers())), st.integers(1, 16))
def test_every_version_of_a_vm_is_in_one_shard_whatever_its_status_says(recorded: Any, count: int) -> None:
    world = World(count)
    world.store.upsert(
        {
            "kind": "VirtualMachine",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": SPEC,
            "status": {"shard": recorded},
        }
    )
    shard = world.sharding.shard(WEB)
    assert 0 <= shard < count
    assert shard == (recorded if isinstance(recorded, int) and 0 < recorded < count else 0)


@pytest.mark.parametrize("kind", ["Host", "Cluster", "Volume", "Snapshot", "Template", "Network", "Zone"])
def test_all_else_is_in_shard_0(kind: str) -> None:
    world = World(8)
    world.store.upsert(
        {
            "kind": kind,
            "metadata": {"name": "x", "namespace": "", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {},
            "status": {"shard": 3},
        }
    )
    assert world.sharding.shard(Key(kind, "", "x")) == 0
    assert world.sharding.shard(Key(kind, "", "gone")) == 0


def test_one_that_is_gone_is_shard_0s() -> None:
    assert World(8).sharding.shard(WEB) == 0


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_homes_are_the_same_everywhere_and_even(count: int) -> None:
    one, other = World(count), World(count)
    homes = Counter()  # type: ignore[var-annotated]
    for number in range(100 * count):
        cluster = one.cluster(f"{number:032x}")
        assert one.sharding.home(cluster) == other.sharding.home(cluster)
        homes[one.sharding.home(cluster)] += 1
    assert set(homes) == set(range(count))
    assert max(homes.values()) < 150


def test_the_home_is_the_documented_one() -> None:
    """sha256(uid), first eight bytes, mod N."""
    world = World(7)
    expected = int(hashlib.sha256(b"uid-1").hexdigest()[:16], 16) % 7
    assert world.sharding.home(world.cluster("uid-1")) == expected


BOUND: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "it has volumes": ({"volumes": [{"name": "data", "volume": "data"}]}, {}),
    "it has volumes ": ({}, {"volumes": [{"name": "data", "volumeID": "v", "size": "1Gi"}]}),
    "it has given its room back": ({}, {"roomReleased": True}),
    "it was adopted": ({"adopt": {"instanceID": "11111111-1111-4111-8111-111111111111"}}, {}),
}


@pytest.mark.parametrize("why", BOUND)
def test_what_keeps_a_vm_with_shard_0(why: str) -> None:
    world = World()
    cluster = world.home(1)
    free = world.vm(PLACED)
    assert world.sharding.due(free, cluster) == 1
    spec, status = BOUND[why]
    bound = world.vm({**PLACED, "shard": 1, **status}, **spec)
    assert world.sharding.due(bound, cluster) is None
    assert world.sharding.recall(bound) == why.strip()


def test_snapshots_keep_a_vm_with_shard_0() -> None:
    world = World()
    cluster = world.home(1)
    world.put("Snapshot", "snap", {"virtualMachine": "web"}, namespace="shop")
    vm = world.vm({**PLACED, "shard": 1})
    assert world.sharding.due(vm, cluster) is None
    assert world.sharding.recall(vm) == "it has snapshots"


def test_a_vm_of_a_cluster_in_shard_0_stays_there() -> None:
    world = World()
    assert world.sharding.due(world.vm(PLACED), world.home(0)) is None
    assert World(1).sharding.due(world.vm(PLACED), world.home(1)) is None, "undivided"


def test_a_vm_goes_back_when_its_place_or_its_home_is_another() -> None:
    world = World()
    assert world.sharding.recall(world.vm({**PLACED, "shard": 1})) == "where it is, is not known"
    world.home(1)
    assert world.sharding.recall(world.vm({**PLACED, "shard": 1})) == ""
    assert world.sharding.recall(world.vm({"shard": 1})) == "where it is, is not known"
    world.home(0)
    assert "in another shard" in world.sharding.recall(world.vm({**PLACED, "shard": 1}))


def test_a_vm_that_changes_hands_is_looked_at_afresh() -> None:
    world = World()
    vm = world.vm(PLACED)
    assert world.links["h1"].doubted == []
    for status in ({**PLACED, "shard": 1}, {**PLACED, "shard": 1, "state": "Running"}, PLACED):
        world.vm(status)
    assert len(world.links["h1"].doubted) == 2
    assert set(world.links["h1"].doubted) != {vm.metadata.uid}, "by its identity on the hypervisor"


def test_hosts_are_reached_by_shard_0_and_by_their_home() -> None:
    world = World()
    assert world.sharding.reaches(world.home(0))
    assert world.sharding.reaches(world.home(1)), "shard 0 reaches all"
    world.sharding.works_on = {1}.__contains__
    assert world.sharding.reaches(world.home(1))
    assert not world.sharding.reaches(world.home(0))
