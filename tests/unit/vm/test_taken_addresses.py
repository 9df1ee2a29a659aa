"""A NIC with an address that another NIC of the VM still has comes once that one is seen to be gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.vm.facets.nics import taken
from controller.vm.plan import Apply, Start, Want, plan
from drivers.types import ApplyMode, AttachNIC, Change, DesiredNIC, DetachNIC, ObservedVM, Power, SetCPUs
from tests.unit.vm.things import as_made, carried_out, nic, wanted

MAC_A, MAC_B, A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "10.0.0.10", "10.0.0.11"
ONE = nic("one", mac=MAC_A, ip=A)
RENAMED = nic("two", mac=MAC_A, ip=A)


def live(_change: Change, _have: ObservedVM) -> ApplyMode:
    return ApplyMode.LIVE


def having(*nics: DesiredNIC, power: Power = Power.ON) -> ObservedVM:
    return as_made(wanted(nics=nics), power)


@pytest.mark.parametrize(
    ("want", "have", "expected"),
    [
        (RENAMED, (ONE,), True),
        (nic("two", mac=MAC_B, ip=A), (ONE,), True),
        (nic("two", mac=MAC_A, ip=B), (ONE,), True),
        (nic("two", mac=MAC_B, ip=B), (ONE,), False),
        (replace(nic("two", mac=MAC_B, ip=A), network="shop/other"), (ONE,), False),
        (nic("two", mac=MAC_B, ip=""), (nic("one", mac=MAC_A, ip=""),), False),
        (nic("one", mac=MAC_A, ip=B), (ONE,), False),
        (RENAMED, (), False),
    ],
    ids=["both", "address", "MAC address", "none", "another network", "no addresses", "under its own name", "gone"],
)
def test_whether_another_one_has_it(want: DesiredNIC, have: tuple[DesiredNIC, ...], expected: bool) -> None:
    assert taken(want, having(*have)) is expected


def steps(want: Want, have: ObservedVM) -> list[tuple[Change, ...]]:
    """What is applied, call by call, to the end."""
    found: list[tuple[Change, ...]] = []
    while isinstance(action := plan(want, have, live), Apply):
        found.append(action.changes)
        for change in action.changes:
            have = carried_out(change, have, ApplyMode.LIVE)
            addresses = [address for each in have.nics for address in {each.mac, each.ip}]
            assert len(addresses) == len(set(addresses)), "no two NICs ever have one"
    return found


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_one_goes_then_the_other_comes(power: Power) -> None:
    want = Want(wanted(nics=(RENAMED,)), power_on=True)
    assert steps(want, having(ONE, power=power)) == [(DetachNIC("one"),), (AttachNIC(RENAMED),)]


def test_two_that_swap_both_go_first() -> None:
    two = nic("two", mac=MAC_B, ip=B)
    swapped = (nic("one", mac=MAC_B, ip=B), nic("two", mac=MAC_A, ip=A))
    went, came = steps(Want(wanted(nics=swapped), power_on=True), having(ONE, two))
    assert set(went) == {DetachNIC("one"), DetachNIC("two")}
    assert set(came) == {AttachNIC(each) for each in swapped}


def test_nothing_else_waits_with_it() -> None:
    three = nic("three", mac=MAC_B, ip=B)
    first, *_ = steps(Want(wanted(nics=(RENAMED, three), cpus=4), power_on=True), having(ONE))
    assert set(first) == {SetCPUs(4), DetachNIC("one"), AttachNIC(three)}


def test_a_vm_that_is_off_starts_with_it() -> None:
    want = Want(wanted(nics=(RENAMED,)), power_on=True)
    gone = having(power=Power.OFF)
    assert plan(want, gone, live) == Apply((AttachNIC(RENAMED),))
    assert isinstance(plan(want, having(RENAMED, power=Power.OFF), live), Start)
