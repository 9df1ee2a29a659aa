"""Drives one Snapshot: taken once, then shown, found again after any loss of status, and removed with its object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.inventory import result_of
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Failed, Result, failed
from controller.runtime.store import Store
from controller.shared import operation
from controller.shared.lookups import qualified, snapshots_by_vm, snapshots_by_volume, vms_by_volume
from controller.shared.patience import GivenUp
from controller.shared.standing import standing
from controller.snapshot.delete import delete, waits
from controller.snapshot.ofvm import OfVM
from controller.snapshot.ofvolume import OfVolume
from controller.snapshot.services import Services, as_it_was, pool_of
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.snapshotrestore import SnapshotRestore
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.errors import Conflict, DriverError, NoRoom, NotFound


def _of_vm(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    """Those of the VM, and of the volumes that it has or names."""
    space = vm.metadata.namespace
    volumes = {*(each.volume for each in vm.status.volumes if each.volume), *(each.volume for each in vm.spec.volumes)}
    of_volumes = [key for name in volumes for key in snapshots_by_volume.keys(store, qualified(space, name))]
    return [*snapshots_by_vm.keys(store, qualified(space, vm.metadata.name)), *of_volumes]


def _siblings(snapshot: Snapshot, store: Store) -> Iterable[Key]:
    """Those whose place in the tree or whose turn depends on it, as `holds` has it: of the same VM and of its volumes, or of the
    same volume and of the VMs that have it.
    """
    space, spec = snapshot.metadata.namespace, snapshot.spec
    if spec.virtual_machine:
        vm = store.get(VirtualMachine, spec.virtual_machine, space)
        return _of_vm(vm, store) if vm else snapshots_by_vm.keys(store, qualified(space, spec.virtual_machine))
    volume = qualified(space, spec.volume or "")
    vms = vms_by_volume.keys(store, volume)
    of_vms = [key for vm in vms for key in snapshots_by_vm.keys(store, qualified(vm.namespace, vm.name))]
    return [*snapshots_by_volume.keys(store, volume), *of_vms]


def _of_restore(restore: SnapshotRestore, store: Store) -> Iterable[Key]:
    snapshot = store.get(Snapshot, restore.spec.snapshot, restore.metadata.namespace)
    return [Key.of(snapshot), *_siblings(snapshot, store)] if snapshot else ()


def _of_volume(volume: Volume, store: Store) -> Iterable[Key]:
    """Those of the volume, and the one that it is made from."""
    space, source = volume.metadata.namespace, volume.spec.source
    origin = [Key(Snapshot.KIND, space, source.snapshot.name)] if source and source.snapshot else []
    return [*snapshots_by_volume.keys(store, qualified(space, volume.metadata.name)), *origin]


def _vm_facts(vm: VirtualMachine) -> object:
    status = vm.status
    return vm.deleting, vm.spec.power_state, status.state, status.host, jobs.running(status.job), status.guest, status.shard


def _volume_facts(volume: Volume) -> object:
    status = volume.status
    return volume.deleting, status.state, status.pool, status.volume_id, status.attached_to, jobs.running(status.job)


class SnapshotReconciler:
    """Makes each Snapshot true on the hypervisor of its VM, or in the pool of its Volume."""

    kind = Snapshot
    watches: Sequence[Watch] = (
        Watch(VirtualMachine, _of_vm, of=_vm_facts),
        Watch(Volume, _of_volume, of=_volume_facts),
        Watch(Snapshot, _siblings, of=lambda each: jobs.running(each.status.job)),
        Watch(SnapshotRestore, _of_restore, of=lambda each: jobs.running(each.status.job)),
    )

    def __init__(self, services: Services) -> None:
        self._calls = services.calls
        self._refusals = services.refusals
        self._vm = OfVM(services)
        self._volume = OfVolume(services)

    async def reconcile(self, ctx: Context[Snapshot]) -> Result:
        """Drive one Snapshot towards its spec until it is there, or something has to be waited for."""
        sort = self._vm if ctx.object.spec.virtual_machine else self._volume
        try:
            if ctx.deleting:
                return await delete(ctx, sort)
            return _failed_for_good(ctx) or await sort.drive(ctx)
        except NoRoom as error:
            return self._full(ctx, error)
        except DriverError as error:
            return self._refused(ctx, error)

    def forget(self, key: Key, uid: str) -> None:
        """A Snapshot is gone."""
        self._calls.forget(uid)
        self._refusals.forget(uid)
        self._volume.forget(uid)

    def _full(self, ctx: Context[Snapshot], error: NoRoom) -> Result:
        """A pool has no room for it now: nothing was taken, so neither VM nor volume is held until there is."""
        refusal = self._refusals.note(ctx.key, ctx.uid, pool_of(ctx), error)
        ctx.log.info("no room in a pool", pool=refusal.pool, error=refusal.said)
        operation.cancel(ctx, refusal.message)
        why = self._refusals.wait(refusal)
        if ctx.deleting:
            return waits(ctx, why)
        if ctx.object.status.created_at is not None:
            return as_it_was(ctx, why)
        ctx.object.status.state = SnapshotState.ALLOCATED
        return why

    def _refused(self, ctx: Context[Snapshot], error: DriverError) -> Result:
        """The hypervisor said no. A definite no, and the last of many, ends the job: the VM isn't held until the next attempt."""
        result, status = self._calls.patience.rest(ctx) or result_of(error), ctx.object.status
        ctx.log.info("hypervisor call failed", reason=error.reason, error=str(error))
        if status.created_at is not None and not ctx.deleting and operation.current(ctx) is None:
            return as_it_was(ctx, result)
        terminal = isinstance(error, GivenUp) or (isinstance(result, Failed) and result.terminal)
        text = str(error)
        if isinstance(error, GivenUp) and error.outcome_unknown and ctx.object.spec.quiesce:
            text += "; the guest may be frozen: restart its agent, or the VM"
        if terminal or isinstance(error, Conflict | NotFound):
            operation.fail(ctx, text)
            if not ctx.deleting:
                status.state = SnapshotState.ERROR if terminal else SnapshotState.ALLOCATED
        if ctx.deleting:
            return waits(ctx, result)
        if isinstance(error, GivenUp):
            return failed("SnapshotFailed", f"{text}; mend that, then make another Snapshot", terminal=True)
        return result


def _failed_for_good(ctx: Context[Snapshot]) -> Result | None:
    """One that could not be taken is not tried again: nobody expects it to be taken some other day."""
    status = ctx.object.status
    if status.state != SnapshotState.ERROR or status.created_at is not None:
        return None
    text = (status.job.result_text if status.job else None) or "could not be taken"
    return standing(ctx) or failed("SnapshotFailed", text[:1024], terminal=True)
