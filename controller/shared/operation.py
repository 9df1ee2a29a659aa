"""One operation on a hypervisor behind an object's job slot: written down, called, followed, ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared.holds import Hold
from crds.fields import Timestamp
from crds.status import Job
from drivers.errors import NotFound
from drivers.types import Done, Failed, InstanceID, OpRef, Running, Started, Succeeded

ENDED = "Ended"
"""Phase of a job whose native task was seen to end well."""

INTERNAL_ERROR = 530
"""CloudStack's API code of a job that the hypervisor failed."""

_POLL = 1.0
_RETRY = 15.0
_HELD = 2.0
_STEP = 10
"""Percent of progress that are worth a write."""


def current(ctx: Context[Any]) -> Job | None:
    """The job under way, None if there is none."""
    job: Job | None = ctx.object.status.job
    return job if jobs.running(job) else None


async def begin(ctx: Context[Any], command: str, state: str, new_id: Callable[[], str], reason: str | None = None) -> Job:
    """Have a job of this command under way and written down, with the state to show, before the hypervisor is called.

    `reason` is that of the conditions; default: the state.

    Raises ApiError: the caller must not go on.
    """
    job = current(ctx)
    if job is None or job.command != command:
        if job is not None:
            jobs.cancelled(job, ctx.conditions, at=now(ctx), text=f"replaced by {command}")
        job = ctx.object.status.job = jobs.begin(Job, ctx.conditions, id=new_id(), command=command, at=now(ctx))
    ctx.object.status.state = state
    await ctx.save(reason or state, f"{command} is under way")
    return job


def contended(ctx: Context[Any], job: Job, *, first: bool, theirs: Iterable[Job | None], hold: Hold | None) -> Result | None:
    """What else works on the same thing, looked at directly before a call, when our job is written; None if nothing does.

    Each looks before it writes, so two may have seen nothing; but each also looks after it has written, so at least one of the two
    sees the other. `theirs` are the jobs of the VM and Volume themselves, which we let pass: always if ours has just begun
    (`first`), else if theirs is older. Of two holds the younger is cancelled; the elder waits, for the other may have been called.
    """
    mine = _age(job), ctx.uid
    for other in theirs:
        if other is not None and jobs.running(other) and (first or _age(other) < mine[0]):
            return let_pass(ctx, job, f"it is being worked on: {other.command}")
    if hold is None:
        return None
    if hold.age < mine:
        return let_pass(ctx, job, str(hold))
    return requeue(_HELD, str(ctx.object.status.state), f"{job.command} is under way")


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
            if percent is not None:
                jobs.progressed(job, progress=percent - percent % _STEP)
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


def cancel(ctx: Context[Any], text: str) -> None:
    """End the job under way, which is not wanted any more."""
    if (job := current(ctx)) is not None:
        jobs.cancelled(job, ctx.conditions, at=now(ctx), text=text)


def fail(ctx: Context[Any], text: str, code: int = INTERNAL_ERROR) -> None:
    """End the job under way badly."""
    if (job := current(ctx)) is not None:
        jobs.failed(job, ctx.conditions, at=now(ctx), result_code=code, text=text)


def now(ctx: Context[Any]) -> Timestamp:
    """The time of day, as statuses have it."""
    return Timestamp.at(ctx.clock.now())


def _age(job: Job) -> str:
    return str(job.started_at or "")


def let_pass(ctx: Context[Any], job: Job, why: str) -> Result:
    """End our job before it does anything, and come back when others are through."""
    jobs.cancelled(job, ctx.conditions, at=now(ctx), text=why)
    return waiting("Busy", why, retry_after=_HELD)


def _under_way(ctx: Context[Any], job: Job) -> Result:
    return requeue(_POLL, str(ctx.object.status.state), f"{job.command} is under way")
