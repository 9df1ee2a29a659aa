"""Addresses: refusals by table, order and exhaustion by property. Interleavings are in test_addresses_machine.py."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ipam import Address, AddressAllocator, Conflict, Owner, Reason, Refusal, Subnet, parse_subnet

NET = "shop/front"
SUBNET = parse_subnet("10.1.0.0/24", "10.1.0.1", [("10.1.0.10", "10.1.0.19"), ("10.1.0.30", "10.1.0.39")])


def owner(number: int, created: str = "2026-01-01T00:00:00Z") -> Owner:
    return Owner(f"uid-{number}", "front", f"shop/web-{number}", created)


def ip(answer: Address | Refusal) -> str:
    assert isinstance(answer, Address), answer
    return str(answer)


def refusal(answer: Address | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


def test_an_owner_gets_the_same_address_again() -> None:
    allocator = AddressAllocator()
    first = allocator.reserve(NET, SUBNET, owner(1))
    assert isinstance(first, Address)
    assert first.prefix_length == 24
    assert allocator.reserve(NET, SUBNET, owner(1)) == first
    assert allocator.allocated(NET) == 1


def test_a_fresh_allocator_gives_the_same_address() -> None:
    """After the loss of all records an owner comes back to its address, as long as it is free."""
    for number in range(50):
        assert AddressAllocator().reserve(NET, SUBNET, owner(number)) == AddressAllocator().reserve(NET, SUBNET, owner(number))


def test_networks_are_independent() -> None:
    allocator = AddressAllocator()
    assert ip(allocator.reserve("a", SUBNET, owner(1), "10.1.0.10")) == ip(allocator.reserve("b", SUBNET, owner(2), "10.1.0.10"))


@pytest.mark.parametrize(
    ("pinned", "reason", "text"),
    [
        ("10.2.0.10", Reason.ADDRESS_OUTSIDE_SUBNET, "address 10.2.0.10 is outside the subnet 10.1.0.0/24"),
        ("10.1.0.1", Reason.ADDRESS_RESERVED, "gateway"),
        ("10.1.0.0", Reason.ADDRESS_RESERVED, "network"),
        ("10.1.0.255", Reason.ADDRESS_RESERVED, "broadcast"),
        ("10.1.0.20", Reason.ADDRESS_OUTSIDE_RANGES, "outside the ranges 10.1.0.10-10.1.0.19, 10.1.0.30-10.1.0.39"),
        ("ten", Reason.ADDRESS_INVALID, "'ten' is not an IPv4 address"),
        ("fd00::1", Reason.ADDRESS_INVALID, "not an IPv4 address"),
        ("9" * 10_000, Reason.ADDRESS_INVALID, "not an IPv4 address"),
    ],
)
def test_an_impossible_pin_is_refused_and_nothing_is_kept(pinned: str, reason: Reason, text: str) -> None:
    allocator = AddressAllocator()
    refused = refusal(allocator.reserve(NET, SUBNET, owner(1), pinned))
    assert refused.reason is reason
    assert text in refused.message
    assert len(refused.message) < 200
    assert allocator.records(NET) == []


def test_many_ranges_are_shown_in_short() -> None:
    subnet = parse_subnet("10.1.0.0/24", None, [(f"10.1.0.{number}", f"10.1.0.{number}") for number in range(10, 100, 2)])
    refused = refusal(AddressAllocator().reserve(NET, subnet, owner(1), "10.1.0.11"))
    assert refused.message.endswith("10.1.0.16-10.1.0.16 and 41 more")


def test_a_pinned_address_in_use_says_by_whom() -> None:
    allocator = AddressAllocator()
    allocator.reserve(NET, SUBNET, owner(1), "10.1.0.12")
    refused = refusal(allocator.reserve(NET, SUBNET, owner(2), "10.1.0.12"))
    assert refused.reason is Reason.ADDRESS_IN_USE
    assert refused.message == "address 10.1.0.12 is in use by shop/web-1 (front)"
    assert refused.by == owner(1)


def test_a_holder_is_never_put_out_even_by_an_older_object() -> None:
    allocator = AddressAllocator()
    young, old = owner(1, "2026-02-02T00:00:00Z"), owner(2, "2026-01-01T00:00:00Z")
    assert ip(allocator.reserve(NET, SUBNET, young, "10.1.0.12")) == "10.1.0.12"
    assert refusal(allocator.reserve(NET, SUBNET, old, "10.1.0.12")).by == young
    assert ip(allocator.reserve(NET, SUBNET, young, "10.1.0.12")) == "10.1.0.12"


def test_a_refused_pin_is_served_when_the_holder_goes() -> None:
    allocator = AddressAllocator()
    allocator.reserve(NET, SUBNET, owner(1), "10.1.0.12")
    allocator.reserve(NET, SUBNET, owner(2), "10.1.0.12")
    allocator.release(owner(1))
    others = [ip(allocator.reserve(NET, SUBNET, owner(number))) for number in range(10, 29)]
    assert "10.1.0.12" not in others, "nobody gets a pinned address by chance"
    assert ip(allocator.reserve(NET, SUBNET, owner(2), "10.1.0.12")) == "10.1.0.12"


@given(st.permutations(range(5)), st.permutations(range(5)))
def test_the_oldest_of_several_pins_wins_in_any_order(seen: list[int], tried: list[int]) -> None:
    owners = [owner(9 - number, f"2026-01-0{1 + number // 2}T00:00:00Z") for number in range(5)]
    allocator = AddressAllocator()
    for number in seen:
        allocator.claim(NET, "10.1.0.12", owners[number])
    answers = {number: allocator.reserve(NET, SUBNET, owners[number], "10.1.0.12") for number in tried}
    # Created first: numbers 0 and 1, at the same second; their uids are uid-9 and uid-8.
    assert [number for number, answer in answers.items() if isinstance(answer, Address)] == [1]
    assert all(refusal(answer).by == owners[1] for number, answer in answers.items() if number != 1)


def test_a_withdrawn_pin_is_free_for_all() -> None:
    allocator = AddressAllocator()
    one = parse_subnet("10.1.0.0/24", None, [("10.1.0.12", "10.1.0.12")])
    allocator.claim(NET, "10.1.0.12", owner(1))
    assert refusal(allocator.reserve(NET, one, owner(2))).reason is Reason.ADDRESSES_EXHAUSTED
    allocator.release(owner(1))
    assert ip(allocator.reserve(NET, one, owner(2))) == "10.1.0.12"


def test_a_claim_that_is_no_address_is_left_for_reserve() -> None:
    allocator = AddressAllocator()
    allocator.claim(NET, "ten", owner(1))
    assert refusal(allocator.reserve(NET, SUBNET, owner(1), "ten")).reason is Reason.ADDRESS_INVALID


def test_an_address_can_not_be_changed() -> None:
    allocator = AddressAllocator()
    allocator.reserve(NET, SUBNET, owner(1), "10.1.0.12")
    refused = refusal(allocator.reserve(NET, SUBNET, owner(1), "10.1.0.13"))
    assert refused.reason is Reason.ADDRESS_FIXED
    assert "has the address 10.1.0.12 for its life" in refused.message
    assert ip(allocator.reserve(NET, SUBNET, owner(1))) == "10.1.0.12"


def test_an_address_outside_shrunk_ranges_is_kept() -> None:
    allocator = AddressAllocator()
    allocator.reserve(NET, SUBNET, owner(1), "10.1.0.39")
    shrunk = parse_subnet("10.1.0.0/24", "10.1.0.1", [("10.1.0.10", "10.1.0.10")])
    assert ip(allocator.reserve(NET, shrunk, owner(1))) == "10.1.0.39"
    assert ip(allocator.reserve(NET, shrunk, owner(2))) == "10.1.0.10"
    assert refusal(allocator.reserve(NET, shrunk, owner(3))).message == (
        "network shop/front: all 1 addresses of 10.1.0.10-10.1.0.10 are in use"
    )


def test_one_object_may_have_several_nics_in_a_network() -> None:
    allocator = AddressAllocator()
    front, back = Owner("u", "front"), Owner("u", "back")
    assert ip(allocator.reserve(NET, SUBNET, front)) != ip(allocator.reserve(NET, SUBNET, back))
    allocator.release(front)
    assert [each for _, each in allocator.records(NET)] == [back]
    allocator.reserve("other", SUBNET, front)
    allocator.release_all("u")
    assert allocator.records(NET) == allocator.records("other") == []


def test_a_released_network_is_empty() -> None:
    allocator = AddressAllocator()
    allocator.reserve(NET, SUBNET, owner(1), "10.1.0.12")
    allocator.release_network(NET)
    assert allocator.allocated(NET) == 0
    assert ip(allocator.reserve(NET, SUBNET, owner(2), "10.1.0.12")) == "10.1.0.12"
    allocator.release(owner(1))
    assert allocator.allocated(NET) == 1


def test_adopting_twice_is_harmless() -> None:
    allocator = AddressAllocator()
    assert allocator.adopt(NET, IPv4Address("10.9.9.9"), owner(1)) is None
    assert allocator.adopt(NET, IPv4Address("10.9.9.9"), owner(1)) is None
    assert ip(allocator.reserve(NET, SUBNET, owner(1))) == "10.9.9.9", "even outside the subnet: it has it"


def test_an_owner_keeps_the_first_of_two_adopted_addresses() -> None:
    allocator = AddressAllocator()
    first, second = IPv4Address("10.1.0.12"), IPv4Address("10.1.0.13")
    allocator.adopt(NET, first, owner(1))
    assert allocator.adopt(NET, second, owner(1)) == Conflict(int(second), int(first), owner(1), owner(1))
    assert allocator.records(NET) == [(first, owner(1))]


@given(st.permutations(range(4)))
def test_of_several_adopters_the_oldest_keeps_it_in_any_order(order: list[int]) -> None:
    owners = [owner(number, f"2026-01-0{1 + number}T00:00:00Z") for number in range(4)]
    allocator = AddressAllocator()
    address = IPv4Address("10.1.0.12")
    conflicts = [allocator.adopt(NET, address, owners[number]) for number in order]
    assert allocator.records(NET) == [(address, owners[0])]
    found = [each for each in conflicts if each]
    assert {each.loses for each in found} == set(owners[1:]), "each loser is reported"
    assert len(found) == 3
    assert all(allocator.adopt(NET, address, each) for each in owners[1:]), "and reported again when asked again"


subnets = st.sampled_from(
    [
        SUBNET,
        parse_subnet("10.1.0.0/29"),
        parse_subnet("10.1.0.0/28", "10.1.0.7"),
        parse_subnet("10.0.0.0/8", None, [("10.0.15.250", "10.0.16.5"), ("10.200.0.1", "10.200.0.3")]),
    ]
)


@given(subnets, st.randoms(use_true_random=False))
def test_every_address_is_given_exactly_once(subnet: Subnet, random: object) -> None:
    """Whoever asks, in a full round each address comes up once, then the network is exhausted."""
    allocator = AddressAllocator()
    given_out = [ip(allocator.reserve(NET, subnet, owner(number))) for number in range(subnet.size)]
    every = {str(IPv4Address(number)) for each in subnet.ranges for number in range(int(each.start), int(each.end) + 1)}
    assert len(given_out) == len(every)
    assert set(given_out) == every
    refused = refusal(allocator.reserve(NET, subnet, owner(-1)))
    assert refused.reason is Reason.ADDRESSES_EXHAUSTED
    assert f"all {subnet.size} addresses" in refused.message


def test_a_large_network_fills_up_quickly() -> None:
    """Were each reservation a walk over its network, this would run into the time limit of a test."""
    subnet = parse_subnet("10.1.0.0/16", "10.1.0.1")
    allocator = AddressAllocator()
    answers = {str(allocator.reserve(NET, subnet, Owner(f"u{number}"))) for number in range(subnet.size)}
    assert len(answers) == subnet.size == 65533
