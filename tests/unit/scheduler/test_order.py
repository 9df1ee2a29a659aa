"""A placement depends on what is known, not on the order in which it became known."""

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, HostView, Placement, PoolScope, Rejection, Request, Scheduler
from controller.scheduler.index import HostIndex
from controller.scheduler.scheduler import select
from tests.unit.scheduler.builders import GI, cluster, host, pool, request

Change = Callable[[HostIndex], None]

hosts = st.lists(
    st.builds(
        host,
        name=st.integers(0, 9).map("h{}".format),
        cluster=st.sampled_from(["c1", "c2"]),
        cpus=st.sampled_from([4, 8, 16]),
        tags=st.sampled_from([frozenset(), frozenset({"gpu"})]),
        enabled=st.sampled_from([True, True, True, False]),
    ),
    unique_by=lambda view: view.name,
    max_size=8,
)
allocations = st.dictionaries(
    st.integers(0, 20).map("vm-{}".format),
    st.builds(
        Allocation,
        host=st.integers(0, 9).map("h{}".format),
        pool=st.sampled_from(["shared", "local"]),
        cpus=st.integers(1, 8),
        memory=st.integers(1, 30).map(GI.__mul__),
        disk=st.just(GI),
    ),
    max_size=8,
)
requests = st.builds(request, uid=st.integers(100, 110).map(str), cpus=st.integers(1, 8), memory=st.integers(1, 32).map(GI.__mul__))


def changes(views: list[HostView], given_out: dict[str, Allocation]) -> list[Change]:
    """Everything there is to say about a small cloud."""
    said: list[Change] = [
        lambda index: index.put_cluster(cluster("c1")),
        lambda index: index.put_cluster(cluster("c2", cpu_overcommit=2.0)),
        lambda index: index.put_pool(pool()),
        lambda index: index.put_pool(pool("local", scope=PoolScope.HOST, of="h1", capacity=50 * GI)),
    ]
    said += [lambda index, view=view: index.put_host(view) for view in views]  # type: ignore[misc]
    said += [lambda index, uid=uid, each=each: index.assign(uid, each) for uid, each in given_out.items()]  # type: ignore[misc]
    return said


@given(hosts, allocations, requests, st.randoms(use_true_random=False))
def test_the_order_of_news_makes_no_difference(
    views: list[HostView], given_out: dict[str, Allocation], wanted: Request, chance: random.Random
) -> None:
    said = changes(views, given_out)
    answers: list[Placement | Rejection] = []
    for _ in range(3):
        index = HostIndex()
        for change in said:
            change(index)
        answers.append(select(index, wanted))
        chance.shuffle(said)
    assert answers[0] == answers[1] == answers[2]


@given(hosts, requests)
def test_deciding_changes_nothing(views: list[HostView], wanted: Request) -> None:
    index = HostIndex()
    for change in changes(views, {}):
        change(index)
    version = index.version
    first = select(index, wanted)
    assert select(index, wanted) == first
    assert index.version == version


@given(hosts, st.lists(requests, max_size=6))
def test_a_restarted_scheduler_goes_on_where_it_was(views: list[HostView], wanted: list[Request]) -> None:
    """Statuses carry what was decided: an index built from them answers as the old one would have."""
    old = HostIndex()
    for change in changes(views, {}):
        change(old)
    scheduler = Scheduler(old)
    statuses = {}
    for each in wanted:
        if isinstance(scheduler.place(each), Placement):
            statuses[each.uid] = old.allocation(each.uid)
    new = HostIndex()
    for uid, allocation in statuses.items():
        assert allocation is not None
        new.assign(uid, allocation)
    for change in changes(views, {}):
        change(new)
    newcomer = request("newcomer")
    assert select(new, newcomer) == select(old, newcomer)
    assert all(Scheduler(new).place(each) == Scheduler(old).place(each) for each in wanted)
