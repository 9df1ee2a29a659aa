"""Room for volumes that are made with a VM: taken with the VM's place, and gone with it unless they are there by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, NewVolume, Placement, PoolScope, Rejection, Request, Scheduler
from controller.scheduler.index import HostIndex
from tests.unit.scheduler.builders import GI, cloud, cluster, host, pool, request

LOCAL = ("h1", "h2")


def local(gi: int = 20) -> HostIndex:
    """Two hosts, each with a pool of its own that may promise twice so many Gi."""
    pools = [pool(f"on-{name}", capacity=gi * GI, available=gi * GI, scope=PoolScope.HOST, of=name) for name in LOCAL]
    return cloud(cluster(), *(host(name) for name in LOCAL), *pools)


def with_volumes(uid: str, *sizes: int, disk: int = 2) -> Request:
    """A VM that comes with volumes of so many Gi."""
    new = tuple(NewVolume(size * GI, uid=f"{uid}-v{number}") for number, size in enumerate(sizes))
    return request(uid, disk=disk * GI, cpus=1, memory=GI, volumes=new)


def test_of_a_burst_no_two_are_promised_the_same_room() -> None:
    """Before any of the volumes is made: four VMs of 2 Gi with a volume of 17 Gi fill two pools that may promise 40 Gi."""
    index = local()
    scheduler = Scheduler(index)
    answers = [scheduler.place(with_volumes(f"vm{number}", 17)) for number in range(5)]
    placed = [answer.host for answer in answers if isinstance(answer, Placement)]
    assert sorted(placed) == ["h1", "h1", "h2", "h2"]
    assert isinstance(answers[4], Rejection)
    assert [index.pool_allocated(f"on-{name}") for name in LOCAL] == [38 * GI, 38 * GI]


def test_asked_again_it_is_the_same_place_and_the_same_room() -> None:
    index = local()
    scheduler = Scheduler(index)
    first = scheduler.place(with_volumes("vm", 5, 6))
    taken = [index.pool_allocated(f"on-{name}") for name in LOCAL]
    assert scheduler.place(with_volumes("vm", 5, 6)) == first
    assert [index.pool_allocated(f"on-{name}") for name in LOCAL] == taken
    assert sorted(taken) == [0, 13 * GI]


def test_the_room_goes_with_the_place_but_for_what_is_there_by_itself() -> None:
    index = local()
    placed = Scheduler(index).place(with_volumes("vm", 5, 6))
    assert isinstance(placed, Placement)
    index.assign("vm-v0", Allocation("", placed.pool, 0, 0, 5 * GI))
    version = index.version
    index.release("vm")
    assert index.pool_allocated(placed.pool) == 5 * GI
    assert index.version > version, "those that were rejected are judged again"
    assert (index.allocation("vm-v1"), index.expects("vm")) == (None, False)


def test_what_is_no_longer_declared_is_given_back_and_the_rest_stays() -> None:
    index = local()
    placed = Scheduler(index).place(with_volumes("vm", 5, 6))
    assert isinstance(placed, Placement)
    index.keep_expected("vm", ["vm-v1", "other"])
    assert index.pool_allocated(placed.pool) == 8 * GI
    assert index.expects("vm")
    index.release("vm-v1")
    assert not index.expects("vm")
    assert index.pool_allocated(placed.pool) == 2 * GI


@given(st.lists(st.tuples(st.sampled_from("pvrg"), st.integers(0, 5)), max_size=40))
def test_the_book_adds_up_whatever_comes_in_which_order(deeds: list[tuple[str, int]]) -> None:
    """VMs are placed, their volumes made, VMs released, and volumes deleted."""
    index = local(1000)
    scheduler = Scheduler(index)
    for deed, number in deeds:
        uid = f"vm{number}"
        held = index.allocation(f"{uid}-v0")
        if deed == "p":
            scheduler.place(with_volumes(uid, 3, 4))
        elif deed == "v" and held is not None:
            index.assign(f"{uid}-v0", held)
        else:
            index.release(uid if deed == "r" else f"{uid}-v0")
    uids = [f"vm{number}{end}" for number in range(6) for end in ("", "-v0", "-v1")]
    known = [each for uid in uids if (each := index.allocation(uid)) is not None]
    for name in LOCAL:
        assert index.pool_allocated(f"on-{name}") == sum(each.disk for each in known if each.pool == f"on-{name}")
    for number in range(6):
        if index.expects(f"vm{number}"):
            assert index.allocation(f"vm{number}") is not None, "nothing is expected with a VM that has no place"
