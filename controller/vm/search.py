"""Where a VM is that is to be adopted, and whether this object may have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.inventory import HostLink
from controller.runtime.context import Context
from controller.runtime.store import Store
from controller.shared.grants import granted
from controller.shared.instances import lives, to_adopt
from controller.shared.lookups import pools_of_host, vms_by_adopted
from controller.vm.seat import Seating
from controller.vm.services import Services
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import AdoptionPhase
from drivers.adoption import FoundVM
from drivers.types import Capability


@dataclass(frozen=True, slots=True)
class Place:
    """A VM that this object may have, its host, and the storage pools that it reaches, by directory."""

    link: HostLink
    cluster: Cluster
    found: FoundVM
    pools: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Why there is none, in a sentence. `passing`: what the VM is can't be told now, so nothing that was known is forgotten."""

    phase: AdoptionPhase
    message: str
    host: str | None = None
    passing: bool = False


class Search:
    """Looks for VMs by identity, on hosts of every zone: the same UUID twice must not go unnoticed."""

    def __init__(self, services: Services, seating: Seating) -> None:
        self._services = services
        self._seating = seating

    async def place(self, ctx: Context[VirtualMachine]) -> Place | Nowhere:
        """The one VM with the identity that the object names. Raises DriverError."""
        vm, instance = ctx.object, to_adopt(ctx.object)
        assert instance is not None
        if why := self._host_trouble(ctx):
            return why
        seen = await self._services.inventory.look_for(instance, vm.spec.placement.host)
        found = {name: each for name, each in seen if _may_look(name, each, vm, ctx.store)}
        if len(found) > 1:
            where = ", ".join(sorted(found)[:5])
            return _refused(f"VMs with that instanceID are on {len(found)} hosts: {where}; placement.host can name one")
        if unseen := [] if vm.spec.placement.host else self._seating.unseen(ctx):
            text = f"{len(unseen)} hosts that do not answer may have it: {', '.join(unseen[:5])}; placement.host can name one"
            return Nowhere(AdoptionPhase.REFUSED, text, passing=True)
        if not found:
            text = "no VM with that instanceID is on a host that answers and whose cluster lets this namespace adopt VMs"
            return Nowhere(AdoptionPhase.NOT_FOUND, f"{text} (spec.adopters)")
        [(name, one)] = found.items()
        return self._usable(ctx, name, one)

    def _host_trouble(self, ctx: Context[VirtualMachine]) -> Nowhere | None:
        """Why the host that the object names can't be asked."""
        name = ctx.object.spec.placement.host
        if name is None:
            return None
        link = self._services.inventory.link(name)
        if link is None or not link.up:
            why = link.message if link else "it is not connected yet"
            return Nowhere(AdoptionPhase.REFUSED, f"host {name} does not answer: {why}", name, passing=True)
        if Capability.ADOPTION not in link.capabilities:
            return _refused(f"the hypervisor of host {name} can't have VMs adopted", name)
        return None

    def _usable(self, ctx: Context[VirtualMachine], name: str, found: FoundVM) -> Place | Nowhere:
        vm, store = ctx.object, ctx.store
        link, host = self._services.inventory.link(name), store.get(Host, name)
        cluster = store.get(Cluster, host.spec.cluster) if host else None
        if link is None or host is None or cluster is None:
            return Nowhere(AdoptionPhase.REFUSED, f"host {name} is not there any more", name, passing=True)
        if cluster.spec.zone != vm.spec.zone:
            return _refused(f"the VM is on host {name} in zone {cluster.spec.zone}; spec.zone is {vm.spec.zone}", name)
        if vm.spec.placement.cluster not in (None, cluster.metadata.name):
            return _refused(f"the VM is on host {name} of cluster {cluster.metadata.name}; placement.cluster says otherwise", name)
        if why := _claimed(vm, found, cluster, store) or _marked(ctx, found, name):
            return why
        return Place(link, cluster, found, _pools(name, cluster, store))


def _marked(ctx: Context[VirtualMachine], found: FoundVM, host: str) -> Nowhere | None:
    """What carries the mark of another object is that object's; once it is gone, whoever may adopt the VM can have it."""
    if found.owner is None or found.owner.uid == ctx.uid:
        return None
    owner = f"{found.owner.namespace}/{found.owner.name}"
    if lives(found.owner, ctx.store):
        return _refused(f"the VM on host {host} carries the owner mark of VirtualMachine {owner} (uid {found.owner.uid})", host)
    if found.volumes:
        names = ", ".join(sorted(each.name for each in found.volumes)[:5])
        text = (
            f"the VM on host {host}, which VirtualMachine {owner} left behind, has {len(found.volumes)} volumes of Vireo ({names})"
        )
        return _refused(f"{text}: take them off the VM on the hypervisor first", host)
    return None


def _claimed(vm: VirtualMachine, found: FoundVM, cluster: Cluster, store: Store) -> Nowhere | None:
    """Of several objects that name one VM, and may adopt it, the oldest has it."""
    named = vms_by_adopted.of(store, found.instance)
    others = [each for each in named if _may_have(each, found, cluster, store)]
    first = min(others, key=lambda each: (each.metadata.creation_timestamp or "", each.metadata.uid), default=vm)
    if first.metadata.uid == vm.metadata.uid:
        return None
    return _refused(f"VirtualMachine {first.metadata.namespace}/{first.metadata.name}, which is older, names the same instanceID")


def _may_look(name: str, found: FoundVM, vm: VirtualMachine, store: Store) -> bool:
    """Whether the object may have a VM: others are not even told what is there."""
    host = store.get(Host, name)
    cluster = store.get(Cluster, host.spec.cluster) if host else None
    return cluster is not None and _may_have(vm, found, cluster, store)


def _may_have(vm: VirtualMachine, found: FoundVM, cluster: Cluster, store: Store) -> bool:
    """The namespace that a VM was made in may have it back; all others need the grant of the cluster."""
    mine = found.owner is not None and found.owner.namespace == vm.metadata.namespace
    return mine or granted(cluster, cluster.spec.adopters, vm.metadata.namespace, store)


def _pools(host: str, cluster: Cluster, store: Store) -> dict[str, str]:
    pools = (store.get(StoragePool, key.name) for key in pools_of_host(store, host, cluster))
    return {pool.spec.path: pool.metadata.name for pool in pools if pool is not None and pool.spec.path and not pool.deleting}


def _refused(message: str, host: str | None = None) -> Nowhere:
    return Nowhere(AdoptionPhase.REFUSED, message, host)
