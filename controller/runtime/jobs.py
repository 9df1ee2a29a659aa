"""The durable slot of an operation on `status.job`: what was asked, what the hypervisor calls it, how far it is, how it ended.

```
begin → save → driver call → started (nativeRef) → save → progressed … → succeeded | failed | cancelled
```

The intent is written before the driver is called, so that a crash between any two steps leaves a slot from which the next
process goes on: with a nativeRef it polls; without one it looks for the object by its identity, and adopts it or starts again.

`status.job` and the condition JobSucceeded mirror CloudStack's jobs (org.apache.cloudstack.jobs.JobInfo.Status, ApiErrorCode).
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from controller.runtime.conditions import Conditions

JOB_SUCCEEDED = "JobSucceeded"
IN_PROGRESS = "InProgress"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
CANCELLED = "Cancelled"

Time = TypeVar("Time")
Made = TypeVar("Made", covariant=True)


class Job(Protocol[Time]):
    """The job slot of a kind's status; `Time` is the model's own type of a point in time."""

    id: str
    command: str
    status: Any
    phase: str | None
    progress: int | None
    result_code: int | None
    result_text: str | None
    native_ref: str | None
    started_at: Time | None
    completed_at: Time | None


class JobFactory(Protocol[Made]):
    """Makes a slot of the model's own class."""

    def __call__(self, *, id: str, command: str, status: Any, started_at: Any) -> Made:
        """Return a new slot."""
        ...


def running(job: Job[Any] | None) -> bool:
    """Tell whether an operation is under way: then no other may begin."""
    return job is not None and job.status == IN_PROGRESS


def begin(make: JobFactory[Made], conditions: Conditions, *, id: str, command: str, at: object) -> Made:
    """Return the slot of an operation about to start; put it in the draft and save before calling the driver.

    `id` tags the hypervisor's task; `command` is CloudStack's name (`StopVirtualMachine`); `at` is the time now.
    """
    conditions.set(JOB_SUCCEEDED, "Unknown", IN_PROGRESS, command)
    return make(id=id, command=command, status=IN_PROGRESS, started_at=at)


def started(job: Job[Any], native_ref: str) -> None:
    """Note the hypervisor's own reference of the task, from which any process can go on polling."""
    job.native_ref = native_ref


def progressed(job: Job[Any], *, progress: int | None = None, phase: str | None = None) -> None:
    """Note how far the operation is; `progress` in percent, held to 0–100.  What isn't given stays."""
    if progress is not None:
        job.progress = max(0, min(100, progress))
    if phase is not None:
        job.phase = phase


def coarse(percent: int | None) -> int | None:
    """The progress to show: in whole tens, since each difference is a write to the API."""
    return None if percent is None else percent - percent % 10


def succeeded(job: Job[Time], conditions: Conditions, *, at: Time) -> None:
    """End the operation well."""
    _end(job, SUCCEEDED, at)
    conditions.set(JOB_SUCCEEDED, True, SUCCEEDED, job.command)


def failed(job: Job[Time], conditions: Conditions, *, at: Time, result_code: int, text: str) -> None:
    """End the operation with CloudStack's API code (530 internal, 533 capacity, 534 unavailable …) and a text for people."""
    _end(job, FAILED, at)
    job.result_code, job.result_text = result_code, text
    conditions.set(JOB_SUCCEEDED, False, FAILED, f"{job.command}: {text}")


def cancelled(job: Job[Time], conditions: Conditions, *, at: Time, text: str) -> None:
    """End an operation that is no longer wanted, as when its object is deleted meanwhile; `text` says why."""
    _end(job, CANCELLED, at)
    job.result_text = text
    conditions.set(JOB_SUCCEEDED, False, CANCELLED, f"{job.command}: {text}")


def _end(job: Job[Time], status: str, at: Time) -> None:
    job.status = status
    job.native_ref = None
    job.completed_at = at
    job.progress = 100 if status == SUCCEEDED else job.progress
