"""MAC and IP addresses of a VM's NICs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import AddressValueError, IPv4Address

from pydantic import ValidationError

from controller.ipam import InvalidSubnet, Owner, Refusal, address_of, mac_address
from controller.placing.left import LeftNICs
from controller.runtime.results import Result, failed
from controller.shared.instances import to_adopt
from controller.shared.lookups import qualified
from controller.shared.owners import address_owner, orphan_owner, orphan_uid
from controller.shared.refusals import refused
from controller.shared.subnets import subnet_of
from controller.vm.delegation import Recalled, given
from controller.vm.handover import hand_over, own_mac
from controller.vm.references import Interface
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus
from drivers.types import ObservedNIC, ObservedVM

_CALL_LOOKS = 5.0
_MOST_FORMER = 16
"""What the status takes; a VM has half as many that are declared."""


class Addressing:
    """Gives each NIC its addresses."""

    def __init__(self, left: LeftNICs) -> None:
        self._left = left
        self._allocator = left.addresses
        self._under_way: dict[str, set[object]] = {}

    def assign(self, vm: VirtualMachine, interfaces: Sequence[Interface]) -> list[NICStatus] | Result:
        """The NICs as they shall be, every managed one with an address; the same again for a VM that has them.

        An address that may become free is waited for; one that can't be used is a terminal failure.
        """
        hand_over(self._allocator, vm, interfaces)
        nics: list[NICStatus] = []
        for interface in interfaces:
            nic = self._assign(vm, interface)
            if not isinstance(nic, NICStatus):
                return nic
            nics.append(nic)
        return nics

    def trouble(self, vm: VirtualMachine, nic: NICStatus) -> str:
        """Why a NIC of a VM that is to be adopted can't keep the addresses that it has; "" if it can.

        What is kept for the VM itself, since its object is gone, is in nobody's way.
        """
        holder = self._allocator.macs.holder(vm.spec.zone, nic.mac)
        if not _own(vm, nic, holder):
            return f"MAC address {nic.mac} is pinned by {holder}, which has it"
        held_by = self._allocator.holder(nic.network, IPv4Address(nic.ip)) if nic.ip else None
        return "" if _own(vm, nic, held_by) else f"address {nic.ip} is in use by {held_by}"

    def take_over(self, vm: VirtualMachine, nics: Sequence[NICStatus]) -> str:
        """Book the addresses of a VM that is to be adopted, all or none. Returns what is in the way, "" if they are booked."""
        if trouble := next(filter(None, (self.trouble(vm, nic) for nic in nics)), ""):
            return trouble
        for nic in nics:
            owner, holder = address_owner(vm, nic.name), self._allocator.macs.holder(vm.spec.zone, nic.mac)
            if holder is not None and holder != owner:  # kept for the VM itself
                self._allocator.macs.keep(holder, None)
            self._allocator.macs.hold(vm.spec.zone, nic.mac, owner)
            if nic.ip:
                self._allocator.adopt(nic.network, IPv4Address(nic.ip), owner)
        return ""

    def changing(self, uid: str) -> Callable[[], None]:
        """Note that a call is made that may give the VM a NIC, however late. Returns what to call when it has returned, once or
        more often, in any thread.
        """
        call = object()
        self._under_way.setdefault(uid, set()).add(call)
        return partial(self._under_way[uid].discard, call)

    def look_again(self, uid: str) -> float | None:
        """Seconds until a VM is looked at once more, for addresses to be given back; None if no call keeps them."""
        return _CALL_LOOKS if self._under_way.get(uid) else None

    def observed(self, vm: VirtualMachine, have: ObservedVM) -> None:
        """Record which NICs the VM still has and is not to have, and give back the addresses of those that were seen to be gone.

        Call it once status.nics says what is declared now, or was when the VM was driven last: an address is free when no NIC of
        the VM has it and none is to have it. A call or task that takes a NIC off, however it ended, frees nothing by itself.
        """
        status = vm.status
        others = (nic for nic in have.nics if not any(_is(nic, each) for each in status.nics))
        former = [nic for nic in map(_as_made, others) if nic is not None]
        known, status.former_nics = status.former_nics, former[:_MOST_FORMER]
        if given(vm):
            if any(each not in former for each in known):
                raise Recalled("addresses of its interfaces are to be given back")
            return
        if self._under_way.get(vm.metadata.uid):  # what is not there may come yet
            return
        declared = {(qualified(nic.network_namespace or vm.metadata.namespace, nic.network), nic.name) for nic in vm.spec.networks}
        kept = {(nic.network, ip) for nic in (*status.nics, *former) if (ip := address_of(nic.ip))}
        self._allocator.retain(vm.metadata.uid, kept, declared)
        self._allocator.macs.retain(vm.metadata.uid, {nic.mac for nic in (*status.nics, *former)})

    def forget(self, uid: str) -> None:
        """Give back all addresses of a VM that is gone, but those that it has where it was left."""
        self._under_way.pop(uid, None)
        self._allocator.release_all(uid)
        self._left.hold_again(uid)

    def leave(self, uid: str, orphan: ObservedVM | None) -> None:
        """Give back the addresses of a VM that is not adopted after all: to the VM, if it has lost its object."""
        self.forget(uid)
        if orphan is None:
            return
        for nic in orphan.nics:
            with suppress(AddressValueError):
                self._allocator.adopt(nic.network, IPv4Address(nic.ip), orphan_owner(orphan, nic.name))
        self._left.hold_again(orphan.instance)

    def _assign(self, vm: VirtualMachine, interface: Interface) -> NICStatus | Result:
        spec, owner = interface.spec, address_owner(vm, interface.spec.name)
        mac = own_mac(vm, interface)
        if mac and (taken := self._allocator.macs.hold(vm.spec.zone, mac, owner)):
            return refused(taken)
        segment = interface.network.status.segment
        nic = NICStatus(
            name=spec.name,
            mac=mac or mac_address(vm.metadata.uid, spec.name),
            network=interface.key,
            segment=f"vlan-{segment.vlan}" if segment else None,
        )
        if not interface.managed:
            return nic
        try:
            subnet = subnet_of(interface.network)
        except InvalidSubnet as error:
            return failed("InvalidSubnet", f"network {interface.key}: {error}", terminal=True)
        address = self._allocator.reserve(interface.key, subnet, owner, spec.ip)
        if isinstance(address, Refusal):
            return refused(address)
        recorded = next((known.ip for known in vm.status.nics if known.name == spec.name and known.network == interface.key), None)
        if recorded is not None and recorded != str(address) and not self._holds(vm, interface.key, recorded):
            self._allocator.release(owner)
            message = f"address {recorded} of {spec.name} is held by another VM too; remove the interface from one of them"
            return failed("AddressConflict", message, terminal=True)
        return nic.model_copy(update={"ip": str(address)})

    def _holds(self, vm: VirtualMachine, network: str, ip: str) -> bool:
        address = address_of(ip)
        holder = self._allocator.holder(network, address) if address else None
        return holder is not None and holder.uid == vm.metadata.uid


def _own(vm: VirtualMachine, nic: NICStatus, holder: Owner | None) -> bool:
    """Whether nobody else holds what a NIC has: what is kept for the VM that the object is to adopt is its own."""
    instance = to_adopt(vm)
    kept = instance is not None and holder is not None and holder.uid == orphan_uid(instance)
    return holder is None or kept or holder == address_owner(vm, nic.name)


def _is(seen: ObservedNIC, nic: NICStatus) -> bool:
    """Whether a NIC was seen as the status has it; its Network may have another segment by now."""
    return (seen.name, seen.mac, seen.ip or None, seen.network) == (nic.name, nic.mac, nic.ip, nic.network)


def _as_made(nic: ObservedNIC) -> NICStatus | None:
    """A NIC as the status has it; None if what the hypervisor tells of it is nonsense."""
    with suppress(ValidationError):
        return NICStatus(name=nic.name, mac=nic.mac, ip=nic.ip or None, network=nic.network, segment=str(nic.segment))
    return None
