"""The job slot of a Volume and the CloudStack commands that fill it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from controller.runtime import jobs
from controller.runtime.context import Context
from crds.fields import Timestamp
from crds.status import Job
from crds.v1alpha1.volume import Volume, VolumeState

_INTERNAL_ERROR = 530


class Command(StrEnum):
    """CloudStack's names of the operations on a volume (its API reference, "Volume")."""

    CREATE = "CreateVolume"
    RESIZE = "ResizeVolume"
    DELETE = "DeleteVolume"


async def ensure(ctx: Context[Volume], command: Command, new_id: Callable[[], str], state: VolumeState) -> Job:
    """Have a job of this command under way and written down, with the state to show, before the hypervisor is called.

    Raises ApiError: the caller must not go on.
    """
    job = current(ctx.object)
    if job is None or job.command != command:
        if job is not None:
            jobs.cancelled(job, ctx.conditions, at=_now(ctx), text=f"replaced by {command}")
        job = ctx.object.status.job = jobs.begin(Job, ctx.conditions, id=new_id(), command=command, at=_now(ctx))
    ctx.object.status.state = state
    await ctx.save(under_way(command), f"{command} is under way")
    return job


def under_way(command: str) -> str:
    """The reason to show while a job works."""
    return {Command.CREATE: "Creating", Command.RESIZE: "Resizing"}.get(Command(command), "Expunging")


def current(volume: Volume) -> Job | None:
    """The job under way, None if there is none."""
    return volume.status.job if jobs.running(volume.status.job) else None


def finish(ctx: Context[Volume]) -> None:
    """End the job under way well."""
    job = current(ctx.object)
    if job is not None:
        jobs.succeeded(job, ctx.conditions, at=_now(ctx))


def fail(ctx: Context[Volume], text: str) -> None:
    """End the job under way badly."""
    job = current(ctx.object)
    if job is not None:
        jobs.failed(job, ctx.conditions, at=_now(ctx), result_code=_INTERNAL_ERROR, text=text)


def cancel(ctx: Context[Volume], text: str) -> None:
    """End the job under way, of which the hypervisor does nothing: it begins anew when it is possible."""
    job = current(ctx.object)
    if job is not None:
        jobs.cancelled(job, ctx.conditions, at=_now(ctx), text=text)


def _now(ctx: Context[Volume]) -> Timestamp:
    return Timestamp.at(ctx.clock.now())
