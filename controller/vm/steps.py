"""Carrying out one action of the plan: intent written first, then the driver called, then on to the next observation."""

from __future__ import annotations

from collections.abc import Sequence

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared.errands import Broken, Finished
from controller.shared.instances import instance_of
from controller.shared.translate import pool_spec
from controller.vm import job, report, volumes
from controller.vm.delegation import MADE, Recalled, given
from controller.vm.full import Full
from controller.vm.job import Command
from controller.vm.plan import Action, Apply, Create, RecordRestart, Start, Stop, Want, Why
from controller.vm.recreation import Recreation
from controller.vm.references import References
from controller.vm.seat import Seat, Seating
from controller.vm.services import Services
from controller.vm.stop import Stopping
from controller.vm.volumes import Mounting
from crds.fields import Quantity
from crds.status import Job
from crds.v1alpha1.template import Template
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import DiskStatus, NICStatus, VirtualMachineState
from drivers.errors import NoRoom, NotFound
from drivers.types import (
    AttachVolume,
    Change,
    DetachVolume,
    Done,
    Failed,
    GrowDisk,
    InstanceID,
    ObservedVM,
    OpRef,
    Running,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    Started,
    Succeeded,
)

_POLL = 1.0
_RETRY = 15.0
_LOST = "TemplateLost"


