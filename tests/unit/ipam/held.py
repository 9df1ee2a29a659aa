"""Owners, addresses, and an allocator in which they are held."""

from __future__ import annotations

from ipaddress import IPv4Address

from controller.ipam import AddressAllocator, Owner, parse_subnet

NET = "shop/front"
SUBNET = parse_subnet("10.1.0.0/24", "10.1.0.1")
ONE, TWO = Owner("u1", "one", "shop/web"), Owner("u1", "two", "shop/web")
STRANGER = Owner("u2", "one", "shop/db")
A, B, C = (IPv4Address(f"10.1.0.{number}") for number in (10, 20, 30))


def holding(**held: tuple[Owner, IPv4Address]) -> AddressAllocator:
    """One in which these owners have these addresses; the names are for whoever reads."""
    allocator = AddressAllocator()
    for owner, ip in held.values():
        allocator.reserve(NET, SUBNET, owner, str(ip))
    return allocator


def records(allocator: AddressAllocator) -> dict[IPv4Address, Owner]:
    """Who has which address."""
    return dict(allocator.records(NET))
