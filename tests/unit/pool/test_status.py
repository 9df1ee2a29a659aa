"""What hosts say of a pool → its status: pure rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.inventory.pools import PoolFailure
from controller.pool.status import Survey, capacity, result
from controller.runtime.results import Done, Waiting
from crds.v1alpha1 import StoragePool
from crds.v1alpha1.storagepool import PoolCapacity
from drivers.types import ObservedPool

POOL = StoragePool.parse({"metadata": {"name": "s1"}, "spec": {"zone": "z1", "scope": "Zone", "type": "Directory", "path": "/srv"}})
SEEN = ObservedPool("s1", 1000, 500)
BAD = PoolFailure("h2", "RefusedByHypervisor", "no")

sizes = st.integers(1, 2**45).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))


@given(sizes)
def test_free_space_is_never_too_much_and_at_most_one_percent_too_little(size: tuple[int, int]) -> None:
    total, available = size
    seen = capacity(PoolCapacity(), ObservedPool("s1", total, available), 0)
    assert seen.total.bytes == total
    assert seen.available is not None
    assert available - total / 100 <= seen.available.bytes <= available


@given(st.integers(100, 2**20), st.integers(0, 2**20))
def test_free_space_of_large_pools_is_in_whole_gibibytes(total: int, available: int) -> None:
    seen = capacity(PoolCapacity(), ObservedPool("s1", total * 2**30 + 12345, available * 2**30 + 999), 0)
    assert seen.available is not None
    assert seen.available.bytes == available * 2**30


@given(sizes, st.data())
def test_free_space_is_rewritten_only_after_one_percent(size: tuple[int, int], data: st.DataObject) -> None:
    total, available = size
    known = capacity(PoolCapacity(), ObservedPool("s1", total, available), 0)
    later = data.draw(st.integers(0, total))
    new = capacity(known, ObservedPool("s1", total, later), 0)
    assert known.available is not None
    assert new.available is not None
    if abs(later - known.available.bytes) < total / 100:
        assert new == known
    else:
        assert later - total / 100 <= new.available.bytes <= later


def test_another_total_is_taken_over_at_once() -> None:
    known = capacity(PoolCapacity(), ObservedPool("s1", 1000, 500), 0)
    assert capacity(known, ObservedPool("s1", 2000, 501), 7) == PoolCapacity.model_validate(
        {"total": "2000", "available": "501", "allocated": "7"}
    )


def test_free_space_below_nothing_reads_as_none_left() -> None:
    seen = capacity(PoolCapacity(), ObservedPool("s1", 1000, -5), 0)
    assert seen.available is not None
    assert seen.available.bytes == 0


def test_result_by_what_hosts_say() -> None:
    table = [
        (Survey(ready={"h1": SEEN}), Done, "Up"),
        (Survey(ready={"h1": SEEN}, failing=[BAD], absent=["h3"]), Done, "Up"),
        (Survey(failing=[BAD], absent=["h3"]), Waiting, "RefusedByHypervisor"),
        (Survey(absent=["h3"]), Waiting, "NoHostUp"),
        (Survey(), Waiting, "NoHosts"),
    ]
    for survey, kind, reason in table:
        found = result(POOL, survey)
        assert (type(found), found.reason) == (kind, reason)
