"""Whatever happens in whatever order: what is placed fits, what is refused does not, and no room is given twice."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.scheduler import Allocation, HostView, Placement, PoolScope, Reason, Rejection, Request, Scheduler
from controller.scheduler.index import HostIndex
from controller.scheduler.scheduler import select
from tests.unit.scheduler.builders import GI, cloud, cluster, host, pool, request

THRESHOLD = 75


def given_to(wanted: Request, where: Placement) -> Allocation:
    return Allocation(where.host, where.pool, wanted.cpus, wanted.memory, wanted.disk)


def test_a_burst_spreads_over_equal_hosts() -> None:
    """Never more than one VM more on one host than on another: the emptiest is taken each time."""
    index = cloud(*(host(f"h{number}", memory=400 * GI, cpus=100) for number in range(10)))
    scheduler = Scheduler(index)
    for number in range(95):
        assert isinstance(scheduler.place(request(f"vm-{number}", cpus=2)), Placement)
    counts = [index.host_usage(f"h{number}").vms for number in range(10)]
    assert sorted(counts) == [9] * 5 + [10] * 5


def test_the_same_vm_gets_the_same_answer_until_it_is_released() -> None:
    index = cloud(host("h1"), host("h2"))
    scheduler = Scheduler(index)
    first = scheduler.place(request("vm"))
    assert isinstance(first, Placement)
    other = "h2" if first.host == "h1" else "h1"
    index.put_host(host(first.host, enabled=False))
    assert scheduler.place(request("vm")) == first, "a decision in flight is not taken back by itself"
    assert index.host_usage(first.host).vms == 1
    index.release("vm")
    second = scheduler.place(request("vm"))
    assert isinstance(second, Placement)
    assert second.host == other


def test_a_status_confirms_what_was_decided_without_counting_it_twice() -> None:
    index = cloud(host())
    scheduler = Scheduler(index)
    wanted = request("vm")
    where = scheduler.place(wanted)
    assert isinstance(where, Placement)
    before = index.version
    index.assign("vm", given_to(wanted, where))
    assert index.version == before
    assert index.host_usage("h1").vms == 1
    assert index.allocation("vm") == given_to(wanted, where)


def test_a_resize_replaces_what_the_vm_had() -> None:
    index = cloud(host())
    index.assign("vm", Allocation("h1", "shared", 2, GI, GI))
    index.assign("vm", Allocation("h1", "shared", 8, 2 * GI, GI))
    assert (index.host_usage("h1").cpus, index.host_usage("h1").vms) == (8, 1)


def test_a_vm_whose_host_vanished_is_placed_anew() -> None:
    index = cloud(host("h1"), host("h2"))
    index.assign("vm", Allocation("gone", "shared", 2, GI, GI))
    assert isinstance(Scheduler(index).place(request("vm")), Placement)
    assert index.host_usage("gone").vms == 0


def test_equal_rejections_are_found_once_until_something_changes() -> None:
    index = cloud(host(cpus=1))
    scheduler = Scheduler(index)
    first = scheduler.place(request("a"))
    assert scheduler.place(request("b")) is first, "the uid makes no difference"
    assert scheduler.place(request("b", cpus=3)) is not first
    index.put_host(host(cpus=4))
    assert isinstance(scheduler.place(request("a")), Placement)


sizes = {
    "cpus": st.integers(1, 12),
    "memory": st.integers(1, 40).map(lambda gi: gi * GI),
    "disk": st.integers(0, 60).map(GI.__mul__),
}
requests = st.builds(
    request,
    uid=st.integers(0, 40).map("vm-{}".format),
    cluster=st.sampled_from(["", "", "", "c1", "c2"]),
    host=st.sampled_from(["", "", "", "h1", "h5"]),
    host_tags=st.sampled_from([frozenset(), frozenset({"gpu"})]),
    storage_tags=st.sampled_from([frozenset(), frozenset(), frozenset({"ssd"})]),
    **sizes,
)


class Bursts(RuleBasedStateMachine):
    """Six hosts in two clusters, local and shared pools, and an oracle that knows only lists and sums."""

    @initialize()
    def build(self) -> None:
        self.pools = [
            pool("shared", capacity=100 * GI, available=100 * GI),
            pool("fast", scope=PoolScope.CLUSTER, of="c1", capacity=50 * GI, available=50 * GI, tags=frozenset({"ssd"})),
            pool("local", scope=PoolScope.HOST, of="h5", capacity=80 * GI, available=70 * GI, tags=frozenset({"ssd"})),
        ]
        self.hosts = {
            f"h{number}": host(
                f"h{number}",
                cluster=f"c{1 + number % 2}",
                tags=frozenset({"gpu"}) if number > 3 else frozenset(),
                cpus=8 + 4 * (number % 3),
            )
            for number in range(6)
        }
        views = [cluster(name, cpu_overcommit=1.5, cpu_threshold=THRESHOLD) for name in ("c1", "c2")]
        self.index: HostIndex = cloud(*views, *self.hosts.values(), *self.pools)
        self.scheduler = Scheduler(self.index)
        self.placed: dict[str, Allocation] = {}

    def used(self, name: str) -> tuple[int, int]:
        mine = [each for each in self.placed.values() if each.host == name]
        return sum(each.cpus for each in mine), sum(each.memory for each in mine)

    def pools_for(self, view: HostView, wanted: Request) -> set[str]:
        names = set()
        for each in self.pools:
            promised = sum(given.disk for given in self.placed.values() if given.pool == each.name)
            reached = each.of in ("z1", view.cluster, view.name)
            room = promised + wanted.disk <= 2 * each.capacity
            if reached and wanted.storage_tags <= each.tags and room:
                names.add(each.name)
        return names

    def below_threshold(self, name: str, wanted: Request) -> bool:
        members = [each for each in self.hosts.values() if each.cluster == name and each.enabled and each.connected]
        cpus = wanted.cpus + sum(self.used(each.name)[0] for each in members)
        memory = wanted.memory + sum(self.used(each.name)[1] for each in members)
        total = sum(each.cpus * 3 // 2 for each in members)
        return bool(wanted.host) or (cpus <= total * THRESHOLD / 100 and memory <= sum(each.memory for each in members))

    def fits(self, view: HostView, wanted: Request) -> bool:
        cpus, memory = self.used(view.name)
        return (
            view.enabled
            and view.connected
            and wanted.host_tags <= view.tags
            and wanted.cpus <= view.cpus
            and cpus + wanted.cpus <= view.cpus * 3 // 2
            and memory + wanted.memory <= view.memory
            and self.below_threshold(view.cluster, wanted)
            and bool(self.pools_for(view, wanted))
        )

    def fullness(self, name: str) -> int:
        (cpus, memory), view = self.used(name), self.hosts[name]
        return max(100 * cpus // (view.cpus * 3 // 2), 100 * memory // view.memory)

    @rule(wanted=requests)
    def place(self, wanted: Request) -> None:
        asked = [each for each in self.hosts.values() if wanted.host in ("", each.name) and wanted.cluster in ("", each.cluster)]
        fitting = {each.name for each in asked if self.fits(each, wanted)}
        answer = self.scheduler.place(wanted)
        if wanted.uid in self.placed:
            assert isinstance(answer, Placement)
            assert self.index.allocation(wanted.uid) == self.placed[wanted.uid]
        elif isinstance(answer, Placement):
            assert answer.host in fitting
            assert self.fullness(answer.host) == min(map(self.fullness, fitting))
            assert answer.cluster == self.hosts[answer.host].cluster
            assert answer.pool in self.pools_for(self.hosts[answer.host], wanted)
            self.placed[wanted.uid] = given_to(wanted, answer)
        else:
            assert not fitting
            self.check(answer, len(asked))

    def check(self, answer: Rejection, asked: int) -> None:
        if not asked:
            assert answer.reason is Reason.HOST_NOT_FOUND
            return
        assert sum(answer.counts.values()) == asked
        assert answer.message.startswith(f"0 of {asked} hosts fit: ")

    @rule(number=st.integers(0, 40))
    def release(self, number: int) -> None:
        self.index.release(f"vm-{number}")
        self.placed.pop(f"vm-{number}", None)

    @rule(name=st.sampled_from([f"h{number}" for number in range(6)]), enabled=st.booleans(), connected=st.booleans())
    def change(self, name: str, enabled: bool, connected: bool) -> None:
        view = self.hosts[name]
        self.hosts[name] = host(name, cluster=view.cluster, tags=view.tags, cpus=view.cpus, enabled=enabled, connected=connected)
        self.index.put_host(self.hosts[name])

    @invariant()
    def nothing_is_overbooked(self) -> None:
        for name, view in self.hosts.items():
            cpus, memory = self.used(name)
            assert cpus <= view.cpus * 3 // 2
            assert memory <= view.memory
            assert self.index.host_usage(name).cpus == cpus
        for each in self.pools:
            assert self.index.pool_allocated(each.name) <= 2 * each.capacity


TestBursts = Bursts.TestCase
TestBursts.settings = settings(max_examples=80, stateful_step_count=40)


guests = st.tuples(st.integers(1, 20), st.sampled_from(["", "g"]), st.booleans())
moves = st.tuples(st.sampled_from(["place", "place", "assign", "release", "host"]), st.integers(0, 5), guests)


@given(st.lists(moves, max_size=30))
def test_a_rejection_from_memory_is_what_a_new_look_would_find(steps: list[tuple[str, int, tuple[int, str, bool]]]) -> None:
    """What only takes room leaves rejections in memory; whatever could make room must not."""
    index = cloud(host("h0", cpus=8), host("h1", cpus=16))
    scheduler = Scheduler(index)
    for step, number, (cpus, group, apart) in steps:
        wanted = request(f"vm-{number}", cpus=cpus, memory=GI, group=group, apart=apart)
        if step == "place" and index.allocation(wanted.uid) is None:
            fresh = select(index, wanted)
            assert isinstance(scheduler.place(wanted), Rejection) == isinstance(fresh, Rejection)
        elif step == "assign":
            index.assign(wanted.uid, Allocation(f"h{number % 2}", "shared", cpus, GI, GI, group))
        elif step == "release":
            index.release(wanted.uid)
        elif step == "host":
            index.put_host(host(f"h{number}", cpus=cpus))
