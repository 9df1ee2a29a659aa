"""A VM is brought back once for each token, wherever a call breaks off or comes late."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, Conflict, NotFound
from drivers.kvm import mark as marks
from drivers.kvm.domain import pending
from drivers.kvm.mark import Mark
from drivers.kvm.snapshot import restoring
from drivers.kvm.subject import subject
from drivers.kvm.xmltext import parse, render
from drivers.types import REMEMBERED, InstanceID, Owner, SnapshotID
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.store.pool import Killed

INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
FIRST = SnapshotID("11111111-1111-4111-8111-111111111111")
SECOND = SnapshotID("22222222-2222-4222-8222-222222222222")
OWNER = Owner("uid", "shop", "web")


def definition(*restored: str, cpus: int = 2) -> str:
    root = parse(f"<domain><uuid>{INSTANCE}</uuid><vcpu>{cpus}</vcpu><devices/></domain>")
    marks.write(root, Mark(OWNER, 1 << 20, "", restored=restored))
    return render(root)


@dataclass
class Snapshot:
    """What libvirt keeps of one, and in `content` what QEMU does."""

    definition: str
    content: str = "kept"

    def getXMLDesc(self, _flags: int) -> str:
        return self.definition


@dataclass
class Domain:
    """A domain, off unless `on`; it is its own connection. `steps` changes succeed, what follows raises Killed.

    `meanwhile` comes about once, while somebody who wants to write to a snapshot's document sleeps.
    """

    definition: str = field(default_factory=lambda: definition(cpus=4))
    content: str = "old"
    steps: int = 1 << 30
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    on: bool = False
    meanwhile: Callable[[], object] | None = None

    def __post_init__(self) -> None:
        for name in (FIRST, SECOND):
            about = f"<name>{name}</name><memory snapshot='no'/>"
            self.snapshots[name] = Snapshot(f"<domainsnapshot>{about}{definition('of then')}</domainsnapshot>")

    def step(self) -> None:
        if self.steps <= 0:
            raise Killed
        self.steps -= 1

    def lookupByUUIDString(self, _instance: str) -> Domain:
        return self

    def isActive(self) -> int:
        return int(self.on)

    def XMLDesc(self, _flags: int) -> str:
        return self.definition

    def defineXMLFlags(self, text: str, _flags: int) -> None:
        self.step()
        self.definition = text

    def snapshotLookupByName(self, name: str, _flags: int) -> Snapshot:
        if name not in self.snapshots:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT)
        return self.snapshots[name]

    def listAllSnapshots(self, _flags: int) -> list[Snapshot]:
        return list(self.snapshots.values())

    def snapshotCreateXML(self, text: str, flags: int) -> None:
        assert flags == libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
        self.step()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        self.snapshots[parse(text).findtext("name", "")].definition = text

    def revertToSnapshot(self, snapshot: Snapshot, _flags: int) -> None:
        """Disks and definition come back in one step."""
        self.step()
        domain = parse(snapshot.definition).find("domain")
        assert domain is not None
        self.definition, self.content = render(domain), snapshot.content

    # What is done to it, and seen of it ---------------------------------------------------------------------------

    def restore(self, token: str, snapshot: SnapshotID = FIRST) -> None:
        restoring.restore(subject(self, INSTANCE), snapshot, token, cast("Any", None))

    @property
    def restored(self) -> tuple[str, ...]:
        return subject(self, INSTANCE).mark.restored

    @property
    def cpus(self) -> str:
        return parse(self.definition).findtext("vcpu", "")

    @property
    def told(self) -> list[ET.Element]:
        """Every definition that carries a restore that is not done with."""
        documents = [parse(self.definition), *(parse(each.definition).find("domain") for each in self.snapshots.values())]
        return [each for each in documents if each is not None and pending.read(each) is not None]


def restored(*tokens: str) -> Domain:
    """By these requests, and written to since."""
    domain = Domain()
    for token in tokens:
        domain.restore(token)
    domain.content = "written since"
    return domain


def test_the_tokens_of_now_come_with_the_disks_and_not_those_of_then() -> None:
    domain = restored("one")
    domain.restore("two", SECOND)
    assert (domain.content, domain.restored, domain.cpus) == ("kept", ("two", "one"), "4")
    assert domain.told == []


def test_one_that_others_followed_changes_nothing() -> None:
    domain = restored("one", "two")
    before = domain.definition, [each.definition for each in domain.snapshots.values()]
    domain.steps = 0
    for token in ("one", "two", "one"):
        domain.restore(token)
    assert domain.content == "written since"
    assert (domain.definition, [each.definition for each in domain.snapshots.values()]) == before
    domain.snapshots.clear()
    domain.restore("one")
    domain.steps = 1 << 30
    with pytest.raises(NotFound):
        domain.restore("three")


@pytest.mark.parametrize("late", ["one", "two"], ids=["an older one", "the last one"])
def test_one_that_comes_late_leaves_alone_what_another_one_has_prepared(late: str) -> None:
    """The other one is at work in another process: it has written down what comes after it, and not gone back yet."""
    domain = restored("one", "two")
    domain.steps = 1
    with pytest.raises(Killed):
        domain.restore("three")
    [prepared] = domain.told
    domain.restore(late)
    assert [render(each) for each in domain.told] == [render(prepared)]
    assert domain.content == "written since"


@pytest.mark.parametrize("others", [("two",), ("three",), ("two", "three")], ids=" then ".join)
def test_who_slept_on_the_way_leaves_alone_what_another_one_has_restored_and_a_guest_written_to(others: tuple[str, ...]) -> None:
    domain = restored("one")

    def another() -> None:
        for token in others:
            domain.restore(token, SECOND)
        domain.content = "written since"

    domain.meanwhile = another
    with pytest.raises(Busy):
        domain.restore("two")
    assert (domain.content, domain.restored) == ("written since", (*reversed(others), "one"))
    domain.restore("two")
    assert domain.content == ("written since" if "two" in others else "kept")
    assert domain.told == [], "nobody starts it again who goes back to that snapshot by hand"


def test_who_slept_on_the_way_takes_no_disk_from_a_guest_that_was_started() -> None:
    domain = restored("one")
    domain.meanwhile = lambda: setattr(domain, "on", True)
    with pytest.raises(Busy):
        domain.restore("two")
    assert domain.content == "written since"
    with pytest.raises(Conflict):
        domain.restore("two")


def test_a_mark_of_the_version_before_is_kept_on() -> None:
    domain = Domain(definition("old", cpus=4), "written since")
    domain.restore("old")
    assert domain.content == "written since"
    domain.restore("new")
    domain.content = "written since"
    domain.restore("old")
    assert (domain.content, domain.restored) == ("written since", ("new", "old"))


def test_the_last_ones_are_remembered() -> None:
    tokens = [f"uid-{number}" for number in range(REMEMBERED + 4)]
    domain = restored(*tokens)
    assert domain.restored == tuple(reversed(tokens))[:REMEMBERED]
    for token in tokens[-REMEMBERED:]:
        domain.restore(token)
    assert domain.content == "written since"
    domain.restore(tokens[0])
    assert domain.content == "kept"


@pytest.mark.parametrize("steps", range(6))
def test_wherever_the_next_one_breaks_off_all_are_remembered_that_took_effect(steps: int) -> None:
    domain = restored("one", "two")
    domain.steps = steps
    with suppress(Killed):
        domain.restore("three", SECOND)
    came = domain.content == "kept"
    assert came == (steps >= 2), "the snapshot's definition first, then all of it at once"
    domain.content, domain.steps = "written since", 1 << 30
    for token in ("one", "two", "three")[: 2 + came]:
        domain.restore(token)
        assert domain.content == "written since"
    domain.restore("three", SECOND)
    assert domain.content == ("written since" if came else "kept")
    assert (domain.restored, domain.cpus, domain.told) == (("three", "two", "one"), "4", [])


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 5)), max_size=12))
def test_no_request_takes_effect_twice_in_whatever_order_they_come_and_break_off(attempts: list[tuple[str, int]]) -> None:
    """Somebody writes as soon as the content has come, be it that the call broke off right after."""
    domain, effects = Domain(), list[str]()
    for token, steps in (*attempts, *((token, 1 << 30) for token in "abcde")):
        before, domain.steps = domain.content, steps
        with suppress(Killed):
            domain.restore(token, FIRST if token in "ace" else SECOND)
        if domain.content == "kept":
            effects.append(token)
            domain.content = f"written since {token}"
        else:
            assert domain.content == before
    assert sorted(effects) == list("abcde")
    assert (domain.restored, domain.cpus) == (tuple(reversed(effects)), "4")
