"""Drives one Network: a segment for its life, addresses counted, gone only when no VM uses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.inventory import Inventory
from controller.ipam import InvalidSubnet, Owner, Refusal, SegmentAllocator
from controller.network.left import Left, stayed
from controller.network.segment import reserve
from controller.placing.left import LeftNICs
from controller.placing.recovery import Recovery
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Done, Result, done, failed, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked
from controller.shared.instances import adopted, to_adopt
from controller.shared.leaving import leaves, nics_of
from controller.shared.lookups import networks_by_left, networks_by_zone, qualified, vms_by_network
from controller.shared.refusals import refused
from controller.shared.subnets import subnet_of
from crds.v1alpha1.host import Host
from crds.v1alpha1.network import Network, NetworkAddresses, NetworkState
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.zone import Zone

_SETTLE = 5.0


def _of_vm(vm: VirtualMachine, _store: Store) -> Iterable[Key]:
    return (Key.named(Network.KIND, nic.network) for nic in nics_of(vm))


def _of_left(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    """The Networks that have on record what this VM has, or is to have again."""
    identities = filter(None, (vm.metadata.uid, to_adopt(vm)))
    return [key for each in identities for key in networks_by_left.keys(store, each)]


class NetworkReconciler:
    """Gives networks their segments, keeps count of their addresses, and on record who has one without an object."""

    kind = Network

    def __init__(self, segments: SegmentAllocator, left: LeftNICs, recovery: Recovery, inventory: Inventory) -> None:
        self._segments = segments
        self._addresses = left.addresses
        self._recovery = recovery
        self._left = Left(inventory, left)
        self.watches: Sequence[Watch] = (
            Watch(Zone, lambda zone, store: networks_by_zone.keys(store, zone.metadata.name), of=lambda zone: zone.spec),
            Watch(VirtualMachine, _of_vm, of=lambda vm: [(nic.network, nic.ip) for nic in nics_of(vm)], settle=_SETTLE),
            Watch(VirtualMachine, lambda vm, store: _of_vm(vm, store) if leaves(vm) else (), of=leaves),
            Watch(VirtualMachine, _of_left, of=adopted),
            Watch(Host, self._left.networks, of=lambda host: host.status.orphans),
        )

    async def reconcile(self, ctx: Context[Network]) -> Result:
        """Drive one Network one step towards its spec."""
        again = await self._left.look(ctx)
        outcome = await (self._delete(ctx, again) if ctx.deleting else self._converge(ctx))
        return done(outcome.reason, outcome.message, recheck_after=again) if isinstance(outcome, Done) else outcome

    async def _converge(self, ctx: Context[Network]) -> Result:
        network = ctx.object
        zone = ctx.store.get(Zone, network.spec.zone)
        if zone is None:
            network.status.state = network.status.state or NetworkState.ALLOCATED
            return waiting("ZoneNotFound", f"zone {network.spec.zone} does not exist")
        if network.spec.subnet:
            try:
                network.status.addresses.total = subnet_of(network).size
            except InvalidSubnet as error:
                return failed("InvalidSubnet", str(error), terminal=True)
        if network.status.segment is None and not self._recovery.done:
            return waiting("Recovering", self._recovery.message, retry_after=self._recovery.retry_after)
        await ctx.add_finalizer()
        segment = reserve(network, zone, self._segments)
        if isinstance(segment, Refusal):
            return refused(segment)
        network.status.segment = segment
        network.status.state = NetworkState.IMPLEMENTED
        self._count(network)
        return done("Implemented", f"VLAN {segment.vlan}")

    def forget(self, key: Key, uid: str) -> None:
        """Free the segment and the addresses of a Network that is gone."""
        self._segments.release(Owner(uid))
        self._addresses.release_network(qualified(key.namespace, key.name))

    async def _delete(self, ctx: Context[Network], again: float | None) -> Result:
        """It keeps its segment, which nobody else may have, as long as anything is on it: also VMs that no object declares."""
        users = vms_by_network.keys(ctx.store, qualified(ctx.key.namespace, ctx.key.name))
        if waiting_for := blocked(ctx, list(users) or stayed(ctx.object.status.left), again):
            ctx.object.status.state = NetworkState.SHUTDOWN
            return waiting_for
        await ctx.remove_finalizer()
        return done("Deleted")

    def _count(self, network: Network) -> None:
        key = qualified(network.metadata.namespace, network.metadata.name)
        allocated = self._addresses.allocated(key) if network.spec.subnet else 0
        network.status.addresses = NetworkAddresses(total=network.status.addresses.total, allocated=allocated)
