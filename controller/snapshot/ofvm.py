"""Snapshots of whole VMs."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from controller.inventory import HostLink
from controller.ipam import snapshot_id
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, done, failed, requeue, waiting
from controller.shared import holds, operation
from controller.shared.instances import instance_of, may_be
from controller.shared.lookups import qualified, restores_by_snapshot, snapshots_by_vm, volumes_by_id
from controller.shared.translate import keeps_snapshots
from controller.snapshot.services import LOOKS, Command, Services, as_it_was, desired, followed, lost, no_room
from crds.fields import Timestamp
from crds.status import Job
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.errors import Conflict
from drivers.types import Capability, InstanceID, ObservedSnapshot, ObservedVM, Power

_ON = (Power.ON, Power.PAUSED)


class OfVM:
    """Takes and removes snapshots of VMs. They lie with the VM, and go with it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def drive(self, ctx: Context[Snapshot]) -> Result:
        """Have the snapshot taken, once, and show it."""
        status, vm = ctx.object.status, _vm(ctx)
        if status.source_id is not None and (vm is None or not may_be(vm, status.source_id)):
            return lost(ctx, "SourceGone", f"VM {ctx.object.spec.virtual_machine} was deleted, and its snapshots with it")
        if vm is None:
            return waiting("VirtualMachineNotFound", f"VM {ctx.object.spec.virtual_machine} does not exist")
        link = self._services.reach.vm(vm)
        if not isinstance(link, HostLink):
            return as_it_was(ctx, link)
        if unfinished := await followed(ctx, self._services.calls, link, instance_of(vm)):
            return unfinished
        return await self._converge(ctx, vm, link)

    async def remove(self, ctx: Context[Snapshot]) -> Result | None:
        """Remove the snapshot from the tree of its VM; None once nothing is left. It is asked for even if none is seen."""
        status, vm = ctx.object.status, _vm(ctx)
        if vm is None or (status.source_id is not None and not may_be(vm, status.source_id)):
            return None
        if status.source_id not in (None, instance_of(vm)):
            why = f"VM {vm.metadata.name} has yet to be adopted, again if its status was lost"
            return waiting("VirtualMachineNotReady", why, retry_after=operation.RETRY)
        going = waiting("VirtualMachineDeleting", f"VM {vm.metadata.name} is being deleted, and its snapshots with it")
        if vm.deleting and operation.current(ctx) is None:
            return going
        link = self._services.reach.vm(vm)
        if not isinstance(link, HostLink):
            return link
        instance = instance_of(vm)
        if unfinished := await followed(ctx, self._services.calls, link, instance):
            return unfinished
        if unfinished := await self._thaw(ctx, link, instance):
            return unfinished
        if vm.deleting:  # which waits for this job to end, and then takes the snapshot with it
            operation.cancel(ctx, going.message)
            return going
        first = operation.current(ctx) is None
        if first and (busy := _busy(ctx, vm)):
            return busy
        job = await operation.begin(ctx, Command.DELETE_OF_VM, SnapshotState.EXPUNGING, self._services.new_id)
        if contended := _contended(ctx, vm, job, first=first):
            return contended
        remove = partial(link.snapshots.delete, instance, snapshot_id(ctx.uid))
        return await operation.call(ctx, self._services.calls, link, job, remove)

    async def _converge(self, ctx: Context[Snapshot], vm: VirtualMachine, link: HostLink) -> Result:
        for attempt in (1, 2):
            have = await link.observe(instance_of(vm))
            if have is None:
                why = f"VM {vm.metadata.name} is not on host {link.name} now"
                return waiting("VirtualMachineNotReady", why, retry_after=operation.RETRY)
            seen = next((each for each in have.snapshots if each.snapshot == snapshot_id(ctx.uid)), None)
            if seen is not None and not (_unconfirmed(ctx) and have.power in _ON):
                return _taken(ctx, vm, link, seen)
            if ctx.object.status.created_at is not None:
                return lost(ctx, "SnapshotMissing", f"deleted from VM {vm.metadata.name} on the hypervisor")
            if attempt == 1 and (unfinished := await self._take(ctx, vm, link, have, there=seen is not None)):
                return unfinished
        return requeue(operation.RETRY, "NotThereYet", "taken, but the hypervisor does not show it yet")

    async def _take(
        self, ctx: Context[Snapshot], vm: VirtualMachine, link: HostLink, have: ObservedVM, *, there: bool
    ) -> Result | None:
        """Take it, when nothing forbids it at this moment; what is asked for again after a crash was allowed before.

        `there`: it was taken, and is asked for again because nobody knows whether the guest was thawed.
        """
        status = ctx.object.status
        first = operation.current(ctx) is None
        forbidden = None if there else _forbidden(ctx, vm, link, have)
        if first and (not_now := _busy(ctx, vm) or forbidden or no_room(ctx, self._services.refusals)):
            status.state = SnapshotState.ALLOCATED
            return not_now
        status.snapshot_id, status.source_id, status.host = snapshot_id(ctx.uid), have.instance, link.name
        job = await operation.begin(ctx, Command.CREATE_OF_VM, SnapshotState.CREATING, self._services.new_id)
        await ctx.add_finalizer()
        if contended := _contended(ctx, vm, job, first=first):
            status.state = SnapshotState.ALLOCATED if operation.current(ctx) is None else status.state
            return contended
        wanted = desired(ctx.object, quiesce=ctx.object.spec.quiesce and have.power in _ON)
        take = partial(link.snapshots.create, have.instance, wanted)
        return await operation.call(ctx, self._services.calls, link, job, take, certain=wanted.quiesce)

    async def _thaw(self, ctx: Context[Snapshot], link: HostLink, instance: InstanceID) -> Result | None:
        """Take it before it is removed: only a call that ended says that the guest is not left frozen."""
        job = operation.current(ctx)
        if job is None or job.command != Command.CREATE_OF_VM or not _unconfirmed(ctx):
            return None
        have = await link.observe(instance)
        if have is None or have.power not in _ON:
            return None
        take = partial(link.snapshots.create, instance, desired(ctx.object, quiesce=True))
        with suppress(Conflict):  # which leaves it thawed
            return await operation.call(ctx, self._services.calls, link, job, take, certain=True)
        return None


