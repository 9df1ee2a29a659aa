"""What the Snapshot reconciler works with beside the object itself, and what its two sorts have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.inventory import HostLink
from controller.inventory.contents import ContentsReader
from controller.ipam import snapshot_id
from controller.placing.attachments import Attachments
from controller.placing.refusals import Refusals
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Done, Failed, Result, done, failed
from controller.shared import operation
from controller.shared.calls import Calls
from controller.shared.lookups import qualified, restores_by_snapshot, volumes_by_snapshot
from controller.shared.reach import Reach
from controller.shared.standing import standing
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.types import DesiredSnapshot, InstanceID, Owner

LOOKS = 600.0
"""Seconds between looks at whether a snapshot is still there."""


class Command(StrEnum):
    """CloudStack's names of the operations (its API reference, "Snapshot")."""

    CREATE_OF_VM = "CreateVMSnapshot"
    CREATE_OF_VOLUME = "CreateSnapshot"
    DELETE_OF_VM = "DeleteVMSnapshot"
    DELETE_OF_VOLUME = "DeleteSnapshot"


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all reconciles. `new_id` makes job ids, UUIDs."""

    reach: Reach
    contents: ContentsReader
    attachments: Attachments
    refusals: Refusals
    calls: Calls
    new_id: Callable[[], str]


def desired(snapshot: Snapshot, *, quiesce: bool = False) -> DesiredSnapshot:
    """What a driver is asked to take."""
    meta = snapshot.metadata
    owner = Owner(meta.uid, meta.namespace, meta.name)
    name = f"{meta.namespace}-{meta.name}"
    return DesiredSnapshot(snapshot_id(meta.uid), name, owner, memory=snapshot.spec.include_memory, quiesce=quiesce)


async def followed(ctx: Context[Snapshot], calls: Calls, link: HostLink, instance: InstanceID | None = None) -> Result | None:
    """Follow a call or a task; None if there is none, or it has ended. A task that failed is tried again, or it is an Error for
    good.
    """
    result = await operation.follow(ctx, calls, link, instance)
    if not isinstance(result, Failed):
        return result
    if ctx.deleting:
        return failed(result.reason, result.message, retry_after=operation.RETRY)
    ctx.object.status.state = SnapshotState.ERROR if result.terminal else SnapshotState.ALLOCATED
    return result


def readers(ctx: Context[Snapshot]) -> list[Key]:
    """Restores and new volumes that are reading from it now."""
    name = qualified(ctx.key.namespace, ctx.key.name)
    restores = [Key.of(each) for each in restores_by_snapshot.of(ctx.store, name) if jobs.running(each.status.job)]
    volumes = volumes_by_snapshot.of(ctx.store, name)
    return [*restores, *(Key.of(each) for each in volumes if each.status.volume_id is None and jobs.running(each.status.job))]


def pool_of(ctx: Context[Snapshot]) -> str:
    """The storage pool that it is, or is to be, in: of a VM the one of its root disk; "" if that is not known."""
    spec, space = ctx.object.spec, ctx.key.namespace
    if spec.virtual_machine is None:
        volume = ctx.store.get(Volume, spec.volume or "", space)
        return ctx.object.status.pool or (volume.status.pool if volume else None) or ""
    vm = ctx.store.get(VirtualMachine, spec.virtual_machine, space)
    return vm.status.disks[0].pool if vm and vm.status.disks else ""


def no_room(ctx: Context[Snapshot], refusals: Refusals) -> Result | None:
    """How it waits for a pool that had no room for it just now; None if it may be tried."""
    refusal = refusals.resting(ctx.uid, pool_of(ctx))
    return refusals.wait(refusal) if refusal else None


def as_it_was(ctx: Context[Snapshot], why: Result) -> Result:
    """A snapshot that was there stays so while nobody can be asked; else the reason why nobody can."""
    return done("Ready", recheck_after=LOOKS) if isinstance(standing(ctx), Done) else why


def lost(ctx: Context[Snapshot], reason: str, message: str) -> Result:
    """The content is gone, or was never had; that is for good."""
    operation.fail(ctx, message)
    ctx.object.status.state = SnapshotState.ERROR
    return failed(reason, message, terminal=True)
