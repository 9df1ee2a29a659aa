"""VMs of a group keep off each other's hosts, hosts have a most of guests, and pools fail on single hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, Placement, PoolScope, Rejection, Scheduler
from controller.scheduler.index import HostIndex
from tests.unit.scheduler.builders import GI, cloud, cluster, host, pool, request


def where(answer: Placement | Rejection) -> str:
    return answer.host if isinstance(answer, Placement) else answer.reason


def three() -> HostIndex:
    return cloud(*(host(f"h{number}") for number in range(3)))


def test_required_takes_each_host_once_and_then_waits() -> None:
    scheduler = Scheduler(three())
    placed = [where(scheduler.place(request(f"vm-{number}", group="shop/web", apart=True))) for number in range(3)]
    assert sorted(placed) == ["h0", "h1", "h2"]
    answer = scheduler.place(request("vm-3", group="shop/web", apart=True))
    assert isinstance(answer, Rejection)
    assert answer.counts == {"AntiAffinity": 3}
    assert isinstance(scheduler.place(request("vm-4", group="shop/db", apart=True)), Placement), "another group"
    assert isinstance(scheduler.place(request("vm-5")), Placement), "no group"


def test_a_place_that_becomes_free_is_taken() -> None:
    index = three()
    scheduler = Scheduler(index)
    placed = {where(scheduler.place(request(uid, group="g", apart=True))): uid for uid in ("a", "b", "c")}
    assert isinstance(scheduler.place(request("d", group="g", apart=True)), Rejection)
    index.release(placed["h1"])
    assert where(scheduler.place(request("d", group="g", apart=True))) == "h1"


def test_preferred_spreads_evenly_and_never_waits() -> None:
    index = three()
    scheduler = Scheduler(index)
    for number in range(9):
        assert isinstance(scheduler.place(request(f"vm-{number}", cpus=1, memory=GI, group="g")), Placement)
    assert index.group("g") == {"h0": 3, "h1": 3, "h2": 3}


def test_preferred_shares_the_host_with_the_fewest_when_no_other_fits() -> None:
    index = three()
    index.put_host(host("h2", enabled=False))
    for uid, name in (("a", "h0"), ("b", "h0"), ("c", "h1")):
        index.assign(uid, Allocation(name, "shared", 1, GI, 0, "g"))
    assert where(Scheduler(index).place(request(group="g"))) == "h1"


def test_a_pinned_host_is_no_exception_where_apart_is_required() -> None:
    index = three()
    index.assign("kin", Allocation("h1", "shared", 1, GI, 0, "g"))
    assert isinstance(Scheduler(index).place(request(group="g", apart=True, host="h1")), Rejection)
    assert where(Scheduler(index).place(request(group="g", host="h1"))) == "h1"


def test_a_stopped_vm_that_gave_its_room_back_still_keeps_others_away() -> None:
    index = cloud(host("h0"))
    index.assign("kin", Allocation("h0", "shared", 0, 0, GI, "g"))
    assert index.host_usage("h0").vms == 0
    assert isinstance(Scheduler(index).place(request(group="g", apart=True)), Rejection)


@given(st.lists(st.tuples(st.sampled_from(["g1", "g2", ""]), st.booleans()), max_size=20))
def test_no_two_of_a_group_that_are_placed_apart_ever_share_a_host(asked: list[tuple[str, bool]]) -> None:
    """A VM placed with Required finds no other of its group on its host, whatever came before."""
    index = cloud(*(host(f"h{number}") for number in range(4)))
    scheduler = Scheduler(index)
    for number, (group, apart) in enumerate(asked):
        before = dict(index.group(group)) if group else {}
        answer = scheduler.place(request(f"vm-{number}", cpus=1, memory=GI, group=group, apart=apart))
        if isinstance(answer, Placement) and group and apart:
            assert answer.host not in before
        if isinstance(answer, Placement) and group:
            assert index.group(group)[answer.host] == before.get(answer.host, 0) + 1
        if isinstance(answer, Rejection):
            assert apart
            assert len(before) == 4


# The most guests of a host


def test_a_host_takes_no_more_guests_than_its_cluster_allows() -> None:
    index = cloud(cluster(max_guests=2), host("h0"), host("h1"))
    scheduler = Scheduler(index)
    assert [isinstance(scheduler.place(request(f"vm-{n}", cpus=1, memory=GI)), Placement) for n in range(5)] == [True] * 4 + [False]
    answer = scheduler.place(request("one more", cpus=1, memory=GI))
    assert isinstance(answer, Rejection)
    assert answer.counts == {"TooManyGuests": 2}
    index.assign("vm-0", Allocation("h0", "shared", 0, 0, 0))
    index.assign("vm-1", Allocation("h0", "shared", 0, 0, 0))
    assert isinstance(scheduler.place(request("one more", cpus=1, memory=GI)), Placement), (
        "stopped ones that gave room back do not count"
    )


# Pools that fail on a host


@pytest.mark.parametrize(("scope", "of"), [(PoolScope.ZONE, "z1"), (PoolScope.CLUSTER, "c1"), (PoolScope.HOST, "h0")])
def test_a_pool_is_not_offered_on_a_host_where_it_fails(scope: PoolScope, of: str) -> None:
    index = cloud(host("h0"), host("h1"), pool("p", scope=scope, of=of, failing=frozenset({"h0"})))
    answers = [Scheduler(index).place(request(f"vm-{number}", host="h0")) for number in range(2)]
    assert all(isinstance(answer, Rejection) and answer.counts == {"NoStoragePool": 1} for answer in answers)
    if scope is not PoolScope.HOST:
        assert where(Scheduler(index).place(request("free"))) == "h1"


def test_another_pool_is_taken_where_one_fails_and_the_first_elsewhere() -> None:
    good = pool("good", capacity=100 * GI, available=100 * GI)
    index = cloud(host("h0"), host("h1"), pool("best", failing=frozenset({"h0"})), good)
    index.assign("filler", Allocation("gone", "good", 1, GI, 50 * GI))
    scheduler = Scheduler(index)
    first, second = scheduler.place(request("a", host="h0")), scheduler.place(request("b", host="h1"))
    assert isinstance(first, Placement)
    assert isinstance(second, Placement)
    assert (first.pool, second.pool) == ("good", "best")


def test_a_pool_that_works_again_is_offered_again() -> None:
    index = cloud(host("h0"), pool("p", failing=frozenset({"h0"})))
    scheduler = Scheduler(index)
    assert isinstance(scheduler.place(request()), Rejection)
    index.put_pool(pool("p"))
    assert isinstance(scheduler.place(request()), Placement)


def test_storage_that_a_failing_pool_would_lack_is_not_reported_as_the_nearest_miss() -> None:
    small = pool("small", capacity=GI, available=GI)
    index = cloud(host("h0"), pool("tiny", capacity=1, available=1, failing=frozenset({"h0"})), small)
    answer = Scheduler(index).place(request(disk=10 * GI))
    assert isinstance(answer, Rejection)
    assert answer.message.endswith("nearest: h0 lacks 8Gi of storage")
