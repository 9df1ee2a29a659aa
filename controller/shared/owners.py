"""API objects as the holders of addresses and segments."""

from __future__ import annotations

from controller.ipam import Owner
from crds.v1alpha1.network import Network
from crds.v1alpha1.virtualmachine import VirtualMachine


def address_owner(vm: VirtualMachine, nic: str) -> Owner:
    """A NIC of a VM as the holder of an address."""
    return Owner(vm.metadata.uid, nic, f"{vm.metadata.namespace}/{vm.metadata.name}", vm.metadata.creation_timestamp or "")


def segment_owner(network: Network) -> Owner:
    """A Network as the holder of a segment."""
    name = f"{network.metadata.namespace}/{network.metadata.name}"
    return Owner(network.metadata.uid, name=name, created=network.metadata.creation_timestamp or "")
