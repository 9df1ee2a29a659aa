"""What is planned for NICs in the air: put back where they can be, waited for where they can't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.vm.drift import waits_for_network
from controller.vm.facets.nics import in_vain
from controller.vm.plan import Action, Apply, Want, pending, plan
from drivers.types import ApplyMode, AttachNIC, DesiredVM, DetachNIC, Moved, ObservedVM, Segment, Unplugged
from tests.unit.vm.things import as_made, nic, wanted

FRONT, BACK = nic(), nic("back", vlan=200, mac="02:00:00:00:00:02", ip="10.0.1.5")
VM = wanted(nics=(FRONT, BACK))
GONE, THERE = Unplugged("bridge ovsbr0, vlan-100", missing=True), Unplugged("bridge ovsbr0, vlan-100", missing=False)


def seen(unplugged: Unplugged | None, moved: Moved | None = None) -> ObservedVM:
    """The VM with its first NIC in that state."""
    have = as_made(VM)
    return replace(have, nics=(replace(have.nics[0], unplugged=unplugged, moved=moved), *have.nics[1:]))


def planned(have: ObservedVM, want: DesiredVM = VM, mode: ApplyMode = ApplyMode.LIVE) -> Action | None:
    return plan(Want(want, power_on=True), have, lambda _change, _have: mode)


def test_what_can_be_put_back_is() -> None:
    assert planned(seen(THERE)) == Apply((AttachNIC(FRONT),))


def test_what_lacks_its_network_is_waited_for() -> None:
    assert planned(seen(GONE)) is None
    assert [each.name for each in in_vain(VM, seen(GONE))] == ["front"]
    told = waits_for_network(VM, seen(GONE))
    assert told is not None
    assert told.reason == "NetworkMissing"
    assert "front of network shop/front is in the air: the host has no bridge ovsbr0, vlan-100" in told.message


@pytest.mark.parametrize("unplugged", [None, THERE])
def test_nothing_else_is_waited_for(unplugged: Unplugged | None) -> None:
    assert in_vain(VM, seen(unplugged)) == []
    assert waits_for_network(VM, seen(unplugged)) is None


def test_other_changes_do_not_wait() -> None:
    have = replace(seen(GONE), nics=seen(GONE).nics[:1])
    assert planned(have) == Apply((AttachNIC(BACK),))


@pytest.mark.parametrize("want", [replace(FRONT, segment=Segment(101)), replace(FRONT, ip="10.0.0.9")], ids=["segment", "address"])
def test_one_that_is_declared_otherwise_is_replaced_whatever_became_of_it(want: object) -> None:
    changed = replace(VM, nics=(want, BACK))
    assert planned(seen(GONE), changed) == Apply((DetachNIC("front"), AttachNIC(changed.nics[0])))
    assert in_vain(changed, seen(GONE)) == []


def test_one_that_is_no_longer_declared_goes() -> None:
    assert planned(seen(GONE), replace(VM, nics=(BACK,))) == Apply((DetachNIC("front"),))


def test_where_that_needs_power_off_it_is_said_what_is_to_come() -> None:
    assert planned(seen(THERE), mode=ApplyMode.POWER_OFF) is None
    [change] = pending(VM, seen(THERE), lambda _change, _have: ApplyMode.POWER_OFF)
    assert (change.field, change.current, change.desired) == ("networks[front]", "in the air", "bridge ovsbr0, vlan-100")


def test_one_that_was_moved_is_said_to_be_there() -> None:
    [change] = pending(VM, seen(None, Moved("bridge ovsbr0", "bridge other")), lambda _change, _have: ApplyMode.POWER_OFF)
    assert (change.current, change.desired) == ("bridge other", "bridge ovsbr0")
