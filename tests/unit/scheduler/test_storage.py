"""Which pool a disk goes to: by scope, state, tags and room."""

import pytest

from controller.scheduler import Allocation, NewVolume, Placement, PoolScope, PoolView, Reason, Rejection, Request
from controller.scheduler.scheduler import select
from controller.scheduler.storage import shortage
from tests.unit.scheduler.builders import GI, cloud, cluster, host, pool, request

HOST, CLUSTER, ZONE = PoolScope.HOST, PoolScope.CLUSTER, PoolScope.ZONE


def chosen(*pools: PoolView, wanted: Request | None = None) -> str:
    """The pool, or the only reason why there is none."""
    answer = select(cloud(cluster(), host(), *pools), wanted or request())
    if isinstance(answer, Placement):
        return answer.pool
    (reason,) = answer.counts
    return reason


@pytest.mark.parametrize(
    ("scope", "of", "reached"),
    [
        (ZONE, "z1", True),
        (CLUSTER, "c1", True),
        (HOST, "h1", True),
        (ZONE, "z2", False),
        (CLUSTER, "c2", False),
        (HOST, "h2", False),
    ],
)
def test_a_pool_is_reached_through_its_scope(scope: PoolScope, of: str, reached: bool) -> None:
    assert chosen(pool("p", scope=scope, of=of)) == ("p" if reached else Reason.NO_STORAGE_POOL)


SSD = frozenset({"ssd"})

REASONS = [
    ([pool(enabled=False)], request(), Reason.NO_STORAGE_POOL),
    ([pool(enabled=False, tags=SSD), pool("b")], request(storage_tags=SSD), Reason.STORAGE_TAGS_MISMATCH),
    ([pool(), pool("b", scope=HOST, of="h1")], request(storage_tags=SSD), Reason.STORAGE_TAGS_MISMATCH),
    ([pool(tags=SSD, available=0), pool("b")], request(storage_tags=SSD), Reason.INSUFFICIENT_STORAGE),
    ([pool("b"), pool(tags=SSD, available=0)], request(storage_tags=SSD), Reason.INSUFFICIENT_STORAGE),
    ([pool(available=0), pool("b", scope=HOST, of="h1", enabled=False)], request(), Reason.INSUFFICIENT_STORAGE),
    ([pool(enabled=False), pool("b", scope=HOST, of="h1", available=0)], request(), Reason.INSUFFICIENT_STORAGE),
    ([pool(capacity=0, available=0)], request(), Reason.INSUFFICIENT_STORAGE),
]


@pytest.mark.parametrize(("pools", "wanted", "reason"), REASONS)
def test_the_reason_is_the_last_hurdle_that_a_pool_came_to(pools: list[PoolView], wanted: Request, reason: Reason) -> None:
    assert chosen(*pools, wanted=wanted) == reason


def test_tagged_pools_are_found_among_others() -> None:
    assert chosen(pool("a"), pool("b", tags=SSD), wanted=request(storage_tags=SSD)) == "b"
    assert chosen(pool("b", tags=SSD)) == "b", "a VM without wishes takes any"


@pytest.mark.parametrize(
    ("capacity", "available", "allocated", "disk", "lacking"),
    [
        (100, 100, 0, 100, 0),
        (100, 100, 0, 200, 0),
        (100, 100, 0, 201, 1),
        (100, 100, 150, 60, 10),
        (100, 50, 100, 100, 0),
        (100, 10, 0, 100, 0),
        (100, 9, 0, 100, 1),
        (100, 9, 0, 9, 0),
        (100, 0, 0, 1, 1),
        (0, 0, 0, 5, 5),
    ],
)
def test_room_for_a_thin_disk(capacity: int, available: int, allocated: int, disk: int, lacking: int) -> None:
    """Promised at most twice its capacity; and really free: the disk's size, or a tenth of the pool if the disk is larger."""
    assert max(0, shortage(pool(capacity=capacity, available=available), allocated, disk)) == lacking


@pytest.mark.parametrize(
    ("capacity", "available", "allocated", "disk", "lacking"),
    [
        (100, 100, 0, 100, 0),
        (100, 100, 0, 101, 1),
        (100, 100, 60, 50, 10),
        (100, 30, 0, 40, 10),
        (100, 30, 60, 30, 0),
        (0, 0, 0, 5, 5),
    ],
)
def test_room_for_a_thick_disk(capacity: int, available: int, allocated: int, disk: int, lacking: int) -> None:
    """Promised at most once, and all of it really free."""
    assert max(0, shortage(pool(capacity=capacity, available=available, thick=True), allocated, disk)) == lacking


def test_the_emptiest_pool_is_taken() -> None:
    index = cloud(cluster(), host(), pool("a", capacity=100 * GI), pool("b", capacity=200 * GI))
    index.assign("x", Allocation("h1", "a", 0, 0, 40 * GI))
    index.assign("y", Allocation("h1", "b", 0, 0, 60 * GI))
    answer = select(index, request())
    assert isinstance(answer, Placement)
    assert answer.pool == "b", "60 of 200 is less than 40 of 100"
    index.assign("y", Allocation("h1", "b", 0, 0, 80 * GI))
    answer = select(index, request())
    assert isinstance(answer, Placement)
    assert answer.pool == "a", "the name decides between equals"


