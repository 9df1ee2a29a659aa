"""Addresses that go from one entry of spec.networks to another: an interface that was renamed, or whose place another one takes.

The VM has such an address already, so nobody else is asked. It changes hands in memory at once; on the hypervisor the NIC that has
it goes first, and the one that is to have it comes once that was seen (`controller.vm.plan`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from controller.ipam import AddressAllocator, address_of
from controller.shared.owners import address_owner
from controller.vm.references import Interface
from crds.v1alpha1.virtualmachine import VirtualMachine

__all__ = ["hand_over", "own_mac"]

_Wanted = Mapping[tuple[str, str], IPv4Address]
"""The address that each interface is to have, by Network and name."""


def hand_over(allocator: AddressAllocator, vm: VirtualMachine, interfaces: Sequence[Interface]) -> None:
    """Give each interface the IP and MAC address that it pins, where another entry of this VM holds that and is not to keep it."""
    uid, zone = vm.metadata.uid, vm.spec.zone
    for (network, name), ip in _moves(allocator, vm, interfaces).items():
        allocator.hand_over(network, ip, address_owner(vm, name))
    pinned = {interface.spec.name: own_mac(vm, interface) for interface in interfaces}
    for name, mac in pinned.items():
        holder = allocator.macs.holder(zone, mac) if mac else None
        if mac and holder and holder.uid == uid and holder.part != name and pinned.get(holder.part) != mac:
            allocator.macs.hand_over(zone, mac, address_owner(vm, name))


def own_mac(vm: VirtualMachine, interface: Interface) -> str | None:
    """The MAC address that an interface pins. One that came with an adopted VM keeps its own, which nobody needs to pin."""
    if interface.spec.mac or vm.spec.adopt is None:
        return interface.spec.mac
    return next((nic.mac for nic in vm.status.nics if (nic.name, nic.network) == (interface.spec.name, interface.key)), None)


def _moves(allocator: AddressAllocator, vm: VirtualMachine, interfaces: Sequence[Interface]) -> _Wanted:
    """Which interfaces get which address from another entry: from one that is gone, or that pins another one by now."""
    wanted = _wanted(allocator, vm, interfaces)
    declared = {(each.key, each.spec.name) for each in interfaces if each.managed}
    moves: dict[tuple[str, str], IPv4Address] = {}
    for nic, ip in wanted.items():
        holder = allocator.holder(nic[0], ip)
        if holder is None or holder.uid != vm.metadata.uid or holder.part == nic[1]:
            continue
        former = nic[0], holder.part
        if former not in declared or wanted.get(former, ip) != ip:
            moves[nic] = ip
    return moves


def _wanted(allocator: AddressAllocator, vm: VirtualMachine, interfaces: Iterable[Interface]) -> _Wanted:
    """What is pinned, and what an interface that pins nothing had before it was taken off, of each address the first."""
    found: dict[tuple[str, IPv4Address], tuple[str, str]] = {}
    for each in interfaces:
        if each.managed and (ip := address_of(each.spec.ip or _had(allocator, vm, each))):
            found.setdefault((each.key, ip), (each.key, each.spec.name))
    return {nic: ip for (_, ip), nic in found.items()}


def _had(allocator: AddressAllocator, vm: VirtualMachine, interface: Interface) -> str:
    """The address with which the VM still has an interface that was taken off and is declared again."""
    had = (nic.ip for nic in vm.status.former_nics if (nic.name, nic.network) == (interface.spec.name, interface.key))
    ip = next(filter(None, had), "")
    return ip if ip and allocator.held_by(interface.key, address_owner(vm, interface.spec.name)) is None else ""
