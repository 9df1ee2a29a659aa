"""One operation on a hypervisor behind an object's job slot: written down, called, followed, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared.calls import Calls
from controller.shared.holds import Hold
from controller.shared.patience import is_known
from crds.fields import Timestamp
from crds.status import Job
from drivers.errors import DriverError, NoRoom, NotFound, Transient
from drivers.types import Done, Failed, InstanceID, OpRef, Running, Started, Succeeded

ENDED = "Ended"
"""Phase of a job whose call, or native task, was seen to end well."""

INTERNAL_ERROR = 530
"""CloudStack's API code of a job that the hypervisor failed."""

RETRY = 15.0
"""Seconds after which is looked again where nothing tells when it is time."""

_POLL = 1.0
_LOOKS = 30.0
_HELD = 2.0
_STEP = 10
"""Percent of progress that are worth a write."""


class TaskFailed(Transient):
    """A native task failed for a reason that may pass."""

    reason = "TaskFailed"


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


async def follow(
    ctx: Context[Any], calls: Calls, link: HostLink, instance: InstanceID | None = None, *, reason: str | None = None
) -> Result | None:
    """Ask how the call that an earlier reconcile made stands, and the native task that it, or an earlier process, started.

    None if there is none, or it has ended. A task that failed ends the job; one that the hypervisor has forgotten does not, the
    same call again finds out. After a failure the answer is to wait, until it is time for another try. `reason` as in `call`.

    Raises DriverError: what the call raised, NoRoom also where a task said so; GivenUp in place of the last one of a row, and
    after a row of tasks that failed.
    """
    job = current(ctx)
    if going_on := await _in_background(ctx, calls, link, job, reason):
        return going_on
    if job is None or job.native_ref is None:
        return calls.patience.rest(ctx)
    try:
        progress = await link.poll(OpRef(job.native_ref), instance)
    except NotFound:
        job.native_ref = None
        return None
    match progress:
        case Running(percent):
            if percent is not None:
                jobs.progressed(job, progress=percent - percent % _STEP)
            return _under_way(ctx, job, reason)
        case Failed(why, no_room=True, native_code=code):
            job.native_ref = None
            raise NoRoom(why, native_code=code)
        case Failed(why, retryable, code):
            text = f"{job.command}: {why} ({code})" if code else f"{job.command}: {why}"
            if retryable and (given_up := calls.patience.failed(ctx, TaskFailed(text), known=True)):
                raise given_up
            fail(ctx, text)
            return failed("TaskFailed", text, terminal=not retryable, retry_after=RETRY if retryable else None)
        case Succeeded():
            job.native_ref = None
            _ended(ctx, calls, job)
    return None


async def call(
    ctx: Context[Any],
    calls: Calls,
    link: HostLink,
    job: Job,
    make: Callable[[], Awaitable[Done | Started]],
    *,
    reason: str | None = None,
    certain: bool = False,
) -> Result | None:
    """Call the hypervisor through `link`, and note what that has led to; None if it has taken effect.

    A call that takes longer than a moment goes on in the background: `follow` tells of it. `certain`: what the call is about was
    observed, so nothing of its outcome is unknown even if it says so. `reason` is that of the conditions; default: the state.

    Raises DriverError; GivenUp in place of the last one of a row.
    """
    with _patient(ctx, calls, certain=certain):
        outcome = await calls.make(ctx.key, ctx.uid, link, make, certain=certain)
    return _under_way(ctx, job, reason) if outcome is None else await _noted(ctx, calls, job, outcome, reason)


def finish(ctx: Context[Any]) -> None:
    """End the job under way well."""
    if (job := current(ctx)) is not None:
        jobs.succeeded(job, ctx.conditions, at=now(ctx))


def cancel(ctx: Context[Any], text: str) -> None:
    """End the job under way, which is not wanted any more."""
    if (job := current(ctx)) is not None:
        jobs.cancelled(job, ctx.conditions, at=now(ctx), text=text)


def fail(ctx: Context[Any], text: str) -> None:
    """End the job under way badly."""
    if (job := current(ctx)) is not None:
        jobs.failed(job, ctx.conditions, at=now(ctx), result_code=INTERNAL_ERROR, text=text)


def now(ctx: Context[Any]) -> Timestamp:
    """The time of day, as statuses have it."""
    return Timestamp.at(ctx.clock.now())


async def _in_background(ctx: Context[Any], calls: Calls, link: HostLink, job: Job | None, reason: str | None) -> Result | None:
    """How to wait for a call that goes on without a reconcile; None if there is none, or it has taken effect."""
    if calls.leave(ctx.uid, link):
        calls.patience.doubt(ctx)
    if calls.under_way(ctx.uid):
        return _under_way(ctx, job, reason, _LOOKS)
    with _patient(ctx, calls, certain=calls.certain(ctx.uid)):
        outcome = calls.take(ctx.uid)
    return await _noted(ctx, calls, job, outcome, reason) if job is not None and outcome is not None else None


@contextmanager
def _patient(ctx: Context[Any], calls: Calls, *, certain: bool = False) -> Iterator[None]:
    """Count what fails in the block."""
    try:
        yield
    except DriverError as error:
        if given_up := calls.patience.failed(ctx, error, known=certain or is_known(error)):
            raise given_up from error
        raise


async def _noted(ctx: Context[Any], calls: Calls, job: Job, outcome: Done | Started, reason: str | None) -> Result | None:
    if isinstance(outcome, Done):
        _ended(ctx, calls, job)
        return None
    jobs.started(job, outcome.op)
    going_on = _under_way(ctx, job, reason)
    await ctx.save(going_on.reason, going_on.message)
    return going_on


def _ended(ctx: Context[Any], calls: Calls, job: Job) -> None:
    calls.patience.forget(ctx.uid)
    jobs.progressed(job, phase=ENDED)


def _age(job: Job) -> str:
    return str(job.started_at or "")


def let_pass(ctx: Context[Any], job: Job, why: str) -> Result:
    """End our job before it does anything, and come back when others are through."""
    jobs.cancelled(job, ctx.conditions, at=now(ctx), text=why)
    return waiting("Busy", why, retry_after=_HELD)


def _under_way(ctx: Context[Any], job: Job | None, reason: str | None = None, after: float = _POLL) -> Result:
    return requeue(after, reason or str(ctx.object.status.state), f"{job.command if job else 'a call'} is under way")
