"""What must be known before anything new is given out.

Statuses can be lost (etcd restored without them) while VMs run on. Before the first address, segment or host is chosen, every Host
gets one chance to say what it carries; what it says is taken over. A host that can't be reached is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from controller.inventory import Inventory
from controller.ipam import AddressAllocator, Owner, SegmentAllocator, address_of, former_owner
from controller.placing.left import LeftNICs
from controller.placing.placement import Placements
from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.runtime.slices import sliced
from controller.runtime.store import Change, Part, Store, Unparsable
from controller.shared.lookups import qualified
from controller.shared.owners import address_owner, segment_owner
from crds.v1alpha1.host import Host
from crds.v1alpha1.network import Network
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus
from drivers.types import ObservedNIC, ObservedVM

DEADLINE = 60.0
"""Seconds after which an answer is no longer waited for, however many Hosts there are."""

AT_ONCE = 500
"""VMs that are taken over between two turns of others: a twentieth of a second where all statuses are lost."""

_LOOK_AGAIN = 0.5
_RETRY = 1.0
_NEXT_SLICE = 0.02


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What a status says about one NIC. `own_mac`: a MAC address that it pins or came with, or still has; of two that have it, as
    after an unlucky restore, the older keeps it.
    """

    vm: Key
    owner: Owner
    zone: str
    network: str
    ip: str
    own_mac: str


