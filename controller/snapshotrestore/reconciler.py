"""Drives one SnapshotRestore: once, from Pending over Reverting to Completed or Failed, and never again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.inventory import result_of
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Failed, Requeue, Result, done, failed, waiting
from controller.runtime.store import Store
from controller.shared import operation
from controller.shared.deletion import FORCE_DELETE, forced
from controller.shared.lookups import qualified, restores_by_snapshot, snapshots_by_vm, snapshots_by_volume
from controller.shared.patience import TRIES, GivenUp
from controller.shared.standing import standing
from controller.snapshotrestore.ending import Services, completed, given_up, pending
from controller.snapshotrestore.ofvm import OfVM
from controller.snapshotrestore.ofvolume import OfVolume
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.snapshotrestore import RestoreState, SnapshotRestore
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.errors import Conflict, DriverError, NoRoom, NotFound

BLOCKED = "DeletionBlocked"
_USABLE = (SnapshotState.READY, SnapshotState.BACKED_UP, SnapshotState.REVERTING)


def _of_snapshot(snapshot: Snapshot, store: Store) -> Iterable[Key]:
    return restores_by_snapshot.keys(store, qualified(snapshot.metadata.namespace, snapshot.metadata.name))


def _of_vm(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    snapshots = snapshots_by_vm.of(store, qualified(vm.metadata.namespace, vm.metadata.name))
    volumes = {*(each.volume for each in vm.spec.volumes), *(each.volume for each in vm.status.volumes if each.volume)}
    of_volumes = [each for name in volumes for each in snapshots_by_volume.of(store, qualified(vm.metadata.namespace, name))]
    return [key for each in (*snapshots, *of_volumes) for key in _of_snapshot(each, store)]


def _of_volume(volume: Volume, store: Store) -> Iterable[Key]:
    snapshots = snapshots_by_volume.of(store, qualified(volume.metadata.namespace, volume.metadata.name))
    return [key for each in snapshots for key in _of_snapshot(each, store)]


def _vm_facts(vm: VirtualMachine) -> object:
    status = vm.status
    declared = vm.deleting, vm.spec.power_state, vm.spec.volumes
    return declared, status.state, status.host, status.volumes, status.shard, jobs.running(status.job)


class SnapshotRestoreReconciler:
    """Carries out each SnapshotRestore once."""

    kind = SnapshotRestore
    watches: Sequence[Watch] = (
        Watch(Snapshot, _of_snapshot, of=lambda each: (each.status.state, each.deleting)),
        Watch(VirtualMachine, _of_vm, of=_vm_facts),
        Watch(Volume, _of_volume, of=lambda each: (each.deleting, each.status.attached_to, jobs.running(each.status.job))),
    )

    def __init__(self, services: Services) -> None:
        self._calls = services.calls
        self._refusals = services.refusals
        self._vm = OfVM(services)
        self._volume = OfVolume(services)

    async def reconcile(self, ctx: Context[SnapshotRestore]) -> Result:
        """Drive one SnapshotRestore until it has ended, or something has to be waited for."""
        return await (self._delete(ctx) if ctx.deleting else self._drive(ctx))

    def forget(self, key: Key, uid: str) -> None:
        """A SnapshotRestore is gone."""
        self._calls.forget(uid)
        self._refusals.forget(uid)

    async def _drive(self, ctx: Context[SnapshotRestore]) -> Result:
        try:
            return await self._go_on(ctx)
        except NoRoom as error:
            return self._full(ctx, error)
        except DriverError as error:
            return self._refused(ctx, error)

    async def _go_on(self, ctx: Context[SnapshotRestore]) -> Result:
        if ended := _ended(ctx):
            return ended
        snapshot = ctx.store.get(Snapshot, ctx.object.spec.snapshot, ctx.key.namespace)
        if ctx.has_finalizer and ctx.object.status.job is None:
            return await self._without_status(ctx, snapshot)
        under_way = operation.current(ctx) is not None
        if snapshot is None:
            if under_way:
                return given_up(ctx, "SnapshotNotFound", f"snapshot {ctx.object.spec.snapshot} was given up meanwhile")
            return pending(ctx, waiting("SnapshotNotFound", f"snapshot {ctx.object.spec.snapshot} does not exist"))
        if not under_way and (unready := _unready(snapshot) or self._resting(ctx)):
            return pending(ctx, unready)
        return await (self._vm if snapshot.spec.virtual_machine else self._volume).drive(ctx, snapshot)

    def _resting(self, ctx: Context[SnapshotRestore]) -> Result | None:
        """How it waits for a pool that had no room just now."""
        refused = self._refusals.of(ctx.uid)
        return self._refusals.wait(refused[0]) if refused else None

    async def _without_status(self, ctx: Context[SnapshotRestore], snapshot: Snapshot | None) -> Result:
        """The job is written before the finalizer: its status is lost. To restore a second time would lose what is newer."""
        came = await self._vm.took_effect(ctx, snapshot) if snapshot and snapshot.spec.virtual_machine else False
        if came is None:
            return waiting("HostDown", "whether it took effect can't be asked now", retry_after=operation.RETRY)
        if came:
            return completed(ctx)
        return given_up(ctx, "StatusLost", "whether it took effect is not known, and it is not done twice; apply another one")

    async def _delete(self, ctx: Context[SnapshotRestore]) -> Result:
        """A restore under way is followed to its end: neither its VM nor its volume may be touched before."""
        if not ctx.has_finalizer:
            return done("Deleted")
        if forced(ctx):
            ctx.event("Warning", "ForceDeleted", f"given up by {FORCE_DELETE}: it may still be going on")
        elif operation.current(ctx) is not None:
            result = await self._drive(ctx)
            if operation.current(ctx) is not None:
                return _waits(ctx, result)
        await ctx.remove_finalizer()
        return done("Deleted")

    def _full(self, ctx: Context[SnapshotRestore], error: NoRoom) -> Result:
        """A pool has no room for the copy now. Nothing was changed and nothing is held until the next try; there are not many,
        for to lose what is newer on another day would surprise.
        """
        snapshot = ctx.store.get(Snapshot, ctx.object.spec.snapshot, ctx.key.namespace)
        refusal = self._refusals.note(ctx.key, ctx.uid, (snapshot.status.pool if snapshot else None) or "", error)
        ctx.log.info("no room in a pool", pool=refusal.pool, error=refusal.said)
        if refusal.tries >= TRIES:
            message = f"{refusal.message}; given up after {TRIES} tries: make room, then apply another SnapshotRestore"
            return given_up(ctx, error.reason, message)
        operation.cancel(ctx, refusal.message)
        return pending(ctx, self._refusals.wait(refusal))

    def _refused(self, ctx: Context[SnapshotRestore], error: DriverError) -> Result:
        """The hypervisor said no. A definite no is the end, and so is the last of many: nothing was changed, and to try it on
        another day would surprise.
        """
        result = self._calls.patience.rest(ctx) or result_of(error)
        ctx.log.info("hypervisor call failed", reason=error.reason, error=str(error))
        definite = isinstance(error, Conflict | NotFound) or (isinstance(result, Failed) and result.terminal)
        if isinstance(error, GivenUp) or (definite and operation.current(ctx) is not None):
            again = "; mend that, then apply another SnapshotRestore" if isinstance(error, GivenUp) else ""
            return given_up(ctx, error.reason, f"{error}{again}")
        return pending(ctx, result)


def _ended(ctx: Context[SnapshotRestore]) -> Result | None:
    """What an ended restore goes on to say."""
    match ctx.object.status.state:
        case RestoreState.COMPLETED:
            return done("Completed")
        case RestoreState.FAILED:
            text = (ctx.object.status.job.result_text if ctx.object.status.job else None) or "it could not be done"
            return standing(ctx) or failed("RestoreFailed", text, terminal=True)
    return None


def _unready(snapshot: Snapshot) -> Result | None:
    name, state = snapshot.metadata.name, snapshot.status.state
    if snapshot.deleting:
        return waiting("SnapshotNotReady", f"snapshot {name} is being deleted")
    if state == SnapshotState.ERROR:
        return failed("SnapshotNotReady", f"snapshot {name} is in state Error: it has no content", terminal=True)
    return None if state in _USABLE else waiting("SnapshotNotReady", f"snapshot {name} is {state or 'not processed yet'}")


def _waits(ctx: Context[SnapshotRestore], why: Result) -> Result:
    """A deletion that can't go on says so, and how to give up."""
    if isinstance(why, Requeue):
        ctx.conditions.remove(BLOCKED)
        return why
    message = f"{why.message}; annotate with {FORCE_DELETE}={ctx.uid} to give up"
    ctx.conditions.set(BLOCKED, True, why.reason, message)
    return waiting(BLOCKED, message, retry_after=operation.RETRY)
