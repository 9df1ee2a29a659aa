"""Contents of volumes are complete or do not count, wherever a call breaks off."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, DriverError, InvalidSpec, NoRoom, NotFound
from drivers.kvm.names import Content, Kind
from drivers.kvm.store import holdings
from drivers.types import ObservedVolume, VMDisk, VolumeSnapshot
from tests.unit.kvm.store.pool import FakePool, Killed

MIB = 1 << 20
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"
SNAPSHOT = "33333333-3333-4333-8333-333333333333"


def pool_with(identity: str = ONE, content: str = "old", capacity: int = MIB) -> FakePool:
    pool = FakePool()
    pool.put(f"vireo-vol-{identity}.0.qcow2", content, capacity)
    pool.put(f"vireo-vol-{identity}.0.complete", capacity=0)
    return pool


def with_snapshot(pool: FakePool, content: str = "new", capacity: int = MIB) -> FakePool:
    pool.put(f"vireo-snap-{SNAPSHOT}.0.qcow2", content, capacity)
    pool.put(f"vireo-snap-{SNAPSHOT}.0.complete", capacity=0)
    return pool


def content(pool: FakePool, identity: str = ONE) -> str:
    """What a reader finds; empty where there is no volume."""
    found = holdings.find(pool, Kind.VOLUME, identity)
    return "" if found is None else pool.volumes[found.file].content


def replace_content(pool: FakePool, size: int = 2 * MIB) -> None:
    source = f"vireo-snap-{SNAPSHOT}.0.qcow2"
    holdings.make(pool, Kind.VOLUME, ONE, lambda name: holdings.copy(pool, name, source, size))


@given(st.lists(st.integers(0, 8), max_size=4))
def test_whatever_breaks_off_there_is_the_old_content_or_the_new_one_and_again_is_right(breaks: list[int]) -> None:
    """Each entry is an attempt that is killed after so many steps."""
    pool = with_snapshot(pool_with())
    for steps in breaks:
        pool.steps = steps
        with suppress(Killed):
            replace_content(pool)
        assert content(pool) in {"old", "new"}
        [seen] = holdings.read(pool).volumes
        assert pool.volumes[seen.volume_id.rpartition("/")[2]].content == content(pool)
    pool.steps = 1 << 30
    replace_content(pool)
    assert content(pool) == "new"
    assert len([name for name in pool.volumes if ONE in name]) == 2, "nothing is left of what broke off"


@given(st.lists(st.integers(0, 4), max_size=4))
def test_a_volume_that_is_new_is_there_as_a_whole_or_not_at_all(breaks: list[int]) -> None:
    pool = with_snapshot(FakePool())
    for steps in breaks:
        pool.steps = steps
        if not content(pool):
            with suppress(Killed):
                replace_content(pool)
        assert content(pool) in {"", "new"}
        assert len(holdings.read(pool).volumes) == bool(content(pool))


@given(st.lists(st.integers(0, 3), max_size=4))
def test_a_removal_that_breaks_off_leaves_nothing_that_counts(breaks: list[int]) -> None:
    pool = pool_with()
    for number, steps in enumerate(breaks, 1):
        pool.steps = steps
        with suppress(Killed):
            holdings.remove(pool, Kind.VOLUME, ONE)
        assert content(pool) == ("" if any(breaks[:number]) else "old")
    pool.steps = 1 << 30
    holdings.remove(pool, Kind.VOLUME, ONE)
    assert pool.volumes == {}


@given(st.integers(0, 4))
def test_a_removal_that_breaks_off_never_brings_an_older_content_back(steps: int) -> None:
    """Where a restore was killed before it had removed what went before."""
    pool = pool_with()
    pool.put(f"vireo-vol-{ONE}.1.qcow2", "new")
    pool.put(f"vireo-vol-{ONE}.1.complete", capacity=0)
    pool.steps = steps
    with suppress(Killed):
        holdings.remove(pool, Kind.VOLUME, ONE)
    assert content(pool) in {"", "new"}


def test_only_the_volume_itself_is_touched() -> None:
    pool = pool_with(TWO, "other")
    pool.put("somebody's.qcow2")
    with_snapshot(pool)
    pool.put(f"vireo-vol-{ONE}.0.qcow2", "left over")
    holdings.remove(pool, Kind.VOLUME, ONE)
    holdings.remove(pool, Kind.SNAPSHOT, ONE)
    assert sorted(pool.volumes) == sorted(
        [
            "somebody's.qcow2",
            *(f"vireo-{kind}.0.{part}" for kind in (f"vol-{TWO}", f"snap-{SNAPSHOT}") for part in ("qcow2", "complete")),
        ]
    )


@pytest.mark.parametrize("parts", [("qcow2",), ("complete",)])
def test_half_of_a_content_does_not_count(parts: tuple[str, ...]) -> None:
    pool = FakePool()
    for part in parts:
        pool.put(f"vireo-vol-{ONE}.4.{part}")
    assert holdings.find(pool, Kind.VOLUME, ONE) is None
    with pytest.raises(NotFound):
        holdings.get(pool, Kind.VOLUME, ONE)
    assert holdings.read(pool).volumes == ()


def test_the_largest_number_that_is_complete_counts() -> None:
    pool = FakePool()
    for name in ("9.qcow2", "9.complete", "10.qcow2", "10.complete", "11.qcow2"):
        pool.put(f"vireo-vol-{ONE}.{name}")
    assert holdings.get(pool, Kind.VOLUME, ONE) == Content(Kind.VOLUME, ONE, 10)
    assert [volume.volume_id for volume in holdings.read(pool).volumes] == [f"/srv/pool/vireo-vol-{ONE}.10.qcow2"]


def test_while_the_host_still_writes_it_says_busy_and_a_new_content_does_not_wait() -> None:
    """A copy that a lost connection left behind in libvirtd."""
    pool = with_snapshot(FakePool())
    pool.put(f"vireo-vol-{ONE}.0.qcow2").building = True
    with pytest.raises(Busy):
        holdings.remove(pool, Kind.VOLUME, ONE)
    replace_content(pool)
    assert content(pool) == "new"


def test_a_copy_has_the_size_that_it_should_have() -> None:
    pool = with_snapshot(FakePool())
    holdings.copy(pool, "copy", f"vireo-snap-{SNAPSHOT}.0.qcow2", 3 * MIB + 1)
    assert pool.volumes["copy"].capacity == 3 * MIB + 1024, "in whole KiB"


@pytest.mark.parametrize(
    ("size", "available", "kind", "what"),
    [(MIB // 2, MIB, InvalidSpec, "too small"), (MIB, 2, NoRoom, "has 2 free of"), (0, MIB, InvalidSpec, "bytes")],
)
def test_what_cannot_be_copied_is_not_begun(size: int, available: int, kind: type[DriverError], what: str) -> None:
    pool = with_snapshot(FakePool(available=available))
    with pytest.raises(kind, match=what):
        holdings.copy(pool, "copy", f"vireo-snap-{SNAPSHOT}.0.qcow2", size)
    assert "copy" not in pool.volumes


def test_everything_under_our_names_is_listed() -> None:
    pool = with_snapshot(pool_with(capacity=2 * MIB))
    pool.put(f"{TWO}-root.qcow2", capacity=3 * MIB)
    for other in ("vm.qcow2", f"{TWO}-seed-0123.iso", "vireo-image-debian.qcow2", f"{TWO}-.qcow2", "vireo-vol-x.0.qcow2"):
        pool.put(other)
    found = holdings.read(pool)
    assert found.disks == (VMDisk(TWO, "root", f"/srv/pool/{TWO}-root.qcow2", 3 * MIB),)  # type: ignore[arg-type]
    assert found.volumes == (ObservedVolume(ONE, f"/srv/pool/vireo-vol-{ONE}.0.qcow2", 2 * MIB),)  # type: ignore[arg-type]
    kept = VolumeSnapshot(SNAPSHOT, f"/srv/pool/vireo-snap-{SNAPSHOT}.0.qcow2", MIB)  # type: ignore[arg-type]
    assert found.snapshots == (kept,)
