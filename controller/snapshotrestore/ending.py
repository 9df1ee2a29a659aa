"""How a restore ends: once, for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.inventory import HostLink
from controller.placing.attachments import Attachments
from controller.placing.refusals import Refusals
from controller.runtime.context import Context
from controller.runtime.results import Failed, Result, done, failed
from controller.shared import operation
from controller.shared.calls import Calls
from controller.shared.reach import Reach
from crds.v1alpha1.snapshotrestore import RestoreState, SnapshotRestore
from drivers.types import InstanceID


class Command(StrEnum):
    """CloudStack's names of the operations (its API reference, "Snapshot")."""

    VM = "RevertToVMSnapshot"
    VOLUME = "RevertSnapshot"


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all reconciles. `new_id` makes job ids, UUIDs."""

    reach: Reach
    attachments: Attachments
    refusals: Refusals
    calls: Calls
    new_id: Callable[[], str]


def completed(ctx: Context[SnapshotRestore]) -> Result:
    """The content is back."""
    status = ctx.object.status
    operation.finish(ctx)
    if status.state != RestoreState.COMPLETED:
        status.state, status.completed_at = RestoreState.COMPLETED, operation.now(ctx)
        ctx.event("Normal", "Restored", f"from snapshot {ctx.object.spec.snapshot}")
    return done("Completed")


def given_up(ctx: Context[SnapshotRestore], reason: str, message: str) -> Result:
    """It was refused while nothing had been changed, or can never be done: another attempt is another object."""
    status = ctx.object.status
    operation.fail(ctx, message)
    status.state, status.completed_at = RestoreState.FAILED, operation.now(ctx)
    ctx.event("Warning", reason, message)
    return failed(reason, message, terminal=True)


async def followed(
    ctx: Context[SnapshotRestore], calls: Calls, link: HostLink, instance: InstanceID | None = None
) -> Result | None:
    """Follow a call or a task; None if there is none, or it has ended. A task that failed is tried again, or that is the end."""
    result = await operation.follow(ctx, calls, link, instance)
    if isinstance(result, Failed) and result.terminal:
        return given_up(ctx, result.reason, result.message)
    return result and pending(ctx, result)


def pending(ctx: Context[SnapshotRestore], why: Result) -> Result:
    """It has not begun, and nothing is held; what has ended stays so."""
    if operation.current(ctx) is None and ctx.object.status.completed_at is None:
        ctx.object.status.state = RestoreState.PENDING
    return why
