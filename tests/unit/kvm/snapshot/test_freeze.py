"""A guest that was frozen is thawed, whatever happens meanwhile."""

from unittest.mock import Mock

import libvirt
import pytest

from drivers.errors import Conflict, Transient
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import AGENT_CHANNEL
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import Timeouts
from drivers.kvm.snapshot.freeze import ATTEMPTS, frozen, thaw
from drivers.kvm.snapshots import KVMSnapshots
from drivers.kvm.xmltext import render
from drivers.types import DesiredSnapshot, HostID, Owner, SnapshotID
from tests.unit.kvm.domain.test_build import VM
from tests.unit.kvm.fakes import HOST, libvirt_error


class FakeGuest:
    """Freezes and thaws; refuses as often as it is told."""

    def __init__(self, *, freezes: bool = True, deaf: int = 0, active: bool = True) -> None:
        self.frozen = False
        self.calls: list[str] = []
        self.timeout = 0
        self._freezes = freezes
        self._deaf = deaf
        self.active = active

    def agentSetResponseTimeout(self, timeout: int, _flags: int) -> None:
        self.timeout = timeout

    def fsFreeze(self) -> int:
        self.calls.append("freeze")
        self.frozen = True
        if not self._freezes:
            raise libvirt_error(libvirt.VIR_ERR_AGENT_UNRESPONSIVE, "Guest agent is not responding: /dev/x")
        return 1

    def fsThaw(self) -> int:
        self.calls.append("thaw")
        if self._deaf:
            self._deaf -= 1
            raise libvirt_error(libvirt.VIR_ERR_AGENT_UNRESPONSIVE)
        self.frozen = False
        return 1

    def isActive(self) -> bool:
        return self.active


def test_it_is_frozen_inside_and_thawed_after_it() -> None:
    guest = FakeGuest()
    with frozen(guest, 7):
        assert guest.frozen
    assert (guest.frozen, guest.timeout) == (False, 7)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, libvirt.libvirtError])
def test_an_error_inside_thaws_and_goes_on(error: type[BaseException]) -> None:
    guest = FakeGuest()
    with pytest.raises(error), frozen(guest, 1):
        raise error("broken")
    assert not guest.frozen


def test_a_freeze_that_got_no_answer_may_have_happened() -> None:
    guest = FakeGuest(freezes=False)
    with pytest.raises(Conflict, match="cannot freeze") as caught, frozen(guest, 1):
        raise AssertionError("not reached")
    assert not guest.frozen
    assert "/dev" not in str(caught.value)


def test_a_guest_that_can_neither_freeze_nor_thaw_is_a_conflict() -> None:
    guest = FakeGuest(freezes=False, deaf=100)
    with pytest.raises(Conflict), frozen(guest, 1):
        raise AssertionError("not reached")
    assert guest.calls.count("thaw") == ATTEMPTS


def test_a_thaw_is_tried_again() -> None:
    guest = FakeGuest(deaf=ATTEMPTS - 1)
    with frozen(guest, 1):
        pass
    assert not guest.frozen


def test_a_thaw_without_confirmation_is_told() -> None:
    guest = FakeGuest(deaf=ATTEMPTS)
    with pytest.raises(Transient, match="thawed") as caught, frozen(guest, 1):
        pass
    assert caught.value.outcome_unknown


def test_a_guest_that_went_off_needs_no_thaw() -> None:
    thaw(FakeGuest(deaf=100, active=False), 1)


def test_a_thaw_does_not_wait_for_ever() -> None:
    """libvirt forgets the time that the freeze was given when it is restarted in between, and then waits without an end."""
    guest = FakeGuest()
    thaw(guest, 7)
    assert guest.timeout == 7


class FakeDomain(FakeGuest):
    """A domain of ours that has a snapshot already, on a connection that knows it alone."""

    def __init__(self, *, agent: str = "connected", deaf: int = 0, active: bool = True) -> None:
        super().__init__(deaf=deaf, active=active)
        self.frozen = True
        self._document = build(VM, HOST)
        channel = self._document.find(AGENT_CHANNEL)
        assert channel is not None
        channel.set("state", agent)

    def lookupByUUIDString(self, _: str) -> "FakeDomain":
        return self

    def XMLDesc(self, _: int) -> str:
        return render(self._document)

    def snapshotLookupByName(self, _: str, __: int) -> object:
        return object()


def take_again(domain: FakeDomain, *, quiesce: bool = True) -> None:
    session = Mock(timeouts=Timeouts(agent=7))
    session.run = lambda _role, _action, function, **_: function(domain)
    snapshots = KVMSnapshots(session, Mock(), KeyedLocks(), Mock(), Mock())
    identity = SnapshotID("11111111-1111-4111-8111-111111111111")
    wanted = DesiredSnapshot(identity, "before", Owner("uid", "shop", "before"), quiesce=quiesce)
    snapshots.create_snapshot(HostID("kvm1"), VM.instance, wanted)


def test_a_snapshot_that_is_there_is_not_success_before_the_guest_is_thawed() -> None:
    domain = FakeDomain(deaf=ATTEMPTS)
    with pytest.raises(Transient) as caught:
        take_again(domain)
    assert (caught.value.outcome_unknown, domain.frozen) == (True, True)
    take_again(domain)
    assert (domain.frozen, domain.timeout) == (False, 7)
    assert "freeze" not in domain.calls


@pytest.mark.parametrize(
    ("agent", "active", "quiesce"), [("disconnected", True, True), ("connected", False, True), ("connected", True, False)]
)
def test_where_nobody_can_be_asked_or_nothing_was_frozen_the_snapshot_is_success(agent: str, active: bool, quiesce: bool) -> None:
    domain = FakeDomain(agent=agent, active=active, deaf=100)
    take_again(domain, quiesce=quiesce)
    assert domain.calls == []
