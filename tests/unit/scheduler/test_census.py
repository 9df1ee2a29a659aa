"""Judging all hosts at once says what judging each of them by itself says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, Placement, PoolScope, PoolView, Request, scheduler
from controller.scheduler.census import Census
from controller.scheduler.index import HostIndex
from controller.scheduler.judge import Judge
from controller.scheduler.report import in_question, report
from controller.scheduler.scheduler import select
from drivers.types import Firmware
from tests.unit.scheduler import plain
from tests.unit.scheduler.builders import GI, cluster, host, pool, request

TAGS = st.sampled_from([frozenset(), frozenset(), frozenset({"ssd"}), frozenset({"gpu"})])
NAMES = [f"h{number}" for number in range(8)]

clusters = st.tuples(
    *(
        st.builds(
            cluster,
            name=st.just(name),
            zone=st.sampled_from(["z1", "z1", "z1", "z2"]),
            enabled=st.sampled_from([True, True, True, False]),
            cpu_overcommit=st.sampled_from([1.0, 2.0]),
            cpu_threshold=st.sampled_from([100, 60]),
            max_guests=st.sampled_from([None, None, 1]),
        )
        for name in ("c1", "c2")
    )
)
hosts = st.lists(
    st.builds(
        host,
        name=st.sampled_from(NAMES),
        cluster=st.sampled_from(["c1", "c2"]),
        cpus=st.sampled_from([0, 4, 8, 8]),
        memory=st.sampled_from([0, 16, 32, 32]).map(GI.__mul__),
        enabled=st.sampled_from([True, True, True, False]),
        connected=st.sampled_from([True, True, True, False]),
        tags=TAGS,
        uefi=st.booleans(),
    ),
    unique_by=lambda view: view.name,
    min_size=1,
    max_size=8,
)
places = st.sampled_from(
    [(PoolScope.ZONE, "z1"), (PoolScope.CLUSTER, "c1"), (PoolScope.CLUSTER, "c2"), *((PoolScope.HOST, name) for name in NAMES)]
)
pools = st.lists(
    st.builds(
        lambda name, place, **more: PoolView(name, scope=place[0], of=place[1], **more),
        name=st.sampled_from(["p1", "p2", "p3", "p4"]),
        place=places,
        capacity=st.sampled_from([0, 10, 100]).map(GI.__mul__),
        available=st.sampled_from([0, 5, 100]).map(GI.__mul__),
        enabled=st.sampled_from([True, True, True, False]),
        tags=TAGS,
        failing=st.sets(st.sampled_from(NAMES), max_size=3).map(frozenset),
    ),
    unique_by=lambda view: view.name,
    max_size=4,
)
allocations = st.lists(
    st.builds(
        Allocation,
        host=st.sampled_from(NAMES),
        pool=st.sampled_from(["p1", "p2"]),
        cpus=st.integers(0, 8),
        memory=st.integers(0, 30).map(GI.__mul__),
        disk=st.integers(0, 150).map(GI.__mul__),
        group=st.sampled_from(["", "", "web"]),
    ),
    max_size=10,
)
requests = st.builds(
    request,
    cpus=st.integers(1, 20),
    memory=st.integers(1, 70).map(GI.__mul__),
    disk=st.sampled_from([0, 1, 20, 210]).map(GI.__mul__),
    cluster=st.sampled_from(["", "", "c1"]),
    host=st.sampled_from(["", "", "", "h1"]),
    host_tags=TAGS,
    storage_tags=TAGS,
    firmware=st.sampled_from([Firmware.BIOS, Firmware.BIOS, Firmware.UEFI]),
    group=st.sampled_from(["", "web"]),
    apart=st.booleans(),
)


@st.composite
def indexes(draw: st.DrawFn) -> HostIndex:
    index = HostIndex()
    for each in draw(clusters):
        index.put_cluster(each)
    for view in draw(hosts):
        index.put_host(view)
    for store in draw(pools):
        index.put_pool(store)
    for number, given_out in enumerate(draw(allocations)):
        index.assign(f"vm-{number}", given_out)
    return index


def taken(index: HostIndex, wanted: Request) -> Census:
    census = Census(wanted, Judge(index, wanted))
    for alike in in_question(index, wanted):
        census.take(alike)
    return census


@given(indexes(), requests)
def test_the_same_hosts_fit(index: HostIndex, wanted: Request) -> None:
    assert taken(index, wanted).fitting == plain.fitting(index, wanted)


@given(indexes(), requests)
def test_the_report_says_the_same(index: HostIndex, wanted: Request) -> None:
    census = taken(index, wanted)
    if census.hosts and not census.fitting:
        assert report(census, wanted) == plain.report(index, wanted)


@pytest.mark.parametrize("tried", [0, 1])
@given(index=indexes(), wanted=requests)
def test_the_same_host_is_taken_however_many_are_tried_one_by_one(tried: int, index: HostIndex, wanted: Request) -> None:
    usual = select(index, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "_TRIED", tried)
        assert select(index, wanted) == usual


@given(indexes(), requests)
def test_what_is_taken_is_the_first_on_the_way_that_fits(index: HostIndex, wanted: Request) -> None:
    answer, able = select(index, wanted), plain.fitting(index, wanted)
    assert isinstance(answer, Placement) == bool(able)
    if isinstance(answer, Placement) and not (wanted.host or wanted.group):
        first = next(each for each in index.walk(wanted.zone, wanted.uid) if each.view.name in able)
        assert (answer.host, answer.pool) == (first.view.name, able[first.view.name])


EVERYTHING: dict[str, Any] = {"enabled": False, "connected": False, "cpus": 4, "tags": frozenset({"x"}), "uefi": True, "memory": GI}


@pytest.mark.parametrize("field", EVERYTHING)
def test_hosts_that_differ_are_of_two_shapes(field: str) -> None:
    index = HostIndex()
    index.put_cluster(cluster())
    index.put_host(host("a"))
    index.put_host(host("b"))
    assert len(list(index.shapes("z1"))) == 1
    index.put_host(host("b", **{field: EVERYTHING[field]}))
    assert len(list(index.shapes("z1"))) == 2
    index.drop_host("b")
    assert [set(equal) for alike in index.shapes("z1") for equal in alike.values()] == [{"a"}]


def test_of_equal_misses_the_first_by_name_is_the_nearest() -> None:
    index = HostIndex()
    index.put_cluster(cluster())
    index.put_pool(pool())
    for name in ("c", "a", "b"):
        index.put_host(host(name))
        index.assign(f"on-{name}", Allocation(name, "shared", 15, 0, GI))
    assert report(taken(index, request()), request()).message.endswith("nearest: a lacks 1 CPU")
