"""Hosts are attached to the inventory, which connects to them; what it learns becomes their status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.host import networks
from controller.host.endpoint import find_cluster, find_endpoint
from controller.host.identity import Identities, refusal
from controller.host.lacks import lack
from controller.host.last import LOOKS, stranded
from controller.host.orphans import Orphans
from controller.host.pools import PACE, Pools
from controller.host.status import allocated, describe, fill, native_id, result, running
from controller.inventory import HostLink, Inventory, PoolRegistry
from controller.inventory.secrets import Secrets
from controller.placing.attachments import left_on
from controller.placing.left import LeftNICs
from controller.placing.placement import Placements
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.queue import Priority
from controller.runtime.reconciler import Watch
from controller.runtime.results import Done, Result, done, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, if_deleting, listing
from controller.shared.lookups import (
    COUNT_SETTLE,
    SETTLE,
    clusters_by_pod,
    clusters_by_zone,
    hosts_by_cluster,
    hosts_by_native_id,
    hosts_of_clusters,
    pools_by_host,
    pools_of_host,
    vms_by_host,
)
from controller.shared.namespace import cloud
from controller.shared.standing import standing
from crds.v1alpha1 import Cluster, Host, Pod, StoragePool, VirtualMachine, Zone
from crds.v1alpha1.host import AdminState, HostState
from drivers.types import Endpoint, NetworkSupport


def _of_cluster(cluster: Cluster, store: Store) -> Iterable[Key]:
    return hosts_by_cluster.keys(store, cluster.metadata.name)


def _of_zone(zone: Zone, store: Store) -> Iterable[Key]:
    return hosts_of_clusters(store, clusters_by_zone.keys(store, zone.metadata.name))


def _of_pod(pod: Pod, store: Store) -> Iterable[Key]:
    return hosts_of_clusters(store, clusters_by_pod.keys(store, pod.metadata.name))


def _emptied(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    """The Host of this VM, if it waits for its VMs to stop."""
    host = store.get(Host, vm.status.host) if vm.status.host else None
    return [Key(Host.KIND, "", host.metadata.name)] if host and host.spec.admin_state is AdminState.MAINTENANCE else []


def _of_vm(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    return [Key(Host.KIND, "", vm.status.host)] if vm.status.host else []


_RETRY = 5.0


@dataclass(frozen=True, slots=True)
class _Contact:
    """A Host with an endpoint that it can be asked through."""

    cluster: Cluster
    link: HostLink

    @property
    def network(self) -> NetworkSupport | None:
        """What the host says of the backend that its Cluster wants."""
        return networks.wanted(self.cluster, self.link.info.networks) if self.link.info else None


class HostReconciler:
    """Attaches Hosts and publishes how they stand.

    The finalizer is added at the first successful contact, not before: a Host without it provably never carried a VM, which lets
    others rule out that a VM is on a Host that does not answer.
    """

    kind = Host

    def __init__(
        self, inventory: Inventory, secrets: Secrets, left: LeftNICs, placements: Placements, registry: PoolRegistry
    ) -> None:
        self._inventory = inventory
        self._placements = placements
        self._secrets = secrets
        self._identities = Identities()
        self._orphans = Orphans(left)
        self._pools = Pools(registry)
        self._announced: dict[str, tuple[HostLink, int]] = {}
        self.watches: Sequence[Watch] = (
            Watch(Cluster, _of_cluster, of=lambda cluster: cluster.spec),
            Watch(Zone, _of_zone, of=existence),
            Watch(Pod, _of_pod, of=existence),
            Watch(VirtualMachine, _of_vm, of=lambda vm: vm.status.host, settle=SETTLE),
            Watch(VirtualMachine, _emptied, of=lambda vm: (vm.status.host, vm.status.state), settle=COUNT_SETTLE),
            Watch(VirtualMachine, if_deleting(Host, lambda vm: [vm.status.host or ""]), of=lambda vm: vm.status.host),
            Watch(StoragePool, if_deleting(Host, lambda pool: [pool.spec.host or ""]), of=existence),
            Watch(Host, self._rivals, of=lambda host: (host.metadata.finalizers, host.status.native_id)),
        )

    async def reconcile(self, ctx: Context[Host]) -> Result:
        """A Host is ready while it is connected, also when it is declared Disabled; its deletion waits for VMs and pools on it."""
        users = _users(ctx) or stranded(ctx.object, ctx.store) if ctx.deleting else []
        if ctx.deleting and not users:
            return await self._release(ctx)
        contact = await self._attach(ctx)
        link = contact.link if isinstance(contact, _Contact) else self._inventory.link(ctx.key.name)
        if link and not link.attempted and (as_it_was := standing(ctx)):
            return as_it_was
        ctx.object.status.running = await running(ctx.object, ctx.store)
        outcome = await self._use(ctx, contact) if isinstance(contact, _Contact) else contact
        before = ctx.object.status.state
        placed = len(vms_by_host.keys(ctx.store, ctx.key.name))
        ctx.object.status.allocated = allocated(self._placements.promised(ctx.key.name), placed)
        lacking = lack(contact.cluster, contact.link.info) if isinstance(contact, _Contact) else None
        describe(ctx.object, ctx.conditions, link, outcome, users, lacking)
        networks.describe(ctx.conditions, contact.network if isinstance(contact, _Contact) else None)
        _tell(ctx, before, outcome)
        return blocked(ctx, users, retry_after=LOOKS) or _again(outcome)

    def forget(self, key: Key, uid: str) -> None:
        """Disconnect a Host that is gone."""
        self._inventory.detach(key.name)
        self._identities.forget(key.name)
        self._orphans.forget(key.name)
        self._pools.forget(key.name)
        self._announced.pop(key.name, None)

    async def _attach(self, ctx: Context[Host]) -> _Contact | Result:
        """Have the inventory serve the Host, or say why it can't be asked. A link from before then stays as it is."""
        host = ctx.object
        cluster = find_cluster(host, ctx.store)
        if not isinstance(cluster, Cluster):
            self._inventory.pass_over(ctx.key.name)
            return cluster
        endpoint = await find_endpoint(host, cluster, self._secrets, cloud(ctx.store))
        if not isinstance(endpoint, Endpoint):
            self._inventory.pass_over(ctx.key.name)
            return endpoint
        native_name = host.spec.native_name or ctx.key.name
        own = host.spec.endpoint is not None
        return _Contact(cluster, self._inventory.attach(ctx.key.name, cluster.spec.hypervisor, endpoint, native_name, sole=own))

    async def _use(self, ctx: Context[Host], contact: _Contact) -> Result:
        """Take over what the hypervisor says of itself, if it is the right one."""
        link, cluster = contact.link, contact.cluster
        self._identify(ctx, link)
        if link.reachable and link.info is not None and not link.refused:
            fill(ctx.object.status, link.info, link.capabilities, cluster.spec.overcommit)
        if link.up:
            await ctx.add_finalizer()
            self._announce(ctx, contact)
            self._look_for_orphans(ctx, link)
            self._pools.look(ctx, link, cluster)
        return result(ctx.object, link)

    def _identify(self, ctx: Context[Host], link: HostLink) -> None:
        """Refuse the link if this hypervisor must not be used under this name; one without an identifier can't be told apart."""
        identity = native_id(link.info) if link.reachable and link.info is not None else ""
        if not identity:
            return
        self._identities.note(ctx.key.name, identity)
        seen = [rival for name in self._identities.rivals(ctx.key.name) if (rival := ctx.store.get(Host, name))]
        recorded = [rival for rival in hosts_by_native_id.of(ctx.store, identity) if rival.metadata.uid != ctx.uid]
        refused = refusal(ctx.object, identity, [*seen, *recorded], _carries(ctx), self._identities.holder(ctx.key.name))
        if refused:
            link.refuse(refused.reason, refused.message)
        else:
            self._identities.admit(ctx.key.name)
            link.accept()

    def _announce(self, ctx: Context[Host], contact: _Contact) -> None:
        """Wake what can go on now, once for each connection: its status may be the same as before, so that no watch would tell."""
        link, name = contact.link, ctx.key.name
        if self._announced.get(name) == (link, link.epoch):
            return
        self._announced[name] = (link, link.epoch)
        for key in pools_of_host(ctx.store, name, contact.cluster):
            ctx.enqueue(key)
        for key in vms_by_host.keys(ctx.store, name):
            ctx.enqueue(key, Priority.RESYNC if ctx.store.settled(key) else Priority.DEPENDENCY)
        for key in left_on(name, ctx.store):
            ctx.enqueue(key)

    def _look_for_orphans(self, ctx: Context[Host], link: HostLink) -> None:
        known = ctx.object.status.orphans
        found = ctx.object.status.orphans = self._orphans.look(ctx.key.name, link, ctx.store)
        if new := [orphan.owner for orphan in found if orphan not in known]:
            ctx.event("Warning", "OrphansFound", f"nobody declares these VMs, which Vireo made: {listing(new)}")

    def _rivals(self, host: Host, store: Store) -> Iterable[Key]:
        return [Key(Host.KIND, "", name) for name in self._identities.rivals(host.metadata.name)]

    async def _release(self, ctx: Context[Host]) -> Result:
        """Have a host that answers let go of its pools: nobody will ask it again. One that does not keeps them."""
        contact = await self._attach(ctx)
        link = contact.link if isinstance(contact, _Contact) else None
        if link and not link.attempted:
            return waiting(link.reason, link.message, retry_after=_RETRY)
        if link:
            self._identify(ctx, link)
        if link and link.up and (unfinished := await self._pools.leave(ctx, link)):
            return unfinished
        self._inventory.detach(ctx.key.name)
        await ctx.remove_finalizer()
        return done("Deleted")


def _again(outcome: Result) -> Result:
    """Come back now and then to see what it has that nobody declares."""
    return done(outcome.reason, outcome.message, recheck_after=PACE) if isinstance(outcome, Done) else outcome


def _carries(ctx: Context[Host]) -> bool:
    return bool(vms_by_host.keys(ctx.store, ctx.key.name))


def _users(ctx: Context[Host]) -> list[Key]:
    return [*vms_by_host.keys(ctx.store, ctx.key.name), *pools_by_host.keys(ctx.store, ctx.key.name)]


def _tell(ctx: Context[Host], before: str | None, outcome: Result) -> None:
    """Write an Event when contact is made or lost."""
    after = ctx.object.status.state
    if after == HostState.UP != before:
        ctx.event("Normal", "Connected", f"connected to {ctx.object.status.hypervisor} {ctx.object.status.version}")
    elif before == HostState.UP != after:
        ctx.event("Warning", "ConnectionLost", f"{outcome.reason}: {outcome.message}")
