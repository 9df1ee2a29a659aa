"""Taking over a VM that is there already: found, compared, marked as ours; from then on it is a VM like any other.

Until the mark is on it, nothing of the VM is changed and nothing is made. The mark is the one step that counts: whoever finds it
there knows that the VM is adopted, whatever a status says.
"""

from __future__ import annotations

from controller.inventory import HostLink
from controller.placing.placement import group_of
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, requeue, waiting
from controller.scheduler import Allocation
from controller.shared.instances import adopted, lives, to_adopt
from controller.vm import job, report, restart
from controller.vm.job import Command
from controller.vm.likeness import Likeness, compare, root_of
from controller.vm.marking import Marking
from controller.vm.references import References, resolve
from controller.vm.search import Nowhere, Place, Search
from controller.vm.seat import Seating
from controller.vm.services import Services
from controller.vm.steps import Steps
from controller.vm.translate import Site
from crds.status import Job
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import AdoptMode, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import AdoptionPhase, AdoptionStatus, Difference, NICStatus
from drivers.errors import Conflict
from drivers.types import ObservedVM

_LOOKS = 30.0
"""Seconds after which a VM is looked at again that is not ours: no event tells of it."""

_CALL_LOOKS = 5.0

_MOST, _SHOWN = 64, 5


class Adopting:
    """Brings an object to the VM that it names."""

    def __init__(self, services: Services, seating: Seating, steps: Steps, marking: Marking) -> None:
        self._services = services
        self._marking = marking
        self._seating = seating
        self._steps = steps
        self._search = Search(services, seating)

    async def run(self, ctx: Context[VirtualMachine]) -> Result | None:
        """Report on the VM, or take it over; None once it is ours, and for objects that adopt none. Raises DriverError."""
        if ctx.object.spec.adopt is None or adopted(ctx.object):
            return None
        if unfinished := await self._follow(ctx):
            return unfinished
        if link := await self._marked(ctx):
            return await self._taken(ctx, link)
        if self._marking.under_way(ctx.uid):
            return requeue(_CALL_LOOKS, "Adopting", "the hypervisor has not answered yet whether the VM carries the owner mark")
        place = await self._search.place(ctx)
        if isinstance(place, Nowhere):
            return self._nowhere(ctx, place)
        if place.found.owner is not None and place.found.owner.uid == ctx.uid:
            return await self._taken(ctx, place.link)
        refs = resolve(ctx.object, ctx.store)
        if not isinstance(refs, References):
            return refs
        root = root_of(place.found, place.pools)
        pool = ctx.store.get(StoragePool, place.pools[_directory(root.path)]) if root else None
        if pool is None:
            return self._nowhere(ctx, _rootless(place))
        site = Site(place.cluster, pool)
        likeness = compare(
            ctx.object,
            refs,
            site,
            place.found,
            place.pools,
            place.link.apply_mode,
            lambda nic: self._services.addressing.trouble(ctx.object, nic),
        )
        return await self._decide(ctx, place, likeness)

    async def _decide(self, ctx: Context[VirtualMachine], place: Place, likeness: Likeness) -> Result | None:
        """Say what was found, and go on if that is wanted and nothing forbids it."""
        refused, differences = likeness.refusals, list(likeness.differences[:_MOST])
        phase = AdoptionPhase.DIFFERS if differences else AdoptionPhase.MATCHES
        phase = AdoptionPhase.REFUSED if refused else phase
        ctx.object.status.adoption = AdoptionStatus(phase=phase, host=place.link.name, differences=differences)
        if refused:
            self._withdraw(ctx, "the VM can't be adopted as it is declared")
            return waiting("AdoptionRefused", f"on host {place.link.name}: {_listed(refused)}", retry_after=_LOOKS)
        if ctx.object.spec.adopt is None or ctx.object.spec.adopt.mode is AdoptMode.REPORT:
            return waiting("AdoptionReport", _sentence(place, differences), retry_after=_LOOKS)
        return await self._adopt(ctx, place, likeness)

    async def _adopt(self, ctx: Context[VirtualMachine], place: Place, likeness: Likeness) -> Result | None:
        """Book its addresses, write down what is about to happen, mark the VM."""
        if not self._services.recovery.done:
            return waiting("Recovering", self._services.recovery.message, retry_after=self._services.recovery.retry_after)
        if trouble := self._services.addressing.take_over(ctx.object, likeness.nics):
            return waiting("AdoptionRefused", trouble, retry_after=_LOOKS)
        if not ctx.has_finalizer:
            self._seating.finalizer_added(ctx.uid)
            await ctx.add_finalizer()
        report.place(ctx.object.status, place.link.name, place.cluster.metadata.name, place.found.instance, likeness.nics)
        ctx.object.status.disks = list(likeness.disks)
        running = await job.begin(ctx, Command.IMPORT, self._services.new_id)
        if not isinstance(running, Job):
            return running
        outcome = await self._marking.mark(ctx.uid, place.link, place.found.instance, likeness.adoption)
        return await self._steps.noted(ctx, outcome) or await self._taken(ctx, place.link)

    async def _marked(self, ctx: Context[VirtualMachine]) -> HostLink | None:
        """The host of the VM if it carries our mark: then it is ours, whoever may adopt VMs by now."""
        instance = to_adopt(ctx.object)
        found = self._services.inventory.find(instance) if instance else None
        link = self._services.inventory.link(found[0]) if found and found[1].owner.uid == ctx.uid else None
        if instance is None or link is None or not link.up:
            return None
        try:
            have = await link.observe(instance, fresh=True)
        except Conflict:
            link.let_go(instance)  # somebody took the mark off
            return None
        return link if have is not None and have.owner.uid == ctx.uid else None

    async def _taken(self, ctx: Context[VirtualMachine], link: HostLink) -> Result | None:
        """The VM carries our mark: take into the books what it has."""
        instance = to_adopt(ctx.object)
        assert instance is not None
        seen = await link.observe(instance, fresh=True)
        if seen is None or seen.owner.uid != ctx.uid:
            return requeue(1.0, "Adopting", f"the VM is not on host {link.name} any more")
        self._marking.took_effect(ctx.uid)
        if not ctx.has_finalizer:
            await ctx.add_finalizer()
        ctx.object.status.adoption = AdoptionStatus(phase=AdoptionPhase.ADOPTED, host=link.name)
        restart.served(ctx)
        self._book(ctx, link, seen)
        ctx.enqueue(Key(Host.KIND, "", link.name))  # it may be among its orphans
        job.finish(ctx)
        ctx.event("Normal", "Adopted", f"taken over on host {link.name} as it is")
        await ctx.save("Adopting", f"taken over on host {link.name}")
        return None

    def _book(self, ctx: Context[VirtualMachine], link: HostLink, seen: ObservedVM) -> None:
        """Addresses and room."""
        vm, root = ctx.object, seen.disks[0] if seen.disks else None
        self._services.recovery.take_over(vm, seen)
        vm.status.nics = [
            NICStatus(name=nic.name, mac=nic.mac, ip=nic.ip or None, network=nic.network, segment=str(nic.segment))
            for nic in seen.nics
        ]
        room = Allocation(link.name, root.pool if root else "", seen.cpus, seen.memory, root.size if root else 0, group_of(vm))
        self._services.placements.occupy(ctx.uid, room)

    async def _follow(self, ctx: Context[VirtualMachine]) -> Result | None:
        """Poll the native task that an earlier reconcile, or an earlier process, started."""
        running, host = job.current(ctx.object), ctx.object.status.host
        if running is None or running.native_ref is None or host is None:
            return None
        link = self._services.inventory.link(host)
        if link is None or not link.up:
            return waiting("HostDown", f"host {host} does not answer", retry_after=_LOOKS)
        return await self._steps.follow(ctx, link)

    def _nowhere(self, ctx: Context[VirtualMachine], why: Nowhere) -> Result:
        ctx.object.status.adoption = AdoptionStatus(phase=why.phase, host=why.host)
        if not why.passing:
            self._withdraw(ctx, why.message)
        reason = "AdoptionNotFound" if why.phase is AdoptionPhase.NOT_FOUND else "AdoptionRefused"
        return waiting(reason, why.message, retry_after=_LOOKS)

    def _withdraw(self, ctx: Context[VirtualMachine], why: str) -> None:
        """Take back what was written down and booked for an adoption that can't be after all: the VM has no mark of ours."""
        status = ctx.object.status
        if job.current(ctx.object) is not None:
            job.fail(ctx, why)
        if status.host:
            ctx.enqueue(Key(Host.KIND, "", status.host))
        status.host = status.cluster = status.instance_id = status.ip_address = None
        status.nics, status.disks = [], []
        self._services.addressing.leave(ctx.uid, self._orphan(ctx))
        self._services.placements.release(ctx.uid)

    def _orphan(self, ctx: Context[VirtualMachine]) -> ObservedVM | None:
        """The VM that the object names, as last seen, if it carries the mark of an object that is gone."""
        instance = to_adopt(ctx.object)
        found = self._services.inventory.find(instance) if instance else None
        return found[1] if found and not lives(found[1].owner, ctx.store) else None


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _rootless(place: Place) -> Nowhere:
    first = next((disk.path for disk in place.found.disks if disk.exclusive), "")
    what = f"the disk that the VM boots from, {first}," if first else "the VM has no disk that"
    where = f"is in no StoragePool that host {place.link.name} reaches: declare one with its directory"
    return Nowhere(AdoptionPhase.REFUSED, f"{what} {where}", place.link.name)


def _sentence(place: Place, differences: list[Difference]) -> str:
    owner, then = place.found.owner, "set adopt.mode to Adopt to take it over"
    left = f", where VirtualMachine {owner.namespace}/{owner.name}, which is gone, left it behind" if owner else ""
    where = f"found on host {place.link.name}{left}"
    if not differences:
        return f"{where}, exactly as declared; {then}"
    return (
        f"{where}, with {len(differences)} differences, see status.adoption: {_listed(differences)}; {then}, or change spec first"
    )


def _listed(differences: list[Difference]) -> str:
    shown = [f"{each.field} ({each.message or each.effect})" for each in differences[:_SHOWN]]
    more = len(differences) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
