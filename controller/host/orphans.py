"""VMs that carry our owner mark while nobody declares them: their objects were lost, or left them behind with Retain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address

from controller.inventory import HostLink
from controller.ipam import Owner
from controller.placing.left import LeftNICs
from controller.runtime.store import Store
from controller.shared.instances import lives
from controller.shared.lookups import qualified
from controller.shared.owners import orphan_instance, orphan_owner
from crds.v1alpha1.host import OrphanedVM
from drivers.types import InstanceID, ObservedVM

_MOST = 100

_Held = tuple[str, IPv4Address, Owner]
"""Network, address, holder."""


class Orphans:
    """What is on the hosts without an object: not touched until somebody adopts it, its addresses kept while it is there."""

    def __init__(self, left: LeftNICs) -> None:
        self._left = left
        self._addresses = left.addresses
        self._held: dict[str, set[_Held]] = {}
        self._known: dict[str, frozenset[InstanceID]] = {}

    def look(self, host: str, link: HostLink, store: Store) -> list[OrphanedVM]:
        """Those on a host as last observed, the first 100 by owner and instance."""
        known, settled = self._known.get(host, frozenset()), link.settled
        # one that was deleted a moment ago is still among those last seen
        found = [vm for vm in link.vms() if not declared(vm, store) and (vm.instance in known or settled(vm.instance))]
        self._known[host] = frozenset(vm.instance for vm in found)
        self._hold(host, {held for vm in found for held in _addresses(vm)})
        return sorted(map(_described, found), key=lambda each: (each.owner, each.instance_id))[:_MOST]

    def forget(self, host: str) -> None:
        """Let go of what was held for a Host that is gone, but what Networks have on record: the VMs may well be there."""
        self._hold(host, set())
        self._held.pop(host, None)
        self._known.pop(host, None)

    def _hold(self, host: str, wanted: set[_Held]) -> None:
        for _, _, owner in self._held.get(host, set()) - wanted:
            self._addresses.release(owner)
            self._left.hold_again(orphan_instance(owner))
        for network, address, owner in wanted:
            self._addresses.adopt(network, address, owner)
        self._held[host] = wanted


def declared(vm: ObservedVM, store: Store) -> bool:
    """Whether the object that a VM was made for is there."""
    return lives(vm.owner, store)


def _described(vm: ObservedVM) -> OrphanedVM:
    return OrphanedVM(instance_id=vm.instance[:64], owner=qualified(vm.owner.namespace, vm.owner.name)[:317])


def _addresses(vm: ObservedVM) -> Iterator[_Held]:
    for nic in vm.nics:
        with suppress(AddressValueError):
            yield nic.network, IPv4Address(nic.ip), orphan_owner(vm, nic.name)
