"""Bringing a VM back to one of its snapshots."""

from __future__ import annotations

from functools import partial

from controller.inventory import HostLink
from controller.ipam import snapshot_id
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared import holds, operation
from controller.shared.instances import instance_of, may_be
from controller.snapshotrestore.ending import Command, Services, completed, followed, given_up, pending
from crds.v1alpha1.host import AdminState, Host
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.snapshotrestore import RestoreState, SnapshotRestore
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from drivers.errors import Conflict
from drivers.types import ObservedVM, Power

_HELD = 2.0


class OfVM:
    """The hypervisor remembers with the VM which requests took effect, by our uid: none does twice, even if others followed."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def drive(self, ctx: Context[SnapshotRestore], snapshot: Snapshot) -> Result:
        """Restore when nothing forbids it, and follow it to its end."""
        try:
            return await self._drive(ctx, snapshot)
        except Conflict:
            if switched_on := await self._switched_on(ctx, snapshot):
                return switched_on
            raise

    async def _switched_on(self, ctx: Context[SnapshotRestore], snapshot: Snapshot) -> Result | None:
        """Let pass a VM that is declared off and that somebody switched on before the call: it will be stopped again."""
        vm, job = _source(ctx, snapshot), operation.current(ctx)
        if job is None or vm is None or snapshot.status.memory or vm.spec.power_state is PowerState.ON:
            return None
        link = self._services.reach.vm(vm)
        have = await link.observe(instance_of(vm), fresh=True) if isinstance(link, HostLink) else None
        if have is None or have.power is Power.OFF:
            return None
        return pending(ctx, operation.let_pass(ctx, job, f"VM {vm.metadata.name} was switched on by somebody, and is not off yet"))

    async def _drive(self, ctx: Context[SnapshotRestore], snapshot: Snapshot) -> Result:
        vm = _source(ctx, snapshot)
        if vm is None or not may_be(vm, snapshot.status.source_id):
            message = f"VM {snapshot.spec.virtual_machine}, which the snapshot was taken of, was deleted"
            return given_up(ctx, "SourceGone", message)
        if instance_of(vm) != snapshot.status.source_id:
            why = f"VM {vm.metadata.name} has yet to be adopted, again if its status was lost"
            return pending(ctx, waiting("VirtualMachineNotReady", why, retry_after=operation.RETRY))
        link = self._services.reach.vm(vm)
        if not isinstance(link, HostLink):
            return pending(ctx, link)
        if unfinished := await followed(ctx, self._services.calls, link, instance_of(vm)):
            return unfinished
        return await self._converge(ctx, snapshot, vm, link)

    async def took_effect(self, ctx: Context[SnapshotRestore], snapshot: Snapshot) -> bool | None:
        """Whether the VM is known to have been brought back by this request; None if nobody can be asked."""
        vm = _source(ctx, snapshot)
        if vm is None:
            return False
        link = self._services.reach.vm(vm)
        if not isinstance(link, HostLink):
            return None
        have = await link.observe(instance_of(vm))
        return have is not None and ctx.uid in have.restored

    async def _converge(self, ctx: Context[SnapshotRestore], snapshot: Snapshot, vm: VirtualMachine, link: HostLink) -> Result:
        for attempt in (1, 2):
            have = await link.observe(instance_of(vm))
            if have is None:
                why = f"VM {vm.metadata.name} is not on host {link.name} now"
                return pending(ctx, waiting("VirtualMachineNotReady", why, retry_after=operation.RETRY))
            if ctx.uid in have.restored:
                return completed(ctx)
            if attempt == 1 and (unfinished := await self._restore(ctx, snapshot, vm, link, have)):
                return unfinished
        return requeue(operation.RETRY, "NotThereYet", "restored, but the hypervisor does not show it yet")

    async def _restore(
        self, ctx: Context[SnapshotRestore], snapshot: Snapshot, vm: VirtualMachine, link: HostLink, have: ObservedVM
    ) -> Result | None:
        """What is asked for again after a crash was allowed before: nobody has touched the VM since."""
        first = operation.current(ctx) is None
        if first and (not_now := _not_now(ctx, snapshot, vm, have)):
            return pending(ctx, not_now)
        ctx.object.status.host = link.name
        job = await operation.begin(ctx, Command.VM, RestoreState.REVERTING, self._services.new_id)
        await ctx.add_finalizer()
        vm = ctx.store.get(VirtualMachine, vm.metadata.name, ctx.key.namespace) or vm
        hold = holds.on_vm(ctx.store, vm, besides=ctx.key)
        if contended := operation.contended(ctx, job, first=first, theirs=[vm.status.job], hold=hold):
            return pending(ctx, contended)
        bring_back = partial(link.snapshots.restore, have.instance, snapshot_id(snapshot.metadata.uid), ctx.uid)
        return await operation.call(ctx, self._services.calls, link, job, bring_back)


def _source(ctx: Context[SnapshotRestore], snapshot: Snapshot) -> VirtualMachine | None:
    """The VM of that name, be it the one that the snapshot was taken of or another."""
    return ctx.store.get(VirtualMachine, snapshot.spec.virtual_machine or "", ctx.key.namespace)


def _not_now(ctx: Context[SnapshotRestore], snapshot: Snapshot, vm: VirtualMachine, have: ObservedVM) -> Result | None:
    name = vm.metadata.name
    if vm.deleting:
        return failed("VirtualMachineDeleting", f"VM {name} is being deleted", terminal=True)
    if not snapshot.status.memory:
        if vm.spec.power_state is PowerState.ON:
            text = f"the snapshot has no memory: stop VM {name} first (powerState Off), and start it again afterwards"
            return failed("VirtualMachineRunning", text, terminal=True)
        if have.power is not Power.OFF:
            return waiting("VirtualMachineRunning", f"VM {name} is not off yet", retry_after=_HELD)
    elif have.power in (Power.OFF, Power.CRASHED) and (kept_off := _kept_off(ctx, vm)):
        return kept_off
    job = vm.status.job
    if job is not None and jobs.running(job):
        return waiting("VirtualMachineBusy", f"VM {name} is being worked on: {job.command}", retry_after=_HELD)
    hold = holds.on_vm(ctx.store, vm, besides=ctx.key)
    return waiting("VirtualMachineBusy", f"VM {name}: {hold}", retry_after=_HELD) if hold else None


def _kept_off(ctx: Context[SnapshotRestore], vm: VirtualMachine) -> Result | None:
    """Why a VM must not run now, as it would with its memory back: what forbids to start it."""
    name, host = vm.metadata.name, ctx.store.get(Host, vm.status.host or "")
    if host is not None and host.spec.admin_state is AdminState.MAINTENANCE:
        message = f"VM {name} would run again, and host {host.metadata.name} is in maintenance: no VM is started there"
        return waiting("HostInMaintenance", message, retry_after=operation.RETRY)
    if not vm.status.room_released:
        return None
    text = f"VM {name} would run again, and gave its room on host {vm.status.host} back while stopped"
    if vm.spec.power_state is PowerState.OFF:
        return failed("InsufficientCapacity", f"{text}: start it first (powerState On)", terminal=True)
    return waiting("InsufficientCapacity", f"{text}: it waits until there is some", retry_after=operation.RETRY)