class Recovery:
    """Rebuilds who holds which address and segment: from statuses at once, from hypervisors when all were asked.

    `done` turns true once and stays so.
    """

    def __init__(
        self,
        store: Store,
        inventory: Inventory,
        addresses: AddressAllocator,
        segments: SegmentAllocator,
        placements: Placements,
        clock: Clock,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._addresses = addresses
        self._segments = segments
        self._left = LeftNICs(store, addresses)
        self._placements = placements
        self._clock = clock
        self._started = clock.monotonic()
        self._next_look = 0.0
        self._done = False
        self._observed: Iterator[None] | None = None
        self.message = "statuses have not been read yet"

    @property
    def done(self) -> bool:
        """Whether new things may be given out."""
        now = self._clock.monotonic()
        if self._observed:
            self._take_slice()
            return self._done
        if self._done or now < self._next_look:
            return self._done
        self._next_look = now + _LOOK_AGAIN
        waiting = [key.name for key in self._store.keys(Host.KIND) if not self._inventory.asked(key.name)]
        self.message = f"waiting for the first answer of {len(waiting)} hosts: {', '.join(waiting[:5])}"
        if not waiting or now > self._started + DEADLINE:
            self._observed, self.message = self._take_over_observed(), "taking over what the hosts carry"
            self._take_slice()
        return self._done

    @property
    def retry_after(self) -> float:
        """Seconds after which `done` is to be asked again."""
        return _NEXT_SLICE if self._observed else _RETRY

    def take(self, change: Change) -> None:
        """Note what an object pins as soon as it is seen: of those who pin the same, the oldest is to get it, not the fastest."""
        if not change.parts & (Part.CREATED | Part.SPEC):
            return
        match change.after():
            case VirtualMachine() as vm:
                self._claim_pins(vm)
            case Network(spec=spec) as network if spec.segment:
                self._segments.claim(spec.zone, spec.segment.vlan, segment_owner(network))

    def take_over(self, vm: VirtualMachine, seen: ObservedVM) -> None:
        """Take over what the hypervisor recorded for a VM whose status is lost, however late its host answers."""
        for nic in seen.nics:
            self._address(address_owner(vm, nic.name), nic.network, nic.ip)
            self._segment(nic)

    async def from_statuses(self) -> None:
        """Take over what statuses record. Call it once, when the Store holds everything: from then on Hosts are waited for.

        Others have their turns meanwhile; a VM that goes in one of them is passed over.
        """
        self._started = self._clock.monotonic()
        async for network in sliced(self._store.list(Network)):
            self._take_over_network(network)
        recorded = [each async for vm in sliced(self._store.list(VirtualMachine)) for each in _recorded(vm)]  # parsed one by one
        async for each in sliced(sorted(recorded, key=lambda each: each.owner.created)):
            if self._store.uid(each.vm) == each.owner.uid:
                self._take_over_recorded(each)
        async for network in sliced(self._store.list(Network)):
            self._left.hold(network)  # declared VMs go first

    def _take_over_recorded(self, each: _Recorded) -> None:
        self._address(each.owner, each.network, each.ip)
        if each.own_mac:
            self._addresses.macs.hold(each.zone, each.own_mac, each.owner)

    def _claim_pins(self, vm: VirtualMachine) -> None:
        for nic in vm.spec.networks:
            if nic.ip:
                network = qualified(nic.network_namespace or vm.metadata.namespace, nic.network)
                self._addresses.claim(network, nic.ip, address_owner(vm, nic.name))

    def _take_slice(self) -> None:
        """Take over what the next VMs were seen with; done when there are no more."""
        assert self._observed is not None
        if sum(1 for _ in islice(self._observed, AT_ONCE)) < AT_ONCE:
            self._observed, self._done = None, True

    def _take_over_observed(self) -> Iterator[None]:
        """One VM after the other, with a yield after each; a VM that goes meanwhile is passed over."""
        for seen in [vm for link in self._inventory.links() for vm in link.vms()]:
            key = Key(VirtualMachine.KIND, seen.owner.namespace, seen.owner.name)
            if self._store.uid(key) == seen.owner.uid:
                self._take_over_one(key, seen)
            yield

    def _take_over_one(self, key: Key, seen: ObservedVM) -> None:
        """Only what no status has told is worth a look at its object: a cloud of thousands has none, or has lost all of them."""
        held = self._placements.size(seen.owner.uid)
        larger = held is not None and (seen.running_cpus > held.cpus or seen.running_memory > held.memory)
        if larger and self._store.status(key).get("pendingChanges"):
            self._placements.runs_with(seen.owner.uid, seen.running_cpus, seen.running_memory)
        if self._is_booked(seen):
            return
        with suppress(Unparsable):  # its own reconcile reports that
            if vm := self._store.get(VirtualMachine, key.name, key.namespace):
                self.take_over(vm, seen)

    def _is_booked(self, seen: ObservedVM) -> bool:
        """Whether all addresses and segments that a VM was seen with are known to be its own."""
        for nic in seen.nics:
            holder = self._addresses.holder(nic.network, address) if (address := address_of(nic.ip)) else None
            network = self._network(nic)
            if (address and (holder is None or holder.uid != seen.owner.uid)) or (network and network.status.segment is None):
                return False
        return True

    def _network(self, nic: ObservedNIC) -> Network | None:
        key = Key.named(Network.KIND, nic.network)
        return self._store.get(Network, key.name, key.namespace)

    def _take_over_network(self, network: Network) -> None:
        if network.status.segment:
            self._segments.adopt(network.spec.zone, network.status.segment.vlan, segment_owner(network))

    def _segment(self, nic: ObservedNIC) -> None:
        network = self._network(nic)
        if network and network.status.segment is None and nic.segment.vlan is not None:
            self._segments.adopt(network.spec.zone, nic.segment.vlan, segment_owner(network))

    def _address(self, owner: Owner, network: str, ip: str) -> None:
        """Whatever part of a VM has it, no other VM gets it; which NIC it is for, the VM's own look decides."""
        address = address_of(ip)
        holder = self._addresses.holder(network, address) if address else None
        if address is None or (holder is not None and holder.uid == owner.uid):
            return
        conflict = self._addresses.adopt(network, address, owner)
        if conflict is not None and conflict.held != conflict.number:  # the NIC is to have another one, and has this one still
            self._addresses.adopt(network, address, former_owner(owner, address))


def _recorded(vm: VirtualMachine) -> Iterator[_Recorded]:
    pinned = {(nic.name, nic.mac) for nic in vm.spec.networks}
    for nic in vm.status.nics:
        own = vm.spec.adopt is not None or (nic.name, nic.mac) in pinned
        yield _Recorded(Key.of(vm), address_owner(vm, nic.name), vm.spec.zone, nic.network, nic.ip or "", nic.mac if own else "")
    for nic in vm.status.former_nics:
        yield _Recorded(Key.of(vm), _former(vm, nic), vm.spec.zone, nic.network, nic.ip or "", nic.mac)


def _former(vm: VirtualMachine, nic: NICStatus) -> Owner:
    owner, address = address_owner(vm, nic.name), address_of(nic.ip)
    return former_owner(owner, address) if address else owner
