"""Parse and check the subnet of a Network: cidr, gateway and the ranges that guests get their addresses from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import pairwise
from typing import Final

__all__ = ["AddressRange", "InvalidSubnet", "Subnet", "parse_subnet"]

_SHORTEST_PREFIX: Final = 8
_LONGEST_PREFIX: Final = 31
_MESSAGE_LIMIT: Final = 64


class InvalidSubnet(ValueError):
    """The subnet can't be used; `problems` holds one sentence for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, order=True)
class AddressRange:
    """Addresses from `start` to `end`, both included."""

    start: IPv4Address
    end: IPv4Address

    def __contains__(self, address: IPv4Address) -> bool:
        return self.start <= address <= self.end

    def __len__(self) -> int:
        return int(self.end) - int(self.start) + 1

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Subnet:
    """A checked subnet. `ranges` are sorted, disjoint, and hold no network, broadcast or gateway address."""

    cidr: IPv4Network
    gateway: IPv4Address | None
    ranges: tuple[AddressRange, ...]

    @property
    def size(self) -> int:
        """How many addresses guests can have."""
        return sum(map(len, self.ranges))

    def allows(self, address: IPv4Address) -> bool:
        """Whether a guest can have this address."""
        return any(address in each for each in self.ranges)

    def reserved(self, address: IPv4Address) -> bool:
        """Whether it is the network's, the broadcast or the gateway address."""
        return address == self.gateway or address in _edges(self.cidr)


def parse_subnet(cidr: str, gateway: str | None = None, ranges: Iterable[tuple[str, str]] = ()) -> Subnet:
    """Check a subnet as written by a user.

    Without ranges, guests get every address but the network's, the broadcast and the gateway. A /31 has neither network nor
    broadcast address (RFC 3021). Raises InvalidSubnet with every problem found, not only the first.
    """
    network = _network(cidr)
    problems: list[str] = []
    gate = _gateway(network, gateway, problems)
    chosen = sorted(_ranges(network, gate, ranges, problems))
    problems += [f"ranges {one} and {two} overlap" for one, two in pairwise(chosen) if two.start <= one.end]
    if problems:
        raise InvalidSubnet(problems)
    return Subnet(network, gate, tuple(chosen or _whole(network, gate)))


def _network(cidr: str) -> IPv4Network:
    try:
        network = IPv4Network(cidr, strict=False)
    except ValueError as error:
        raise InvalidSubnet([f"cidr {_shown(cidr)} is not an IPv4 network such as 10.1.0.0/24"]) from error
    if "/" not in cidr or not _SHORTEST_PREFIX <= network.prefixlen <= _LONGEST_PREFIX:
        raise InvalidSubnet([f"cidr {_shown(cidr)} needs a prefix length from /{_SHORTEST_PREFIX} to /{_LONGEST_PREFIX}"])
    if str(network) != cidr:
        raise InvalidSubnet([f"cidr {_shown(cidr)} is not written as a network; {network} is meant"])
    if kind := _unusable(network.network_address):
        raise InvalidSubnet([f"cidr {network} is {kind}, guests can't use it"])
    return network


def _unusable(address: IPv4Address) -> str:
    """What makes an address unfit for any guest (IANA IPv4 Special-Purpose Address Registry)."""
    kinds = {
        "multicast": address.is_multicast,
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "in 0.0.0.0/8": int(address) >> 24 == 0,
        "in the reserved block 240.0.0.0/4": int(address) >> 28 == 0xF,
    }
    return next((kind for kind, true in kinds.items() if true), "")


def _gateway(network: IPv4Network, gateway: str | None, problems: list[str]) -> IPv4Address | None:
    if not gateway:
        return None
    address = _address("gateway", gateway, problems)
    if address is None:
        return None
    if address not in network:
        problems.append(f"gateway {address} is outside {network}")
    elif address in _edges(network):
        problems.append(f"gateway {address} is the network or broadcast address of {network}")
    return address


def _ranges(
    network: IPv4Network, gateway: IPv4Address | None, ranges: Iterable[tuple[str, str]], problems: list[str]
) -> Iterator[AddressRange]:
    for first, last in ranges:
        start, end = _address("range start", first, problems), _address("range end", last, problems)
        if start is None or end is None:
            continue
        found = list(_range_problems(network, gateway, AddressRange(start, end)))
        problems += found
        if not found:
            yield AddressRange(start, end)


def _range_problems(network: IPv4Network, gateway: IPv4Address | None, chosen: AddressRange) -> Iterator[str]:
    if chosen.start > chosen.end:
        yield f"range {chosen} ends before it starts"
        return
    if chosen.start not in network or chosen.end not in network:
        yield f"range {chosen} is outside {network}"
        return
    for edge in _edges(network):
        if edge in chosen:
            yield f"range {chosen} contains {edge}, the network or broadcast address of {network}"
    if gateway is not None and gateway in chosen:
        yield f"range {chosen} contains the gateway {gateway}"


def _whole(network: IPv4Network, gateway: IPv4Address | None) -> Iterator[AddressRange]:
    """All usable addresses of the network, split around the gateway."""
    edge = 1 if _edges(network) else 0
    first, last = network.network_address + edge, network.broadcast_address - edge
    if gateway is None:
        yield AddressRange(first, last)
        return
    if first < gateway:
        yield AddressRange(first, gateway - 1)
    if gateway < last:
        yield AddressRange(gateway + 1, last)


def _edges(network: IPv4Network) -> tuple[IPv4Address, ...]:
    if network.prefixlen >= _LONGEST_PREFIX:
        return ()
    return network.network_address, network.broadcast_address


def _address(what: str, text: str, problems: list[str]) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        problems.append(f"{what} {_shown(text)} is not an IPv4 address")
        return None


def _shown(text: str) -> str:
    """What a user wrote, bounded for a message."""
    return repr(text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "…")