class Steps:
    """One method for each kind of action; each returns None to go on at once, or how the reconcile ends."""

    def __init__(self, services: Services, seating: Seating, mounting: Mounting) -> None:
        self._services = services
        self._seating = seating
        self._mounting = mounting
        self._recreation = Recreation(services, seating)
        self._stopping = Stopping(services.new_id)
        self._full = Full(services, seating, mounting)

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._stopping.forget(uid)
        self._recreation.forget(uid)
        self._full.forget(uid)

    async def stop(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM) -> Result | None:
        """Stop a VM that is declared off, also while nothing else of its spec can be carried out."""
        return await self.follow(ctx, link) or await self._stopping.take(ctx, link, have, Why.DECLARED)

    async def follow(self, ctx: Context[VirtualMachine], link: HostLink) -> Result | None:
        """Poll the native task that an earlier reconcile, or an earlier process, started."""
        running = job.current(ctx.object)
        if running is None or running.native_ref is None:
            return None
        try:
            progress = await link.poll(OpRef(running.native_ref), _instance(ctx))
        except NotFound:
            progress = Succeeded()  # forgotten by the hypervisor: what is observed next decides
        match progress:
            case Running(percent):
                jobs.progressed(running, progress=jobs.coarse(percent))
                return requeue(_POLL, *_under_way(ctx, running))
            case Failed(reason, no_room=True, native_code=code):
                running.native_ref = None
                raise NoRoom(reason, native_code=code)
            case Failed(reason, retryable, code):
                return self._task_failed(ctx, f"{running.command}: {reason} ({code})" if code else reason, retryable=retryable)
            case Succeeded():
                running.native_ref = None
                await link.observe(_instance(ctx), fresh=True)
        return None

    async def take(
        self,
        ctx: Context[VirtualMachine],
        refs: References,
        seat: Seat,
        want: Want,
        have: ObservedVM | None,
        nics: list[NICStatus],
        action: Action,
    ) -> Result | None:
        """Carry out one action."""
        match action:
            case Create():
                return await self._create(ctx, refs, seat, want, nics)
            case Start():
                return await self._start(ctx, seat, want)
            case Stop(why) if have is not None:
                return await self._stopping.take(ctx, seat.link, have, why)
            case Apply() if have is not None:
                return await self._apply(ctx, seat, want, have, action)
            case RecordRestart():
                ctx.object.status.applied_restart_at = ctx.object.spec.restarted_at
                if want.power_on:
                    ctx.object.status.state = VirtualMachineState.STARTING
                    await ctx.save(VirtualMachineState.STARTING, "stopped, starting again")
        return None

    async def _create(
        self, ctx: Context[VirtualMachine], refs: References, seat: Seat, want: Want, nics: list[NICStatus]
    ) -> Result | None:
        if moved := self._seating.gone_from(seat.link, want.vm.instance):
            if given(ctx.object):
                raise Recalled(f"it was moved to host {moved}")
            ctx.event("Warning", "Moved", f"found on host {moved}, no longer on {seat.link.name}")
            self._seating.follow(ctx, moved)
            return requeue(0, "Moved", f"the VM was moved to host {moved}")
        made = ctx.conditions.is_true(MADE)
        try:
            return await self._make(ctx, refs, seat, want, nics, made=made)
        except NoRoom as error:
            return await self._full.refused(ctx, seat, error, made=made)

    async def _make(
        self, ctx: Context[VirtualMachine], refs: References, seat: Seat, want: Want, nics: list[NICStatus], *, made: bool
    ) -> Result | None:
        """Make the VM in its place, anew or, if it was `made`, again. Raises NoRoom."""
        if (made or refs.template is None) and (refused := await self._recreation.refused(ctx, seat, want.vm.instance)):
            return refused
        assert refs.template is not None  # one that was adopted is refused
        if full := self._full.resting(ctx, seat):
            return full
        if not given(ctx.object) and (unready := self._image(ctx, refs.template, seat)):
            return unready
        await self._settle_in(ctx, seat, want, nics)
        if want.missing:  # those that have no storage pool yet get one now that the VM has a host
            return await self._full.without(ctx, want.missing, made=made)
        volumes.note(ctx.object, want.vm.volumes, ctx.store)
        first = job.current(ctx.object) is None
        leaves = not made and self._services.delegation.give(ctx, seat.site.cluster)
        running = await job.begin(ctx, Command.DEPLOY, self._services.new_id, VirtualMachineState.STARTING)
        if isinstance(running, Result):
            return running
        if leaves:  # whoever works on its shard goes on from the job that was just written
            return requeue(0, *_under_way(ctx, running))
        if want.vm.volumes and (gone := await self._mounting.intend(ctx, want.vm.volumes, *_under_way(ctx, running))):
            return gone
        try:
            with self._full.calling(ctx, first=first):
                outcome = await seat.link.create(want.vm)
        except NotFound as error:
            if given(ctx.object):
                ctx.conditions.set(MADE, False, _LOST, str(error))
                raise Recalled("its storage pool has lost the template") from error
            self._services.library.lost(refs.template, seat.site.pool.metadata.name)
            return requeue(_POLL, "TemplateLost", str(error))
        return await self.noted(ctx, outcome)

    async def _settle_in(self, ctx: Context[VirtualMachine], seat: Seat, want: Want, nics: list[NICStatus]) -> None:
        """Record where the VM goes: its place is its own from here on."""
        if not ctx.has_finalizer:
            self._seating.finalizer_added(ctx.uid)
            await ctx.add_finalizer()
        report.place(ctx.object.status, seat.link.name, seat.site.cluster.metadata.name, want.vm.instance, nics)
        ctx.object.status.disks = [
            DiskStatus(name=disk.name, pool=disk.pool.name, size=Quantity.of(disk.size)) for disk in want.vm.disks
        ]

    def _image(self, ctx: Context[VirtualMachine], template: Template, seat: Seat) -> Result | None:
        """Have the template's image in the pool, or say what is still missing."""
        said = ctx.conditions.get(MADE)
        if said is not None and said.reason == _LOST:  # found by the shard that was to make the VM
            self._services.library.lost(template, seat.site.pool.metadata.name)
            ctx.conditions.remove(MADE)
        copy = self._services.library.ensure(template, pool_spec(seat.site.pool), seat.link, ctx.key)
        match copy:
            case Finished():
                return None
            case Broken(NoRoom.reason, message):
                raise NoRoom(message)
            case Broken(reason, message):
                ctx.conditions.set("DisksReady", False, reason, message)
                return failed(reason, message, terminal=copy.terminal, retry_after=None if copy.terminal else _RETRY)
        where = f"template {template.metadata.name} is being copied to storage pool {seat.site.pool.metadata.name}"
        ctx.conditions.set("DisksReady", False, "TemplateSeeding", where)
        return waiting("TemplateSeeding", where, retry_after=_RETRY)

    async def _start(self, ctx: Context[VirtualMachine], seat: Seat, want: Want) -> Result | None:
        running = await job.begin(ctx, Command.START, self._services.new_id, VirtualMachineState.STARTING)
        if isinstance(running, Result):
            return running
        ctx.object.status.state = VirtualMachineState.STARTING
        return await self.noted(ctx, await seat.link.start(want.vm.instance))

    async def _apply(self, ctx: Context[VirtualMachine], seat: Seat, want: Want, have: ObservedVM, action: Apply) -> Result | None:
        attached = [change.attachment for change in action.changes if isinstance(change, AttachVolume)]
        volumes.note(ctx.object, attached, ctx.store)
        running = await job.begin(ctx, _command(action.changes), self._services.new_id)
        if isinstance(running, Result):
            return running
        if attached and (gone := await self._mounting.intend(ctx, attached, *_under_way(ctx, running))):
            return gone
        ended = self._services.addressing.changing(ctx.uid)
        try:
            outcome = await seat.link.apply(want.vm.instance, action.changes, ended)
        except NoRoom as error:
            if not any(isinstance(change, GrowDisk) for change in action.changes):
                raise
            return self._full.growth(ctx, seat, have, error)
        return await self.noted(ctx, outcome)

    async def noted(self, ctx: Context[VirtualMachine], outcome: Done | Started) -> Result | None:
        """Go on after a call that is done; after one that goes on, write down how to follow it."""
        running = job.current(ctx.object)
        if isinstance(outcome, Started) and running is not None:
            jobs.started(running, outcome.op)
            reason, text = _under_way(ctx, running)
            await ctx.save(reason, text)
            return requeue(_POLL, reason, text)
        return None

    def _task_failed(self, ctx: Context[VirtualMachine], text: str, *, retryable: bool) -> Result:
        running = job.current(ctx.object)
        if running is not None:
            running.native_ref = None
        if not retryable:
            job.fail(ctx, text)
        return failed("TaskFailed", text, terminal=not retryable)


def _under_way(ctx: Context[VirtualMachine], running: Job) -> tuple[str, str]:
    """Reason and message while a native task works, the same from its start to its end: each difference is a write."""
    state = ctx.object.status.state
    moving = state in (VirtualMachineState.STARTING, VirtualMachineState.STOPPING)
    return str(state) if moving else "Updating", f"{running.command} is under way"


def _command(changes: Sequence[Change]) -> Command:
    """What CloudStack would call these changes, if it made them one by one: the first that has a name of its own."""
    named: dict[type[Change], Command] = dict.fromkeys((SetCPUs, SetMemory, SetDiskLimits), Command.SCALE)
    named |= {AttachVolume: Command.ATTACH, DetachVolume: Command.DETACH}
    return next((named[type(change)] for change in changes if type(change) in named), Command.UPDATE)


def _instance(ctx: Context[VirtualMachine]) -> InstanceID:
    return instance_of(ctx.object)
