"""Addresses of guest networks: each is held by one NIC for the life of its VirtualMachine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from controller.ipam.ledger import Conflict, Ledger, Owner
from controller.ipam.ledgers import Ledgers
from controller.ipam.macs import PinnedMACs
from controller.ipam.refusal import Reason, Refusal
from controller.ipam.subnets import Subnet

__all__ = ["Address", "AddressAllocator", "address_of", "former_owner"]

_MESSAGE_LIMIT: Final = 64
_RANGES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Address:
    """An address that a NIC holds, with the prefix length of its subnet."""

    ip: IPv4Address
    prefix_length: int

    def __str__(self) -> str:
        return str(self.ip)


def former_owner(owner: Owner, ip: IPv4Address) -> Owner:
    """The holder of an address that a NIC still has and is not to have any more: of none that is declared."""
    return replace(owner, part=f"former {ip}")


def address_of(text: str | None) -> IPv4Address | None:
    """An address that a hypervisor or a status tells; None if there is none, or it makes no sense."""
    try:
        return IPv4Address(text or "")
    except AddressValueError:
        return None


class AddressAllocator:
    """Who has which address, by network key (`namespace/name` or a uid; the caller's choice, used alike everywhere).

    Rules: an address that is held is never taken away; an owner holds at most one address of a network and keeps it; a free
    address that several owners pin goes to the oldest of them (`Owner.rank`). Make pins known with `claim` as soon as an object is
    seen: then nobody gets a pinned address by chance and the order of calls to `reserve` doesn't matter.
    """

    def __init__(self) -> None:
        self._networks = Ledgers()
        self.macs = PinnedMACs()

    def reserve(self, network: str, subnet: Subnet, owner: Owner, pinned: str | None = None) -> Address | Refusal:
        """The owner's address: the one it holds, else the one it pins, else a free one.

        The search starts at a place given by the owner's identity, so that an owner whose record was lost gets the same address
        again if it is still free, and goes round all ranges once.
        """
        ledger = self._networks.open(network, owner)
        wanted = _parse(pinned) if pinned else None
        if isinstance(wanted, Refusal):
            return wanted
        if wanted is None:
            ledger.withdraw(owner)
        number = ledger.held_by(owner)
        if number is not None:
            return _keep(IPv4Address(number), subnet, owner, wanted)
        if wanted is not None:
            return _pin(ledger, subnet, owner, wanted)
        return _any(ledger, network, subnet, owner)

    def claim(self, network: str, pinned: str, owner: Owner) -> None:
        """Note that an owner pins this address; text that is no address is left for `reserve` to refuse."""
        wanted = _parse(pinned)
        if isinstance(wanted, IPv4Address):
            self._networks.open(network, owner).claim(int(wanted), owner)

    def adopt(self, network: str, ip: IPv4Address, owner: Owner) -> Conflict | None:
        """Record an address that an owner has already, as a status or a hypervisor says; the subnet need not allow it (any more).

        Returns what is wrong if another owner has it or this one has another; see `Ledger.adopt` for who keeps it.
        """
        return self._networks.open(network, owner).adopt(int(ip), owner)

    def holder(self, network: str, ip: IPv4Address) -> Owner | None:
        """Who holds an address of a network."""
        return self._networks.holder(network, int(ip))

    def hand_over(self, network: str, ip: IPv4Address, owner: Owner) -> None:
        """Give an address that another NIC of the same object holds to this one, at once: nobody else can get between.

        What this one held stays held, see `former_owner`. The caller sees to it that the other NIC is not to keep the address.
        """
        holder, ledger = self.holder(network, ip), self._networks.open(network, owner)
        if holder is None or holder.uid != owner.uid:
            raise ValueError(f"{ip} of {network} is not {owner}'s to hand over")
        if (own := ledger.held_by(owner)) is not None:
            aside = former_owner(owner, IPv4Address(own))
            self._networks.open(network, aside)
            ledger.transfer(own, aside)
        ledger.transfer(int(ip), owner)

    def retain(self, uid: str, held: Collection[tuple[str, IPv4Address]], nics: Collection[tuple[str, str]]) -> None:
        """Free all addresses of the object with this uid but those held, by network, and those of its NICs named here, by network;
        forget what others of its NICs pin.
        """
        self._networks.retain(uid, {(network, int(ip)) for network, ip in held}, nics)

    def release(self, owner: Owner) -> None:
        """Free what this NIC holds and claims, in every network, and the MAC address that it pins."""
        self._networks.release(owner)
        self.macs.keep(owner, None)

    def release_all(self, uid: str) -> None:
        """Free what all NICs of the object with this uid hold, claim and pin."""
        self._networks.release_all(uid)
        self.macs.release_all(uid)

    def release_network(self, network: str) -> None:
        """Forget a network with all that is held in it."""
        self._networks.close(network)

    def allocated(self, network: str) -> int:
        """How many addresses of a network are held."""
        return self._networks.held(network)

    def held_by(self, network: str, owner: Owner) -> IPv4Address | None:
        """The address that an owner holds in a network."""
        number = self._networks.held_by(network, owner)
        return None if number is None else IPv4Address(number)

    def records(self, network: str) -> list[tuple[IPv4Address, Owner]]:
        """Who holds what in a network, by ascending address."""
        return [(IPv4Address(number), owner) for number, owner in self._networks.records(network)]


def _keep(held: IPv4Address, subnet: Subnet, owner: Owner, wanted: IPv4Address | None) -> Address | Refusal:
    """A NIC keeps its address for life: its guest was told once, at first boot."""
    if wanted is None or wanted == held:
        return Address(held, subnet.cidr.prefixlen)
    return Refusal(Reason.ADDRESS_FIXED, f"{owner} has the address {held} for its life and can't change to {wanted}", owner)


def _pin(ledger: Ledger, subnet: Subnet, owner: Owner, wanted: IPv4Address) -> Address | Refusal:
    if refusal := _forbidden(subnet, wanted):
        ledger.withdraw(owner)
        return refusal
    ledger.claim(int(wanted), owner)
    if holder := ledger.holder(int(wanted)):
        return Refusal(Reason.ADDRESS_IN_USE, f"address {wanted} is in use by {holder}", holder)
    first = ledger.first_claimant(int(wanted))
    if first is not None and first != owner:
        return Refusal(Reason.ADDRESS_IN_USE, f"address {wanted} is pinned by {first} too, which is older", first)
    ledger.hold(int(wanted), owner)
    return Address(wanted, subnet.cidr.prefixlen)


def _forbidden(subnet: Subnet, wanted: IPv4Address) -> Refusal | None:
    """Why no guest can have this address, whoever asks."""
    if wanted not in subnet.cidr:
        return Refusal(Reason.ADDRESS_OUTSIDE_SUBNET, f"address {wanted} is outside the subnet {subnet.cidr}")
    if subnet.reserved(wanted):
        return Refusal(Reason.ADDRESS_RESERVED, f"address {wanted} is the network, broadcast or gateway address of {subnet.cidr}")
    if not subnet.allows(wanted):
        return Refusal(Reason.ADDRESS_OUTSIDE_RANGES, f"address {wanted} is outside the ranges {_listed(subnet)}")
    return None


def _any(ledger: Ledger, network: str, subnet: Subnet, owner: Owner) -> Address | Refusal:
    spans = [(int(each.start), int(each.end)) for each in subnet.ranges]
    found = ledger.search(spans, owner.digest)
    if found is None:
        message = f"network {network}: all {subnet.size} addresses of {_listed(subnet)} are in use"
        return Refusal(Reason.ADDRESSES_EXHAUSTED, message)
    ledger.hold(found, owner)
    return Address(IPv4Address(found), subnet.cidr.prefixlen)


def _parse(pinned: str) -> IPv4Address | Refusal:
    invalid = Refusal(Reason.ADDRESS_INVALID, f"{pinned[:_MESSAGE_LIMIT]!r} is not an IPv4 address")
    found = address_of(pinned)
    return invalid if found is None else found


def _listed(subnet: Subnet) -> str:
    shown = ", ".join(map(str, subnet.ranges[:_RANGES_SHOWN]))
    more = len(subnet.ranges) - _RANGES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
