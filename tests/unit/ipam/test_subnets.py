"""Subnets: every wrong one is refused with the right sentence, every accepted one keeps its promises."""

import contextlib
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, summarize_address_range

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ipam import InvalidSubnet, parse_subnet

BAD = [
    ("nonsense", None, [], "'nonsense' is not an IPv4 network"),
    ("10.1.0.0/33", None, [], "is not an IPv4 network"),
    ("fd00::/64", None, [], "is not an IPv4 network"),
    ("", None, [], "is not an IPv4 network"),
    ("10.1.0.0", None, [], "needs a prefix length"),
    ("10.1.0.0/32", None, [], "from /8 to /31"),
    ("0.0.0.0/0", None, [], "from /8 to /31"),
    ("10.1.0.0/255.255.255.0", None, [], "10.1.0.0/24 is meant"),
    ("10.1.0.5/24", None, [], "10.1.0.0/24 is meant"),
    ("127.0.0.0/8", None, [], "loopback"),
    ("224.0.0.0/24", None, [], "multicast"),
    ("169.254.0.0/16", None, [], "link-local"),
    ("0.0.0.0/8", None, [], "0.0.0.0/8"),
    ("240.1.0.0/24", None, [], "240.0.0.0/4"),
    ("10.1.0.0/24", "10.2.0.1", [], "gateway 10.2.0.1 is outside"),
    ("10.1.0.0/24", "10.1.0.0", [], "network or broadcast"),
    ("10.1.0.0/24", "10.1.0.255", [], "network or broadcast"),
    ("10.1.0.0/24", "router", [], "gateway 'router' is not an IPv4 address"),
    ("10.1.0.0/24", None, [("10.1.0.9", "10.1.0.5")], "ends before it starts"),
    ("10.1.0.0/24", None, [("10.1.0.9", "10.1.1.5")], "is outside"),
    ("10.1.0.0/24", None, [("10.0.255.9", "10.1.0.5")], "is outside"),
    ("10.1.0.0/24", None, [("10.1.0.0", "10.1.0.5")], "contains 10.1.0.0, the network"),
    ("10.1.0.0/24", None, [("10.1.0.250", "10.1.0.255")], "contains 10.1.0.255, the network or broadcast"),
    ("10.1.0.0/24", "10.1.0.3", [("10.1.0.2", "10.1.0.5")], "contains the gateway 10.1.0.3"),
    ("10.1.0.0/24", None, [("10.1.0.2", "10.1.0.5"), ("10.1.0.5", "10.1.0.9")], "overlap"),
    ("10.1.0.0/24", None, [("10.1.0.20", "10.1.0.30"), ("10.1.0.2", "10.1.0.25")], "overlap"),
    ("10.1.0.0/24", None, [("x", "10.1.0.9")], "range start 'x' is not an IPv4 address"),
    ("10.1.0.0/24", None, [("10.1.0.9", "10.1.0.0010")], "range end"),
]


@pytest.mark.parametrize(("cidr", "gateway", "ranges", "text"), BAD)
def test_a_wrong_subnet_is_refused(cidr: str, gateway: str | None, ranges: list[tuple[str, str]], text: str) -> None:
    with pytest.raises(InvalidSubnet) as caught:
        parse_subnet(cidr, gateway, ranges)
    assert text in str(caught.value)


def test_every_problem_is_named() -> None:
    with pytest.raises(InvalidSubnet) as caught:
        parse_subnet("10.1.0.0/24", "10.9.0.1", [("10.1.0.9", "10.1.0.5"), ("10.2.0.1", "10.2.0.2"), ("no", "10.1.0.3")])
    assert len(caught.value.problems) == 4


def test_a_hostile_text_is_cut() -> None:
    with pytest.raises(InvalidSubnet) as caught:
        parse_subnet("10" * 100_000)
    assert len(str(caught.value)) < 200


GOOD = [
    ("10.1.0.0/24", None, [], 254),
    ("10.1.0.0/24", "10.1.0.1", [], 253),
    ("10.1.0.0/24", "10.1.0.100", [], 253),
    ("10.1.0.0/24", "10.1.0.254", [("10.1.0.10", "10.1.0.19"), ("10.1.0.30", "10.1.0.30")], 11),
    ("10.1.0.0/31", None, [], 2),
    ("10.1.0.0/31", "10.1.0.0", [], 1),
    ("10.1.0.0/30", "10.1.0.1", [], 1),
    ("10.0.0.0/8", "10.0.0.1", [], 2**24 - 3),
]


@pytest.mark.parametrize(("cidr", "gateway", "ranges", "size"), GOOD)
def test_a_right_subnet_has_its_size(cidr: str, gateway: str | None, ranges: list[tuple[str, str]], size: int) -> None:
    assert parse_subnet(cidr, gateway, ranges).size == size


networks = st.builds(
    lambda number, prefix: IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(int(IPv4Address("10.0.0.0")), int(IPv4Address("10.255.255.255"))),
    st.integers(8, 31),
)


@given(networks, st.data())
def test_default_ranges_are_all_hosts_but_the_gateway(network: IPv4Network, data: st.DataObject) -> None:
    hosts = IPv4Network((int(network.network_address), network.prefixlen))
    first = int(hosts.network_address) + (network.prefixlen < 31)
    last = int(hosts.broadcast_address) - (network.prefixlen < 31)
    gateway = IPv4Address(data.draw(st.integers(first, last)))
    subnet = parse_subnet(str(network), str(gateway))
    assert subnet.size == last - first
    assert not subnet.allows(gateway)
    assert subnet.reserved(gateway)
    covered = [net for each in subnet.ranges for net in summarize_address_range(each.start, each.end)]
    assert sum(net.num_addresses for net in collapse_addresses(covered)) == subnet.size, "ranges are disjoint"
    assert all(each.start in network and each.end in network for each in subnet.ranges)


@given(
    st.text(max_size=60),
    st.none() | st.text(max_size=30),
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=3),
)
def test_any_text_gives_a_subnet_or_a_refusal(cidr: str, gateway: str | None, ranges: list[tuple[str, str]]) -> None:
    with contextlib.suppress(InvalidSubnet):
        assert parse_subnet(cidr, gateway, ranges).size > 0
