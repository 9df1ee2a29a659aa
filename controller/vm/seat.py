"""Where a VM is or shall be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.inventory import HostLink, LinkState
from controller.placing.placement import group_of
from controller.placing.refusals import PAUSE, Refusal
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, waiting
from controller.scheduler import Allocation, Placement, Reason, Rejection, Request
from controller.shared.instances import instance_of
from controller.shared.lookups import hosts_by_cluster
from controller.shared.lunpools import only_luns
from controller.shared.reach import silent
from controller.shared.standing import standing
from controller.vm import report, restart
from controller.vm.references import References
from controller.vm.services import Services
from controller.vm.translate import Site
from controller.vm.volumes import Mounting, Reach
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import AntiAffinityMode, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus, PlacementReport
from drivers.types import Firmware, InstanceID, ObservedVM


@dataclass(frozen=True, slots=True)
class Seat:
    """A host that can be called, and the site that it belongs to. `fresh`: chosen just now, nothing of the VM is there yet."""

    link: HostLink
    site: Site
    fresh: bool = False


class Seating:
    """Finds the host of a VM: from its status, on the hypervisors, or by placing it."""

    def __init__(self, services: Services, mounting: Mounting) -> None:
        self._services = services
        self._mounting = mounting
        self._new: set[str] = set()

    def seat(self, ctx: Context[VirtualMachine], refs: References) -> Seat | Result:
        """Where the VM is or goes. Never makes anything; a new place is held in memory until the status has it."""
        vm = ctx.object
        if self._services.placements.expects(ctx.uid):
            self._services.placements.keep_expected(ctx.uid, self._mounting.declared(ctx))
        if vm.status.host and vm.status.disks:
            return self._at(ctx, vm.status.host, vm.status.disks[0].pool)
        found = self._services.inventory.find(instance_of(vm))
        if found is not None:
            return self._found(ctx, refs, *found)
        if unknown := self.undecided(ctx):
            return unknown
        return self._place(ctx, refs)

    def finalizer_added(self, uid: str) -> None:
        """Remember that this process put the finalizer on: until the status is written, the VM is known not to exist anywhere."""
        self._new.add(uid)

    async def give_up(self, ctx: Context[VirtualMachine], reason: str, message: str) -> None:
        """Give back the place of a VM of which nothing is there: it is as before it was placed, its addresses aside."""
        await ctx.remove_finalizer()
        status = ctx.object.status
        status.host = status.cluster = status.instance_id = status.state = None
        status.disks, status.volumes = [], []
        self._services.placements.release(ctx.uid)
        ctx.conditions.set("Placed", False, reason, message)

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._new.discard(uid)
        self._services.placements.release(uid)

    def _at(self, ctx: Context[VirtualMachine], host: str, pool: str, *, fresh: bool = False) -> Seat | Result:
        link = self._services.inventory.link(host)
        if (link is None or not link.attempted) and (as_it_was := standing(ctx)):
            return as_it_was
        if link is None or not link.up:
            why = unreachable(host, link)
            if not fresh:
                report.unseen(ctx.object, ctx.conditions, why)
            return why
        parent = ctx.store.get(Host, host)
        cluster = ctx.store.get(Cluster, parent.spec.cluster) if parent else None
        storage = ctx.store.get(StoragePool, pool)
        if cluster is None or storage is None:
            missing = f"storage pool {pool}" if cluster else f"cluster of host {host}"
            return waiting("PlacementNotFound", f"{missing} does not exist")
        return Seat(link, Site(cluster, storage), fresh)

    def _found(self, ctx: Context[VirtualMachine], refs: References, host: str, seen: ObservedVM) -> Seat | Result:
        """The status is lost or names another host, the VM is not: take it over as it is."""
        pool = next((disk.pool for disk in seen.disks), "")
        cpus, memory = refs.offering.spec.cpus, refs.offering.spec.memory.bytes
        allocation = Allocation(host, pool, cpus, memory, refs.root_size, group_of(ctx.object))
        self._services.placements.occupy(ctx.uid, allocation)
        self._services.recovery.take_over(ctx.object, seen)
        ctx.object.status.nics = [
            NICStatus(name=nic.name, mac=nic.mac, ip=nic.ip or None, network=nic.network, segment=str(nic.segment))
            for nic in seen.nics
        ]
        restart.served(ctx)
        ctx.event("Normal", "Found", f"found on host {host}, taken over as it is")
        return self._at(ctx, host, pool)

    def undecided(self, ctx: Context[VirtualMachine]) -> Result | None:
        """Whether the VM may exist on a host that has not been seen: then it must not be made a second time."""
        if not self._services.recovery.done:
            return waiting("Recovering", self._services.recovery.message, retry_after=self._services.recovery.retry_after)
        if not ctx.has_finalizer or ctx.uid in self._new:
            return None
        unseen = self.unseen(ctx)
        if not unseen:
            return None
        names = ", ".join(unseen[:5])
        return waiting("HostsNotObserved", f"the VM may exist on {len(unseen)} hosts that do not answer: {names}", retry_after=15.0)

    def unseen(self, ctx: Context[VirtualMachine]) -> list[str]:
        """Hosts of the zone that may carry VMs of ours and have not been observed; a Host without finalizer never did."""
        unseen = []
        for cluster in ctx.store.by_index(Cluster, "zone", ctx.object.spec.zone):
            for host in hosts_by_cluster.of(ctx.store, cluster.metadata.name):
                link = self._services.inventory.link(host.metadata.name)
                if host.metadata.finalizers and not (link and link.observed):
                    unseen.append(host.metadata.name)
        return unseen

    def _place(self, ctx: Context[VirtualMachine], refs: References) -> Seat | Result:
        reach, refusals = self._mounting.reach(ctx), self._services.rooms.refusals
        if not isinstance(reach, Reach):
            return reach
        request = _request(ctx.object, refs, reach, refusals.pools(ctx.uid))
        answer = self._services.placements.place(request)
        if isinstance(answer, Placement) and _contradicts(reach, answer):  # chosen before its volumes had a pool
            self._services.placements.release(ctx.uid)
            answer = self._services.placements.place(request)
        if isinstance(answer, Rejection):
            refused = [*refusals.of(ctx.uid), *(each for volume in reach.new for each in refusals.of(volume.uid))]
            return _rejected(ctx, answer, refused, refusals.left(refused, PAUSE) if refused else None)
        seat = self._at(ctx, answer.host, answer.pool, fresh=True)
        if not isinstance(seat, Seat):
            self._services.placements.release(ctx.uid)
            return seat
        _placed(ctx, answer)
        return seat

    def follow(self, ctx: Context[VirtualMachine], host: str) -> None:
        """The VM was moved to another host: its room goes along."""
        ctx.object.status.host = host
        held = self._services.placements.size(ctx.uid)
        if held:
            self._services.placements.occupy(ctx.uid, replace(held, host=host))

    def gone_from(self, link: HostLink, instance: InstanceID) -> str | None:
        """The host that the VM is on now, if it is on another than this one."""
        found = self._services.inventory.find(instance)
        return found[0] if found and found[0] != link.name else None


def _contradicts(reach: Reach, placement: Placement) -> bool:
    return reach.host not in ("", placement.host) or reach.cluster not in ("", placement.cluster)


def _request(vm: VirtualMachine, refs: References, reach: Reach, refused: frozenset[str]) -> Request:
    wanted = vm.spec.placement
    return Request(
        uid=vm.metadata.uid,
        zone=vm.spec.zone,
        cpus=refs.offering.spec.cpus,
        memory=refs.offering.spec.memory.bytes,
        disk=refs.root_size,
        cluster=reach.cluster,
        host=reach.host,
        host_tags=frozenset([*refs.offering.spec.host_tags, *wanted.host_tags]),
        storage_tags=frozenset([*refs.offering.spec.storage_tags, *vm.spec.root_disk.tags]),
        firmware=Firmware(refs.firmware),
        disk_limits=refs.offering.spec.disk_limits is not None,
        group=group_of(vm),
        volumes=reach.new,
        refused=refused,
        apart=wanted.anti_affinity is not None and wanted.anti_affinity.mode is AntiAffinityMode.REQUIRED,
    )


def _placed(ctx: Context[VirtualMachine], placement: Placement) -> None:
    ctx.object.status.placement_report = None
    ctx.conditions.set("Placed", True, "Placed", f"host {placement.host}, storage pool {placement.pool}")


def _rejected(ctx: Context[VirtualMachine], rejection: Rejection, refused: Sequence[Refusal], after: float | None) -> Result:
    """`refused`: what the hosts of pools said that were left out for that; they are tried again `after` so many seconds."""
    poolless = Reason.NO_STORAGE_POOL in rejection.counts
    message = rejection.message + (only_luns(ctx.store, ctx.object.spec.zone) if poolless else "")
    message += "".join(f"; {said}" for said in dict.fromkeys(each.message for each in refused))
    examples = {reason: list(names) for reason, names in rejection.examples.items()}
    ctx.object.status.placement_report = PlacementReport(rejected=dict(rejection.counts), examples=examples, message=message)
    ctx.conditions.set("Placed", False, rejection.reason, message)
    if rejection.reason is Reason.TOO_LARGE_FOR_ANY_HOST:
        return failed(rejection.reason, message, terminal=True)
    return waiting(rejection.reason, message, retry_after=after)


def unreachable(host: str, link: HostLink | None) -> Result:
    """Why nothing can be done about a VM on this host."""
    if link is None:
        return waiting("HostNotConnected", f"host {host} is not connected yet")
    if link.state is LinkState.CONNECTING:
        return waiting("HostConnecting", f"host {host} is being connected")
    return waiting("HostDown", silent(host, link))
