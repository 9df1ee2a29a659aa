"""Who works on a VM or a Volume as a whole: a snapshot that is being taken or removed, a restore. Nobody else touches it then.

A hold begins with the job that is written into the status of the Snapshot or SnapshotRestore before the hypervisor is called,
and ends with that job; so it outlives the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store
from controller.shared.deletion import forced
from controller.shared.lookups import qualified, restores_by_snapshot, snapshots_by_vm, snapshots_by_volume, vms_by_volume
from controller.shared.standing import standing
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.snapshotrestore import SnapshotRestore
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from crds.v1alpha1.volume import Volume, VolumeState


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody's work."""

    by: Key
    command: str
    age: tuple[str, str] = ("", "")
    """When it began, and the uid of who does it: of two, the lesser is the elder."""

    @property
    def restoring(self) -> bool:
        """Whether it changes the content."""
        return self.by.kind == SnapshotRestore.KIND

    def __str__(self) -> str:
        return f"{self.by.kind} {self.by.name} works on it: {self.command}"


def on_vm(store: Store, vm: VirtualMachine, besides: Key | None = None) -> Hold | None:
    """Who works on a VM, or on a volume that it has or names; `besides` does not count."""
    space = vm.metadata.namespace
    snapshots = [*snapshots_by_vm.of(store, qualified(space, vm.metadata.name))]
    named = [*(each.volume for each in vm.spec.volumes), *(each.volume for each in vm.status.volumes)]
    for name in {name for name in named if name}:
        snapshots += snapshots_by_volume.of(store, qualified(space, name))
    return _first(store, snapshots, besides)


def on_volume(store: Store, volume: Volume, users: Iterable[Key], besides: Key | None = None) -> Hold | None:
    """Who works on a volume, or on all of a VM that has it; `besides` does not count.

    `users` are the VMs that have it (`Attachments.users`): the status of the volume learns of them late.
    """
    snapshots = [*snapshots_by_volume.of(store, qualified(volume.metadata.namespace, volume.metadata.name))]
    for vm in users:
        snapshots += snapshots_by_vm.of(store, qualified(vm.namespace, vm.name))
    return _first(store, snapshots, besides)


def keep_vm(ctx: Context[VirtualMachine]) -> Result | None:
    """How a VM is left alone while somebody works on it; None if nobody does, or what is left of it was given up."""
    return _keep(ctx, on_vm(ctx.store, ctx.object), VirtualMachineState.RESTORING)


def keep_volume(ctx: Context[Volume], users: Iterable[Key]) -> Result | None:
    """How a Volume is left alone while somebody works on it; None if nobody does, or what is left of it was given up."""
    return _keep(ctx, on_volume(ctx.store, ctx.object, users), VolumeState.REVERTING)


def _keep(ctx: Context[Any], hold: Hold | None, restoring: VirtualMachineState | VolumeState) -> Result | None:
    """`restoring` is the state to show, and the reason, while it is being restored."""
    if hold is None or (ctx.deleting and forced(ctx)):
        return None
    if hold.restoring:
        ctx.object.status.state = restoring
        return waiting(restoring.value, str(hold))
    return standing(ctx) or waiting("SnapshotUnderWay", str(hold))


def _first(store: Store, snapshots: Iterable[Snapshot], besides: Key | None) -> Hold | None:
    found = (hold for snapshot in snapshots for hold in _holds(store, snapshot) if hold.by != besides)
    return min(found, key=lambda hold: hold.age, default=None)


def _holds(store: Store, snapshot: Snapshot) -> Iterator[Hold]:
    """The work on a snapshot itself, and the restores from it."""
    name = qualified(snapshot.metadata.namespace, snapshot.metadata.name)
    workers: list[Snapshot | SnapshotRestore] = [snapshot, *restores_by_snapshot.of(store, name)]
    for each in workers:
        job = each.status.job
        if job is not None and jobs.running(job):
            yield Hold(Key.of(each), job.command, (str(job.started_at or ""), each.metadata.uid))


def _working(each: Snapshot | SnapshotRestore) -> object:
    return jobs.running(each.status.job)


def _snapshot_of(restore: SnapshotRestore, store: Store) -> Snapshot | None:
    return store.get(Snapshot, restore.spec.snapshot, restore.metadata.namespace)


def _vms(snapshot: Snapshot | None, store: Store) -> Iterable[Key]:
    if snapshot is None:
        return ()
    space, spec = snapshot.metadata.namespace, snapshot.spec
    if spec.virtual_machine:
        return [Key(VirtualMachine.KIND, space, spec.virtual_machine)]
    return vms_by_volume.keys(store, qualified(space, spec.volume or ""))


def _volumes(snapshot: Snapshot | None, store: Store) -> Iterable[Key]:
    if snapshot is None:
        return ()
    space, spec = snapshot.metadata.namespace, snapshot.spec
    if spec.volume:
        return [Key(Volume.KIND, space, spec.volume)]
    vm = store.get(VirtualMachine, spec.virtual_machine or "", space)
    names = {each.volume for each in vm.status.volumes if each.volume} if vm else set()
    return [Key(Volume.KIND, space, name) for name in names]


VM_WATCHES: Sequence[Watch] = (
    Watch(Snapshot, _vms, of=_working),
    Watch(SnapshotRestore, lambda each, store: _vms(_snapshot_of(each, store), store), of=_working),
)
"""What wakes a VM when somebody's work on it ends."""

VOLUME_WATCHES: Sequence[Watch] = (
    Watch(Snapshot, _volumes, of=_working),
    Watch(SnapshotRestore, lambda each, store: _volumes(_snapshot_of(each, store), store), of=_working),
)
"""What wakes a Volume when somebody's work on it ends."""
