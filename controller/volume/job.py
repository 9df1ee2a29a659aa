"""The job slot of a Volume and the CloudStack commands that fill it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.shared import operation
from controller.shared.holds import on_volume
from controller.shared.operation import cancel as cancel
from controller.shared.operation import fail as fail
from controller.shared.operation import finish as finish
from controller.volume.services import Services
from crds.status import Job
from crds.v1alpha1.volume import Volume, VolumeState

_HELD_LOOKS = 1.0


class Command(StrEnum):
    """CloudStack's names of the operations on a volume (its API reference, "Volume")."""

    CREATE = "CreateVolume"
    RESIZE = "ResizeVolume"
    DELETE = "DeleteVolume"


async def ensure(ctx: Context[Volume], command: Command, new_id: Callable[[], str], state: VolumeState) -> Job:
    """Have a job of this command under way and written down, with the state to show, before the hypervisor is called.

    Raises ApiError: the caller must not go on.
    """
    return await operation.begin(ctx, command, state, new_id, under_way(command))


async def begin(ctx: Context[Volume], command: Command, services: Services, state: VolumeState) -> Job | Result:
    """The same as `ensure`, unless somebody began to work on the volume while that was written: then the job ends before it does
    anything, and the result says who. Whoever works on volumes looks for jobs after their own mark: one of the two sees the other.
    """
    before = ctx.object.status.state
    job = await ensure(ctx, command, services.new_id, state)
    hold = on_volume(ctx.store, ctx.object, services.attachments.users(ctx.object))
    if hold is None:
        return job
    jobs.cancelled(job, ctx.conditions, at=operation.now(ctx), text=str(hold))
    ctx.object.status.state = before
    return waiting("VolumeBusy", str(hold), retry_after=_HELD_LOOKS)


def under_way(command: str) -> str:
    """The reason to show while a job works."""
    return {Command.CREATE: "Creating", Command.RESIZE: "Resizing"}.get(Command(command), "Expunging")


def current(volume: Volume) -> Job | None:
    """The job under way, None if there is none."""
    return volume.status.job if jobs.running(volume.status.job) else None
