"""The index after any changes equals one that is built at once, and walks hosts as promised."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.scheduler import Allocation, ClusterView, HostView, PoolScope, PoolView, Usage
from controller.scheduler.index import Candidate, HostIndex
from tests.unit.scheduler.builders import GI, cloud, cluster, host

clusters = st.builds(
    cluster,
    name=st.sampled_from(["c1", "c2"]),
    zone=st.sampled_from(["z1", "z2"]),
    enabled=st.booleans(),
    cpu_overcommit=st.sampled_from([1.0, 2.0]),
)
hosts = st.builds(
    host,
    name=st.sampled_from(["h1", "h2", "h3", "h4"]),
    cluster=st.sampled_from(["c1", "c2", "c3"]),
    cpus=st.sampled_from([0, 4, 16]),
    enabled=st.booleans(),
    connected=st.booleans(),
)
pools = st.builds(
    PoolView,
    name=st.sampled_from(["p1", "p2"]),
    scope=st.sampled_from(PoolScope),
    of=st.sampled_from(["z1", "c1", "h1"]),
    capacity=st.just(100),
    available=st.just(100),
)
allocations = st.builds(
    Allocation,
    host=st.sampled_from(["h1", "h2", "h3", "gone"]),
    pool=st.sampled_from(["p1", "p2"]),
    cpus=st.integers(0, 8),
    memory=st.integers(0, 8).map(lambda gi: gi * GI),
    disk=st.integers(0, 20),
    group=st.sampled_from(["", "shop/web"]),
)
uids = st.sampled_from(["u1", "u2", "u3", "u4", "u5"])


def alike(index: HostIndex, zone: str) -> set[frozenset[Candidate]]:
    """The hosts of a zone, those together that are alike and carry the same."""
    return {frozenset(equal.values()) for shape in index.shapes(zone) for equal in shape.values()}


def contents(index: HostIndex) -> dict[str, Any]:
    """All that can be seen of an index."""
    return {
        "candidates": {name: index.candidate(name) for name in ("h1", "h2", "h3", "h4")},
        "zones": {zone: alike(index, zone) for zone in ("z1", "z2")},
        "walk": {zone: [each.view.name for each in index.walk(zone, "vm")] for zone in ("z1", "z2")},
        "totals": {name: index.totals(name) for name in ("c1", "c2", "c3")},
        "pools": {(scope, of): {each.name for each in index.pools(scope, of)} for scope in PoolScope for of in ("z1", "c1", "h1")},
        "allocated": {name: index.pool_allocated(name) for name in ("p1", "p2")},
        "group": dict(index.group("shop/web")),
        "usage": {name: index.host_usage(name) for name in ("h1", "h2", "h3", "gone")},
    }


class Deltas(RuleBasedStateMachine):
    """Applies changes to an index and to plain dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.index = HostIndex()
        self.clusters: dict[str, ClusterView] = {}
        self.hosts: dict[str, HostView] = {}
        self.pools: dict[str, PoolView] = {}
        self.allocations: dict[str, Allocation] = {}

    @rule(view=clusters)
    def put_cluster(self, view: ClusterView) -> None:
        self.index.put_cluster(view)
        self.clusters[view.name] = view

    @rule(name=st.sampled_from(["c1", "c2", "c3"]))
    def drop_cluster(self, name: str) -> None:
        self.index.drop_cluster(name)
        self.clusters.pop(name, None)

    @rule(view=hosts)
    def put_host(self, view: HostView) -> None:
        self.index.put_host(view)
        self.hosts[view.name] = view

    @rule(name=st.sampled_from(["h1", "h2", "h3", "h4"]))
    def drop_host(self, name: str) -> None:
        self.index.drop_host(name)
        self.hosts.pop(name, None)

    @rule(view=pools)
    def put_pool(self, view: PoolView) -> None:
        self.index.put_pool(view)
        self.pools[view.name] = view

    @rule(name=st.sampled_from(["p1", "p2"]))
    def drop_pool(self, name: str) -> None:
        self.index.drop_pool(name)
        self.pools.pop(name, None)

    @rule(uid=uids, allocation=allocations)
    def assign(self, uid: str, allocation: Allocation) -> None:
        self.index.assign(uid, allocation)
        self.allocations[uid] = allocation

    @rule(uid=uids)
    def release(self, uid: str) -> None:
        self.index.release(uid)
        self.allocations.pop(uid, None)

    @invariant()
    def equals_one_built_at_once(self) -> None:
        built = HostIndex()
        for uid, allocation in self.allocations.items():
            built.assign(uid, allocation)
        for pool in self.pools.values():
            built.put_pool(pool)
        for view in self.hosts.values():
            built.put_host(view)
        for each in self.clusters.values():
            built.put_cluster(each)
        assert contents(self.index) == contents(built)

    @invariant()
    def sums_are_right(self) -> None:
        for name in ("h1", "gone"):
            mine = [each for each in self.allocations.values() if each.host == name]
            guests = sum(1 for each in mine if each.cpus or each.memory)
            expected = Usage(sum(each.cpus for each in mine), sum(each.memory for each in mine), guests)
            assert self.index.host_usage(name) == expected
        assert self.index.pool_allocated("p1") == sum(each.disk for each in self.allocations.values() if each.pool == "p1")
        for name, view in self.clusters.items():
            able = [each for each in self.hosts.values() if each.cluster == name and each.enabled and each.connected]
            assert self.index.totals(name).cpus == sum(int(each.cpus * view.cpu_overcommit) for each in able)
            assert self.index.totals(name).used_cpus == sum(self.index.host_usage(each.name).cpus for each in able)

    @invariant()
    def walks_every_able_host_once(self) -> None:
        for zone in ("z1", "z2"):
            members = {name for name, view in self.clusters.items() if view.zone == zone}
            able = {each.name for each in self.hosts.values() if each.cluster in members and each.enabled and each.connected}
            walked = list(self.index.walk(zone, "any"))
            assert len(walked) == len(able)
            assert {each.view.name for each in walked} == able
            assert [each.fullness for each in walked] == sorted(each.fullness for each in walked)


TestDeltas = Deltas.TestCase
TestDeltas.settings = settings(max_examples=60, stateful_step_count=30)


def test_the_version_grows_with_every_change_that_could_make_room_and_only_then() -> None:
    index = cloud(host())
    seen = index.version
    index.put_host(host())
    index.put_cluster(cluster())
    index.release("nobody")
    index.assign("u", Allocation("h1", "shared", 1, 1, 1))
    assert index.version == seen
    changes: list[Callable[[], None]] = [
        lambda: index.put_host(host(cpus=17)),
        lambda: index.assign("u", Allocation("h1", "shared", 1, 1, 0)),
        lambda: index.release("u"),
        lambda: index.put_cluster(cluster(enabled=False)),
        lambda: index.drop_pool("shared"),
        lambda: index.drop_host("h1"),
    ]
    for change in changes:
        change()
        assert index.version > seen
        seen = index.version


@given(uids, uids)
def test_a_vm_meets_equal_hosts_in_the_same_order(one: str, two: str) -> None:
    index = cloud(*(host(f"h{number}") for number in range(20)))
    first = [each.view.name for each in index.walk("z1", one)]
    again = [each.view.name for each in index.walk("z1", two)]
    turn = again.index(first[0])
    assert again[turn:] + again[:turn] == first, "the same ring, entered at the VM's own place"


def test_vms_enter_the_ring_everywhere() -> None:
    index = cloud(*(host(f"h{number}") for number in range(20)))
    first = {next(iter(index.walk("z1", f"vm-{number}"))).view.name for number in range(1000)}
    assert len(first) == 20
