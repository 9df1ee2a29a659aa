"""API objects as the holders of addresses and segments."""

from __future__ import annotations

from controller.ipam import Owner
from crds.v1alpha1.network import LeftNIC, Network
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import InstanceID, ObservedVM

_ORPHAN = "orphan:"
_AFTER_ALL = "~"
"""In place of a time, after every time: what was seen may be out of date, and no declared VM loses its address to that."""


def address_owner(vm: VirtualMachine, nic: str) -> Owner:
    """A NIC of a VM as the holder of an address."""
    return Owner(vm.metadata.uid, nic, f"{vm.metadata.namespace}/{vm.metadata.name}", vm.metadata.creation_timestamp or "")


def orphan_uid(instance: InstanceID) -> str:
    """In place of an object's uid for a VM whose object is gone."""
    return f"{_ORPHAN}{instance}"


def orphan_instance(owner: Owner) -> InstanceID:
    """The VM of a holder whose object is gone."""
    return InstanceID(owner.uid.removeprefix(_ORPHAN))


def orphan_owner(vm: ObservedVM, nic: str) -> Owner:
    """A NIC of a VM whose object is gone. It is not the lost object: that takes over what is free if it is there again."""
    return Owner(orphan_uid(vm.instance), nic, f"{vm.owner.namespace}/{vm.owner.name}", _AFTER_ALL)


def left_owner(left: LeftNIC) -> Owner:
    """The same for a NIC that a Network has on record."""
    return Owner(orphan_uid(InstanceID(left.instance_id)), left.name, left.virtual_machine, _AFTER_ALL)


def segment_owner(network: Network) -> Owner:
    """A Network as the holder of a segment."""
    name = f"{network.metadata.namespace}/{network.metadata.name}"
    return Owner(network.metadata.uid, name=name, created=network.metadata.creation_timestamp or "")
