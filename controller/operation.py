"""One operation on a hypervisor behind an object's job slot: written down, called, followed, ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue
from crds.fields import Timestamp
from crds.status import Job
from drivers.errors import NotFound
from drivers.types import Done, Failed, InstanceID, OpRef, Running, Started, Succeeded

ENDED = "Ended"
"""Phase of a job whose native task was seen to end well."""

_INTERNAL_ERROR = 530
_POLL = 1.0
_RETRY = 15.0


def current(ctx: Context[Any]) -> Job | None:
    """The job under way, None if there is none."""
    job: Job | None = ctx.object.status.job
    return job if jobs.running(job) else None


async def begin(ctx: Context[Any], command: str, state: str, new_id: Callable[[], str]) -> Job:
    """Have a job of this command under way and written down, with the state to show, before the hypervisor is called.

    Raises ApiError: the caller must not go on.
    """
    job = current(ctx)
    if job is None or job.command != command:
        if job is not None:
            jobs.cancelled(job, ctx.conditions, at=now(ctx), text=f"replaced by {command}")
        job = ctx.object.status.job = jobs.begin(Job, ctx.conditions, id=new_id(), command=command, at=now(ctx))
    ctx.object.status.state = state
    await ctx.save(state, f"{command} is under way")
    return job


async def follow(ctx: Context[Any], link: HostLink, instance: InstanceID | None = None) -> Result | None:
    """Poll the native task that an earlier reconcile, or an earlier process, started; None if there is none, or it has ended.

    A task that failed ends the job; one that the hypervisor has forgotten does not, the same call again finds out.
    """
    job = current(ctx)
    if job is None or job.native_ref is None:
        return None
    try:
        progress = await link.poll(OpRef(job.native_ref), instance)
    except NotFound:
        job.native_ref = None
        return None
    match progress:
        case Running(percent):
            jobs.progressed(job, progress=percent)
            return _under_way(ctx, job)
        case Failed(reason, retryable, code):
            text = f"{job.command}: {reason} ({code})" if code else f"{job.command}: {reason}"
            fail(ctx, text)
            return failed("TaskFailed", text, terminal=not retryable, retry_after=_RETRY if retryable else None)
        case Succeeded():
            job.native_ref = None
            jobs.progressed(job, phase=ENDED)
    return None


async def called(ctx: Context[Any], job: Job, outcome: Done | Started) -> Result | None:
    """Note what a call has led to; None if it has taken effect."""
    if isinstance(outcome, Done):
        return None
    jobs.started(job, outcome.op)
    going_on = _under_way(ctx, job)
    await ctx.save(going_on.reason, going_on.message)
    return going_on


def finish(ctx: Context[Any]) -> None:
    """End the job under way well."""
    if (job := current(ctx)) is not None:
        jobs.succeeded(job, ctx.conditions, at=now(ctx))


def fail(ctx: Context[Any], text: str) -> None:
    """End the job under way badly."""
    if (job := current(ctx)) is not None:
        jobs.failed(job, ctx.conditions, at=now(ctx), result_code=_INTERNAL_ERROR, text=text)


def now(ctx: Context[Any]) -> Timestamp:
    """The time of day, as statuses have it."""
    return Timestamp.at(ctx.clock.now())


def _under_way(ctx: Context[Any], job: Job) -> Result:
    text = f"{job.command} is under way"
    return requeue(_POLL, str(ctx.object.status.state), text if job.progress is None else f"{text}: {job.progress} %")
