"""Addresses that change hands between the NICs of one object: at no time are they free."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ipam import AddressAllocator, Owner, PinnedMACs, former_owner
from tests.unit.ipam.held import NET, ONE, STRANGER, SUBNET, TWO, A, B, holding, records

MAC = "02:00:00:00:00:01"


def test_an_address_goes_over_to_one_that_has_none() -> None:
    allocator = holding(one=(ONE, A))
    allocator.hand_over(NET, A, TWO)
    assert records(allocator) == {A: TWO}
    assert (allocator.held_by(NET, ONE), allocator.held_by(NET, TWO)) == (None, A)


def test_what_the_new_holder_had_stays_held() -> None:
    """The NIC on the hypervisor has it still."""
    allocator = holding(one=(ONE, A), two=(TWO, B))
    allocator.hand_over(NET, B, ONE)
    assert records(allocator) == {A: former_owner(ONE, A), B: ONE}
    assert str(former_owner(ONE, A)) == "shop/web (former 10.1.0.10)"
    allocator.hand_over(NET, A, TWO)
    assert records(allocator) == {A: TWO, B: ONE}


@pytest.mark.parametrize("ip", [A, B], ids=["another object's", "nobody's"])
def test_what_is_not_the_objects_own_is_not_handed_over(ip: IPv4Address) -> None:
    allocator = holding(stranger=(STRANGER, A))
    with pytest.raises(ValueError, match="not shop/web"):
        allocator.hand_over(NET, ip, ONE)
    assert records(allocator) == {A: STRANGER}


def test_who_waits_for_it_does_not_get_between() -> None:
    allocator = holding(one=(ONE, A))
    allocator.reserve(NET, SUBNET, Owner("u0", "old", created="2020-01-01T00:00:00Z"), str(A))
    allocator.hand_over(NET, A, TWO)
    assert records(allocator) == {A: TWO}


def test_nothing_is_left_of_an_object_that_has_nothing() -> None:
    allocator = holding(one=(ONE, A), two=(TWO, B))
    allocator.hand_over(NET, B, ONE)
    allocator.retain("u1", set(), set())
    assert not allocator._networks._ledgers
    assert not allocator._networks._entries


def test_a_mac_address_goes_over_and_is_given_back() -> None:
    macs = PinnedMACs()
    macs.hold("z1", MAC, ONE)
    macs.hand_over("z1", MAC, TWO)
    assert macs.holder("z1", MAC) == TWO
    assert macs.hold("z1", MAC, ONE) is not None
    with pytest.raises(ValueError, match="not shop/db"):
        macs.hand_over("z1", MAC, STRANGER)
    macs.retain("u1", {MAC})
    assert macs.holder("z1", MAC) == TWO
    macs.retain("u1", set())
    assert macs.hold("z1", MAC, STRANGER) is None


parts = st.sampled_from(["a", "b", "c"])
ips = st.integers(2, 6).map(lambda number: IPv4Address(f"10.1.0.{number}"))
steps = st.lists(st.tuples(st.sampled_from(["reserve", "hand", "retain"]), parts, ips), max_size=40)


@given(steps)
def test_whatever_changes_hands_no_address_is_lost_and_none_is_held_twice(taken: list[tuple[str, str, IPv4Address]]) -> None:
    allocator, kept = AddressAllocator(), set[IPv4Address]()
    for step, part, ip in taken:
        owner, before = Owner("u1", part), dict(allocator.records(NET))
        if step == "reserve":
            allocator.reserve(NET, SUBNET, owner, str(ip))
        elif step == "hand" and ip in before and before[ip] != owner:
            allocator.hand_over(NET, ip, owner)
            assert dict(allocator.records(NET)).keys() == before.keys(), "nothing was free at any time"
            assert allocator.holder(NET, ip) == owner
        elif step == "retain":
            kept = {ip}
            allocator.retain("u1", {(NET, ip)}, {(NET, part)})
            left = dict(allocator.records(NET))
            assert left == {each: holder for each, holder in before.items() if each in kept or holder.part == part}
        found = allocator.records(NET)
        assert len({holder for _, holder in found}) == len(found)
        assert all(allocator.held_by(NET, holder) == each for each, holder in found)
    allocator.release_all("u1")
    assert not allocator._networks._entries
