"""A guest that was frozen is thawed, whatever happens meanwhile."""

import libvirt
import pytest

from drivers.errors import Conflict, Transient
from drivers.kvm.freeze import ATTEMPTS, frozen, thaw
from tests.unit.kvm.fakes import libvirt_error


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
    with pytest.raises(Transient, match="thawed"), frozen(guest, 1):
        pass


def test_a_guest_that_went_off_needs_no_thaw() -> None:
    thaw(FakeGuest(deaf=100, active=False))
