"""Addresses of an object are given back once nobody has them and nobody is to have them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from controller.ipam import AddressAllocator, PinnedMACs, address_of, parse_subnet
from tests.unit.ipam.held import NET, ONE, STRANGER, TWO, A, B, C, holding, records

OTHER = "shop/back"
MAC = "02:00:00:00:00:01"


def test_what_nobody_has_and_nobody_is_to_have_is_given_back() -> None:
    allocator = holding(one=(ONE, A), two=(TWO, B), stranger=(STRANGER, C))
    allocator.retain("u1", {(NET, A)}, set())
    assert set(records(allocator)) == {A, C}
    allocator.retain("u1", set(), {(NET, "one")})
    assert set(records(allocator)) == {A, C}, "of a NIC that is declared"
    allocator.retain("u1", {(OTHER, A)}, {(OTHER, "one")})
    assert set(records(allocator)) == {C}, "in another network it is another address"
    allocator.retain("u-unknown", set(), set())
    assert set(records(allocator)) == {C}


def test_what_is_given_back_is_pinned_no_more() -> None:
    allocator = AddressAllocator()
    allocator.claim(NET, str(A), ONE)
    allocator.retain("u1", set(), {(NET, "one")})
    one = parse_subnet("10.1.0.0/24", None, [(str(A), str(A))])
    assert not hasattr(allocator.reserve(NET, one, STRANGER), "ip"), "still pinned by a declared NIC"
    allocator.retain("u1", set(), set())
    assert str(allocator.reserve(NET, one, STRANGER)) == str(A)


def test_nothing_is_left_of_an_object_that_has_nothing() -> None:
    allocator = holding(one=(ONE, A), two=(TWO, B))
    allocator.retain("u1", set(), set())
    assert not allocator._networks._ledgers
    assert not allocator._networks._entries


def test_a_mac_address_that_nobody_has_is_given_back() -> None:
    macs = PinnedMACs()
    macs.hold("z1", MAC, ONE)
    macs.retain("u1", {MAC})
    assert macs.holder("z1", MAC) == ONE
    macs.retain("u1", set())
    assert macs.hold("z1", MAC, STRANGER) is None


@pytest.mark.parametrize(("text", "found"), [("10.1.0.10", A), ("", None), (None, None), ("ten", None), ("010.1.0.1", None)])
def test_a_text_that_is_no_address(text: str | None, found: IPv4Address | None) -> None:
    assert address_of(text) == found