def _unconfirmed(ctx: Context[Snapshot]) -> bool:
    """Whether the guest may still be frozen: no call to take the snapshot is known to have ended well."""
    job = operation.current(ctx)
    ended = job is not None and job.phase == operation.ENDED
    return ctx.object.spec.quiesce and ctx.object.status.created_at is None and not ended


def _vm(ctx: Context[Snapshot]) -> VirtualMachine | None:
    return ctx.store.get(VirtualMachine, ctx.object.spec.virtual_machine or "", ctx.key.namespace)


def _busy(ctx: Context[Snapshot], vm: VirtualMachine) -> Result | None:
    """Whether the VM is being worked on by others: each waits for the other to end, and none begins meanwhile."""
    job = vm.status.job
    if job is not None and jobs.running(job):
        return waiting("VirtualMachineBusy", f"VM {vm.metadata.name} is being worked on: {job.command}")
    hold = holds.on_vm(ctx.store, vm, besides=ctx.key)
    return waiting("VirtualMachineBusy", f"VM {vm.metadata.name}: {hold}") if hold else None


def _contended(ctx: Context[Snapshot], vm: VirtualMachine, job: Job, *, first: bool) -> Result | None:
    """Whether others have begun to work on the VM while our job was being written."""
    vm = ctx.store.get(VirtualMachine, vm.metadata.name, vm.metadata.namespace) or vm
    hold = holds.on_vm(ctx.store, vm, besides=ctx.key)
    return operation.contended(ctx, job, first=first, theirs=[vm.status.job], hold=hold)


