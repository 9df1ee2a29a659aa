"""Which NIC of a VM that is to be adopted is which declared interface, and whether it can be that. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from controller.ipam import InvalidSubnet, Subnet, mac_address
from controller.shared.subnets import subnet_of
from controller.vm.references import Interface
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import Difference, Effect, NICStatus
from drivers.adoption import FoundNIC, FoundVM
from drivers.types import DesiredNIC, NetworkBackend

LONGEST = 1024
"""What a text in a status takes."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A declared interface, the NIC of the VM that it is, and the status of that."""

    interface: Interface
    found: FoundNIC
    status: NICStatus


def paired(vm: VirtualMachine, interfaces: Sequence[Interface], found: FoundVM, refusals: list[Difference]) -> list[Pair]:
    """Each declared interface with a NIC of the VM: the one with its MAC address, or with its name in the mark of an object that is
    gone, else the next of those that nobody declares.
    """
    by_mac, by_name = {nic.mac: nic for nic in found.nics}, {nic.name: nic for nic in found.nics if nic.name}
    pinned = {each.spec.mac for each in interfaces}
    named = {each.spec.name: by_name[each.spec.name] for each in interfaces if each.spec.name in by_name and not each.spec.mac}
    named = {name: nic for name, nic in named.items() if nic.mac not in pinned}
    taken = pinned | {nic.mac for nic in named.values()}
    others = iter([nic for nic in found.nics if nic.mac not in taken])
    pairs: list[Pair] = []
    for each in interfaces:
        nic = by_mac.get(each.spec.mac) if each.spec.mac else named.get(each.spec.name) or next(others, None)
        if nic is None:
            continue
        ip, why = _address(each, nic, found, {pair.status.ip for pair in pairs}, _recorded(vm, each, nic))
        if why:
            has = nic.ip or ", ".join(found.guest.addresses)
            refusals.append(refused(f"spec.networks[{each.spec.name}].ip", each.spec.ip or "", has, why))
        pairs.append(Pair(each, nic, _nic_status(each, nic.mac, ip)))
    return pairs


def _nic_status(interface: Interface, mac: str, ip: str = "") -> NICStatus:
    segment = interface.network.status.segment
    return NICStatus(
        name=interface.spec.name,
        mac=mac,
        ip=ip or None,
        network=interface.key,
        segment=f"vlan-{segment.vlan}" if segment else None,
    )


def new_nic(vm: VirtualMachine, interface: Interface) -> NICStatus:
    """An interface that the VM does not have yet."""
    return _nic_status(interface, interface.spec.mac or mac_address(vm.metadata.uid, interface.spec.name), interface.spec.ip or "")


def _recorded(vm: VirtualMachine, interface: Interface, found: FoundNIC) -> str:
    """The address that was written down when the adoption began: the guest may not answer any more."""
    return next((nic.ip or "" for nic in vm.status.nics if (nic.name, nic.mac) == (interface.spec.name, found.mac)), "")


def _address(interface: Interface, nic: FoundNIC, found: FoundVM, given: Collection[str | None], recorded: str) -> tuple[str, str]:
    """The address that a NIC keeps, and why that can't be: it must be the one that the guest has, which was told it once."""
    if not interface.managed:
        return "", ""
    try:
        subnet = subnet_of(interface.network)
    except InvalidSubnet as error:
        return "", str(error)
    if nic.ip:  # given by Vireo, to an object that is gone
        wrong = interface.spec.ip not in (None, nic.ip)
        why = "the VM was made with another address" if wrong else _unfit(nic.ip, subnet)
        return nic.ip if _ipv4(nic.ip) else "", why
    reported = [each for each in found.guest.addresses if (ip := _ipv4(each)) and ip in subnet.cidr]
    pinned = interface.spec.ip
    if pinned:
        wrong = found.guest.agent and pinned not in found.guest.addresses
        return pinned, "the guest has another address" if wrong else _unfit(pinned, subnet)
    free = [each for each in reported if each not in given] or [recorded] * bool(recorded)
    if len(free) == 1:
        return free[0], _unfit(free[0], subnet)
    what = f"several addresses of {subnet.cidr}" if free else f"no address of {subnet.cidr} is known of the guest"
    return "", f"{what}: declare the one that it has"


def _unfit(address: str, subnet: Subnet) -> str:
    ip = _ipv4(address)
    if ip is None or ip not in subnet.cidr:
        return f"{address} is outside the subnet {subnet.cidr}"
    return f"{address} is the network, broadcast or gateway address of {subnet.cidr}" if subnet.reserved(ip) else ""


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def misplaced(pair: Pair, want: DesiredNIC) -> Iterator[Difference]:
    """A NIC on another segment than its network's would have to be replaced under a guest that knows nothing of it."""
    there, wanted = pair.found.attachment, want.attachment
    if there is None or there.backend is NetworkBackend.OVS:
        same = pair.found.segment == want.segment and there in (None, wanted)
    else:
        same = there == wanted and (there.backend is NetworkBackend.BRIDGE or pair.found.segment == want.segment)
    if not same:
        place = f"bridge {wanted.bridge}" if wanted.bridge else f"uplink {wanted.uplink}"
        declared = f"{want.segment} on {place}" if there else str(want.segment)
        actual = f"{pair.found.segment} on bridge {there.bridge or 'unknown'}" if there else str(pair.found.segment)
        why = "declare the network that the interface is on, or move it on the hypervisor"
        yield refused(f"spec.networks[{want.name}]", declared, actual, why)


def refused(field: str, declared: str, actual: str, message: str) -> Difference:
    """A difference that forbids the adoption."""
    return difference(field, declared, actual, Effect.REFUSED, message)


def difference(field: str, declared: str, actual: str, effect: Effect, message: str = "") -> Difference:
    """A difference as a status takes it."""
    return Difference(
        field=field[:256],
        declared=declared[:LONGEST] or None,
        actual=actual[:LONGEST] or None,
        effect=effect,
        message=message[:LONGEST] or None,
    )