def test_a_full_local_pool_sends_the_vm_to_another_host() -> None:
    local = [pool(name, scope=HOST, of=name, capacity=20 * GI, available=20 * GI) for name in ("h1", "h2")]
    index = cloud(cluster(), host("h1"), host("h2"), *local)
    index.assign("x", Allocation("h1", "h1", 0, 0, 40 * GI))
    assert select(index, request()) == Placement("h2", "c1", "h2")


def test_the_message_says_what_the_nearest_pool_lacks() -> None:
    index = cloud(cluster(), host(), pool(capacity=100 * GI, available=4 * GI), pool("b", enabled=False))
    answer = select(index, request(disk=10 * GI))
    assert isinstance(answer, Rejection)
    assert answer.message == "0 of 1 hosts fit: 1 InsufficientStorage; nearest: h1 lacks 6Gi of storage"


def volumes(*sizes: int, tags: frozenset[str] = frozenset()) -> Request:
    """A VM with a disk of 10 Gi that comes with volumes of so many Gi."""
    return request(volumes=tuple(NewVolume(size * GI, tags) for size in sizes))


def small(name: str = "p", gi: int = 20, **more: object) -> PoolView:
    """A pool that may promise twice so many Gi."""
    return pool(name, capacity=gi * GI, available=gi * GI, **more)


@pytest.mark.parametrize(
    ("pools", "wanted", "verdict"),
    [
        ([small()], volumes(30), "p"),
        ([small()], volumes(31), Reason.INSUFFICIENT_STORAGE),
        ([small()], volumes(15, 15), "p"),
        ([small()], volumes(15, 16), Reason.INSUFFICIENT_STORAGE),
        ([small("a"), small("b")], volumes(40), "a"),
        ([small("a"), small("b")], volumes(40, 30), "a"),
        ([small("a"), small("b")], volumes(40, 31), Reason.INSUFFICIENT_STORAGE),
        ([small(), small("b", enabled=False)], volumes(31), Reason.INSUFFICIENT_STORAGE),
        ([small(), small("b", failing=frozenset({"h1"}))], volumes(31), Reason.INSUFFICIENT_STORAGE),
        ([small(), small("b", of="h2", scope=HOST)], volumes(31), Reason.INSUFFICIENT_STORAGE),
        ([small(), small("b", of="c1", scope=CLUSTER)], volumes(31), "b"),
        ([small(), small("b", gi=100, tags=SSD)], volumes(31, tags=SSD), "b"),
        ([small(), small("b", gi=10, tags=SSD)], volumes(11, tags=SSD), "p"),
        ([small(), small("b", gi=10, tags=SSD)], volumes(21, tags=SSD), Reason.INSUFFICIENT_STORAGE),
        ([small()], volumes(1, tags=SSD), Reason.STORAGE_TAGS_MISMATCH),
    ],
)
def test_volumes_that_come_with_a_vm_need_room_beside_its_disk(pools: list[PoolView], wanted: Request, verdict: str) -> None:
    assert chosen(*pools, wanted=wanted) == verdict


def test_a_host_is_chosen_that_has_room_for_the_volumes() -> None:
    hosts = [host(name) for name in ("h1", "h2", "h3")]
    local = [small(f"on-{each.name}", gi=50 if each.name == "h2" else 20, scope=HOST, of=each.name) for each in hosts]
    index = cloud(cluster(), *hosts, *local)
    for number in range(20):
        answer = select(index, request(f"vm{number}", volumes=(NewVolume(60 * GI),)))
        assert isinstance(answer, Placement)
        assert (answer.host, answer.pool) == ("h2", "on-h2")


def test_the_report_names_what_the_nearest_host_lacks_for_a_volume() -> None:
    answer = select(
        cloud(cluster(), host(), host("h2"), small("a", scope=HOST, of="h1"), small("b", scope=HOST, of="h2")), volumes(33)
    )
    assert isinstance(answer, Rejection)
    assert answer.counts == {Reason.INSUFFICIENT_STORAGE: 2}
    assert "nearest: h1 lacks 3Gi of storage" in answer.message


def test_pools_that_refused_a_disk_are_left_out_and_others_are_not() -> None:
    index = cloud(cluster(), host(), host("h2"), small("a", scope=HOST, of="h1"), small("b", scope=HOST, of="h2"))
    answer = select(index, request(refused=frozenset({"a"})))
    assert isinstance(answer, Placement)
    assert (answer.host, answer.pool) == ("h2", "b")
    answer = select(index, request(refused=frozenset({"a", "b"})))
    assert isinstance(answer, Rejection)
    assert answer.counts == {Reason.INSUFFICIENT_STORAGE: 2}
    assert "nearest" not in answer.message, "nobody knows what they lack"


@pytest.mark.parametrize(("refused", "verdict"), [("b", "a"), ("ab", Reason.INSUFFICIENT_STORAGE)])
def test_pools_that_refused_a_volume_are_left_out_for_that_volume(refused: str, verdict: str) -> None:
    """Its VM's own disk may go there: it is another size, or was not refused."""
    wanted = request(volumes=(NewVolume(GI, refused=frozenset(refused)),))
    assert chosen(small("a"), small("b", gi=100), wanted=wanted) == verdict