def _forbidden(ctx: Context[Snapshot], vm: VirtualMachine, link: HostLink, have: ObservedVM) -> Result | None:
    """What keeps this snapshot from being taken of the VM as it is."""
    spec, can, running = ctx.object.spec, link.capabilities, have.power in _ON
    if vm.deleting:
        return waiting("VirtualMachineDeleting", f"VM {vm.metadata.name} is being deleted")
    wanted = {
        Capability.SNAPSHOTS: True,
        Capability.SNAPSHOT_MEMORY: spec.include_memory,
        Capability.SNAPSHOT_QUIESCE: spec.quiesce,
    }
    lacking = [each.value for each, needed in wanted.items() if needed and each not in can]
    if lacking:
        return failed("SnapshotsUnsupported", f"host {link.name} lacks the capability {', '.join(lacking)}", terminal=True)
    if luns := [each.metadata.name for one in have.volumes for each in volumes_by_id.of(ctx.store, one.volume) if _is_lun(each)]:
        text = f"VM {vm.metadata.name} has the volume {luns[0]}, a LUN, which no snapshot can keep: take it off the VM first"
        return failed("SnapshotsUnsupported", text, terminal=True)
    pools = {disk.pool for disk in have.disks} | {each.pool for each in have.volumes}
    if without := [name for name in sorted(pools) if (pool := ctx.store.get(StoragePool, name)) and not keeps_snapshots(pool)]:
        text = f"VM {vm.metadata.name} has a disk in storage pool {without[0]}, of whose disks there are no snapshots"
        return failed("SnapshotsUnsupported", text, terminal=True)
    if spec.include_memory and not running:
        text = f"VM {vm.metadata.name} does not run, so it has no memory to keep"
        off = vm.spec.power_state is PowerState.OFF
        return failed("VirtualMachineStopped", text, terminal=True) if off else waiting("VirtualMachineStopped", text)
    if running and not spec.include_memory and Capability.SNAPSHOT_RUNNING not in can:
        text = f"host {link.name} takes snapshots without memory of stopped VMs only: stop VM {vm.metadata.name} first"
        return failed("VirtualMachineRunning", text, terminal=True)
    if spec.quiesce and running and not have.guest.agent:
        return waiting(
            "AgentSilent", "the guest agent, which would freeze the filesystems, does not answer", retry_after=operation.RETRY
        )
    return None


def _is_lun(volume: Volume) -> bool:
    return volume.spec.lun is not None


def _taken(ctx: Context[Snapshot], vm: VirtualMachine, link: HostLink, seen: ObservedSnapshot) -> Result:
    status = ctx.object.status
    if status.created_at is None:
        status.created_at = Timestamp.at(ctx.clock.now().fromtimestamp(seen.created, ctx.clock.now().tzinfo))
        ctx.event("Normal", "Taken", f"of VM {vm.metadata.name} on host {link.name}")
    status.snapshot_id, status.source_id, status.host = seen.snapshot, instance_of(vm), link.name
    status.memory, status.parent = seen.memory, _parent(ctx, vm, seen)
    operation.finish(ctx)
    restores = restores_by_snapshot.of(ctx.store, qualified(ctx.key.namespace, ctx.key.name))
    reverting = any(jobs.running(each.status.job) for each in restores)
    status.state = SnapshotState.REVERTING if reverting else SnapshotState.READY
    return done("Ready", recheck_after=LOOKS)


def _parent(ctx: Context[Snapshot], vm: VirtualMachine, seen: ObservedSnapshot) -> str | None:
    """The snapshot below this one in the tree, by the name of its object if there is one."""
    if seen.parent is None:
        return None
    siblings = snapshots_by_vm.of(ctx.store, qualified(ctx.key.namespace, vm.metadata.name))
    return next((each.metadata.name for each in siblings if snapshot_id(each.metadata.uid) == seen.parent), seen.parent)
