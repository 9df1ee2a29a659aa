"""Addresses of VMs that were left in hypervisors when their objects went: what a Network has on record is nobody else's."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address

from controller.ipam import AddressAllocator
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import networks_by_left, qualified
from controller.shared.owners import left_owner
from crds.v1alpha1.network import LeftNIC, Network
from drivers.types import ObservedVM


class LeftNICs:
    """Holds them in the allocator, from the statuses of Networks; a declared VM that has one of them goes first."""

    def __init__(self, store: Store, addresses: AddressAllocator) -> None:
        self._store = store
        self.addresses = addresses

    def hold(self, network: Network) -> None:
        """Hold all that a Network has on record, again at no cost."""
        for each in network.status.left:
            self._hold(network, each)

    def hold_again(self, identity: str) -> None:
        """Hold what is on record of one VM, by its UUID or that of its object: somebody else has just let it go."""
        for network in networks_by_left.of(self._store, identity):
            for each in network.status.left:
                if identity in (each.uid, each.instance_id):
                    self._hold(network, each)

    def free(self, each: LeftNIC) -> None:
        """Let go of one that is no longer in use."""
        self.addresses.release(left_owner(each))

    def _hold(self, network: Network, each: LeftNIC) -> None:
        owner, key = left_owner(each), qualified(network.metadata.namespace, network.metadata.name)
        self.addresses.macs.hold(network.spec.zone, each.mac, owner)
        with suppress(AddressValueError):
            self.addresses.adopt(key, IPv4Address(each.ip or ""), owner)


def recorded_of(vm: ObservedVM, store: Store) -> list[Key]:
    """The Networks that have a VM in a hypervisor on record."""
    return list(networks_by_left.keys(store, vm.instance))
