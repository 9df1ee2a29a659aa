"""A volume is brought back once for each token, wherever a call breaks off, sleeps or comes late."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, DriverError, NotFound
from drivers.kvm import volumes as restoring
from drivers.kvm.names import Content, Kind, token_digest
from drivers.kvm.store import holdings
from drivers.types import REMEMBERED, SnapshotID, VolumeID
from tests.unit.kvm.store.pool import FakePool, FakeVolume, Killed

MIB = 1 << 20
DATA = VolumeID("11111111-1111-4111-8111-111111111111")
KEPT = SnapshotID("33333333-3333-4333-8333-333333333333")


@dataclass
class SleepyPool(FakePool):
    """`meanwhile` happens once while a copy is being made, or right before it is begun."""

    meanwhile: Callable[[], None] | None = None
    before: bool = False

    def createXMLFrom(self, document: str, source: FakeVolume, flags: int) -> FakeVolume:
        happens, self.meanwhile = self.meanwhile, None
        if happens and self.before:
            happens()
        made = super().createXMLFrom(document, source, flags)
        if happens and not self.before:
            happens()
        return made


@dataclass
class Host:
    """A libvirt without domains, with a pool that has a volume and a snapshot."""

    pool: SleepyPool = field(default_factory=SleepyPool)

    def __post_init__(self) -> None:
        for stem, content in ((f"vireo-vol-{DATA}.0", "old"), (f"vireo-snap-{KEPT}.0", "kept")):
            self.pool.put(f"{stem}.qcow2", content, MIB)
            self.pool.put(f"{stem}.complete", capacity=0)

    def listAllDomains(self, _flags: int) -> list[object]:
        return []

    def restore(self, token: str) -> None:
        restoring._restore(self, self.pool, DATA, KEPT, token)

    @property
    def file(self) -> FakeVolume:
        return self.pool.volumes[holdings.get(self.pool, Kind.VOLUME, DATA).file]

    @property
    def number(self) -> int:
        return holdings.get(self.pool, Kind.VOLUME, DATA).number

    def of_volume(self) -> list[str]:
        return sorted(name for name in self.pool.volumes if DATA in name)


def restored(*tokens: str) -> Host:
    """By these requests, or by "one", and written to since."""
    host = Host()
    for token in tokens or ("one",):
        host.restore(token)
    host.file.content = "written since"
    return host


def files(number: int, *tokens: str) -> list[str]:
    """Of a complete content that these requests have brought, the newest first."""
    content = Content(Kind.VOLUME, DATA, number)
    told = [content.token(token_digest(token), age) for age, token in enumerate(tokens)]
    return sorted([content.file, content.marker, *told])


def test_the_token_comes_with_the_content_and_a_repeat_does_nothing() -> None:
    host = Host()
    host.restore("one")
    assert host.file.content == "kept"
    assert host.of_volume() == files(1, "one")
    host.file.content = "written since"
    host.restore("one")
    assert host.file.content == "written since"
    host.restore("two")
    assert host.file.content == "kept"
    assert host.of_volume() == files(2, "two", "one")
    host.file.content = "written since"
    host.restore("one")
    assert host.file.content == "written since"
    assert host.of_volume() == files(2, "two", "one")


def test_the_last_ones_are_remembered_and_older_ones_go() -> None:
    tokens = [f"uid-{number}" for number in range(REMEMBERED + 4)]
    host = restored(*tokens)
    newest = tokens[::-1]
    assert host.of_volume() == files(len(tokens), *newest[:REMEMBERED])
    for token in newest[:REMEMBERED]:
        host.restore(token)
    assert host.file.content == "written since"
    host.restore(newest[REMEMBERED])
    assert host.file.content == "kept"


@pytest.mark.parametrize("steps", range(13))
def test_wherever_the_next_one_breaks_off_all_are_remembered_that_took_effect(steps: int) -> None:
    host = restored("one", "two")
    host.pool.steps = steps
    with suppress(Killed):
        host.restore("three")
    assert (host.pool.steps == 0) == (steps <= 10), "it has 10 steps, of which four remove the old content"
    came = host.file.content == "kept"
    assert came == (steps >= 6), "with the marker"
    host.file.content = "written since"
    host.pool.steps = 1 << 30
    for token in ("one", "two", "three")[: 2 + came]:
        host.restore(token)
        assert host.file.content == "written since"
    host.restore("three")
    assert host.file.content == ("written since" if came else "kept")
    assert host.of_volume() == files(host.number, "three", "two", "one")


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 20)), max_size=12))
def test_no_request_takes_effect_twice_in_whatever_order_they_come_and_break_off(attempts: list[tuple[str, int]]) -> None:
    host, effects = Host(), list[str]()
    for token, steps in (*attempts, *((token, 1 << 30) for token in "abcde")):
        before, host.pool.steps = host.file.content, steps
        with suppress(Killed):
            host.restore(token)
        if host.file.content == "kept":
            effects.append(token)
            host.file.content = f"written since {token}"
        else:
            assert host.file.content == before
    assert sorted(effects) == list("abcde")
    assert host.of_volume() == files(host.number, *reversed(effects))


def test_a_repeat_needs_no_snapshot_any_more() -> None:
    host = restored()
    holdings.remove(host.pool, Kind.SNAPSHOT, KEPT)
    host.restore("one")
    with pytest.raises(NotFound):
        host.restore("two")
    assert host.file.content == "written since"


@given(st.lists(st.integers(0, 10), max_size=5))
def test_wherever_it_breaks_off_nothing_that_was_written_since_is_lost(breaks: list[int]) -> None:
    """A guest writes as soon as the content has come; each entry is an attempt that is killed after so many steps."""
    host, written = Host(), False
    for steps in (*breaks, 1 << 30):
        host.pool.steps = steps
        with suppress(Killed):
            host.restore("one")
        assert host.file.content == "written since" if written else host.file.content in {"old", "kept"}
        if host.file.content == "kept":
            host.file.content, written = "written since", True
    assert host.file.content == "written since"
    assert len(host.of_volume()) == 3, "nothing is left of what went before or broke off"


def test_a_volume_of_the_version_before_has_no_token() -> None:
    host = Host()
    host.pool.put(f"vireo-vol-{DATA}.7.qcow2", "restored by it")
    host.pool.put(f"vireo-vol-{DATA}.7.complete", capacity=0)
    host.restore("one")
    assert (host.file.content, host.file.title) == ("kept", f"vireo-vol-{DATA}.8.qcow2")


def test_the_token_that_the_version_before_kept_is_kept_on() -> None:
    host = Host()
    for name in files(7, "old"):
        host.pool.put(name, "written since")
    for token in ("old", "one", "two"):
        host.restore(token)
    host.file.content = "written since"
    host.restore("old")
    assert host.file.content == "written since"
    assert host.of_volume() == files(9, "two", "one", "old")


@pytest.mark.parametrize("token", ["uid", "../../etc/passwd", "a b\n", "\udc80", "x" * 4096])
def test_a_token_may_be_any_text(token: str) -> None:
    host = Host()
    host.restore(token)
    host.file.content = "written since"
    host.restore(token)
    assert host.file.content == "written since"
    assert all(len(name) < 128 and "/" not in name for name in host.of_volume())


def test_a_volume_that_goes_takes_its_tokens_along() -> None:
    host = restored("one", "two")
    holdings.remove(host.pool, Kind.VOLUME, DATA)
    assert host.of_volume() == []


def test_what_a_content_had_of_tokens_goes_with_it_when_nobody_ended_its_removal() -> None:
    host = restored("one", "two")
    host.pool.steps = 8  # the next one has come, and the marker and the file of the content before have gone
    with suppress(Killed):
        host.restore("three")
    host.pool.steps = 1 << 30
    assert set(host.of_volume()) > set(files(3, "three", "two", "one"))
    holdings.drop_replaced(host.pool)
    assert host.of_volume() == files(3, "three", "two", "one")


@given(st.integers(0, 6))
def test_nothing_of_it_stays_when_its_removal_breaks_off_and_is_made_again(steps: int) -> None:
    host = restored("one", "two", "three")
    for each in (steps, 1 << 30):
        host.pool.steps = each
        with suppress(Killed):
            holdings.remove(host.pool, Kind.VOLUME, DATA)
    assert host.of_volume() == []


def overtaken(host: Host, token: str, *, before: bool) -> None:
    """Have somebody restore the volume, and its guest write to it, while the next restore is amid its copy or `before` it."""

    def another() -> None:
        host.restore(token)
        host.file.content = "written since"

    host.pool.meanwhile, host.pool.before = another, before


@pytest.mark.parametrize("before", [False, True], ids=["amid its copy", "before its copy"])
def test_who_slept_leaves_alone_what_another_one_has_restored_and_a_guest_written(before: bool) -> None:
    """Both are the same request: the one that slept has seen no token yet."""
    host = Host()
    overtaken(host, "one", before=before)
    with pytest.raises(Busy):
        host.restore("one")
    assert host.file.content == "written since"
    host.restore("one")
    assert host.file.content == "written since"
    assert len(host.of_volume()) == 3


@pytest.mark.parametrize("before", [False, True], ids=["amid its copy", "before its copy"])
def test_who_slept_takes_no_token_away_that_another_request_has_brought(before: bool) -> None:
    host = restored("one")
    overtaken(host, "two", before=before)
    with pytest.raises(Busy):
        host.restore("three")
    assert host.file.content == "written since"
    for token in ("one", "two"):
        host.restore(token)
        assert host.file.content == "written since"
    host.restore("three")
    assert host.of_volume() == files(host.number, "three", "two", "one")


def test_who_slept_makes_no_volume_of_one_that_was_deleted() -> None:
    host = Host()
    host.pool.meanwhile = lambda: holdings.remove(host.pool, Kind.VOLUME, DATA)
    with pytest.raises(DriverError):
        host.restore("one")
    assert host.of_volume() == []


def test_who_could_not_end_it_leaves_the_content_that_another_one_has_completed() -> None:
    """Of a volume that is new: the marker is there already when the first one comes to it."""
    pool = SleepyPool()

    def fill(name: str) -> None:
        pool.put(name, "of the other one")
        pool.put(Content(Kind.VOLUME, DATA, 0).marker, capacity=0)

    with pytest.raises(libvirt.libvirtError):
        holdings.make(pool, Kind.VOLUME, DATA, fill)
    found = holdings.get(pool, Kind.VOLUME, DATA)
    assert pool.volumes[found.file].content == "of the other one"
