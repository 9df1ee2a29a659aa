"""The job slot: from intent to end, and what the condition says."""

from __future__ import annotations

from typing import Any

import pytest

from controller.runtime import jobs
from controller.runtime.conditions import Conditions

from .models import Condition, Job
from .virtual import EPOCH

START, END = "2026-11-20T10:00:00Z", "2026-11-20T10:05:00Z"


def begun() -> tuple[Job, Conditions, list[Any]]:
    items: list[Any] = []
    conditions = Conditions(items, Condition, 1, EPOCH)
    job = jobs.begin(Job, conditions, id="j1", command="StopVirtualMachine", at=START)
    return job, conditions, items


def test_begin() -> None:
    job, _, items = begun()
    assert job.to_json() == {"id": "j1", "command": "StopVirtualMachine", "status": "InProgress", "startedAt": START}
    assert [(item.type, item.status, item.reason) for item in items] == [("JobSucceeded", "Unknown", "InProgress")]
    assert jobs.running(job)


def test_no_job_is_not_running() -> None:
    assert not jobs.running(None)


def test_progress() -> None:
    job, _, _ = begun()
    jobs.started(job, "task-7")
    jobs.progressed(job, progress=40, phase="Copying")
    jobs.progressed(job, progress=60)
    assert (job.native_ref, job.progress, job.phase) == ("task-7", 60, "Copying")


@pytest.mark.parametrize(("told", "shown"), [(-5, 0), (0, 0), (100, 100), (117, 100)])
def test_progress_is_a_percentage_whatever_a_hypervisor_says(told: int, shown: int) -> None:
    job, _, _ = begun()
    jobs.progressed(job, progress=told)
    assert job.progress == shown


def test_success() -> None:
    job, conditions, items = begun()
    jobs.started(job, "task-7")
    jobs.succeeded(job, conditions, at=END)
    assert (job.status, job.progress, job.native_ref, job.completed_at) == ("Succeeded", 100, None, END)
    assert [(item.status, item.reason) for item in items] == [("True", "Succeeded")]
    assert not jobs.running(job)


def test_failure() -> None:
    job, conditions, items = begun()
    jobs.progressed(job, progress=30)
    jobs.failed(job, conditions, at=END, result_code=533, text="no host fits")
    assert (job.status, job.result_code, job.result_text, job.progress) == ("Failed", 533, "no host fits", 30)
    assert [(item.status, item.reason, item.message) for item in items] == [("False", "Failed", "StopVirtualMachine: no host fits")]


def test_cancellation() -> None:
    job, conditions, items = begun()
    jobs.cancelled(job, conditions, at=END, text="deleted meanwhile")
    assert (job.status, job.result_text, job.completed_at) == ("Cancelled", "deleted meanwhile", END)
    assert [(item.status, item.reason) for item in items] == [("False", "Cancelled")]
    assert not jobs.running(job)


def test_a_new_job_takes_the_place_of_the_last() -> None:
    _, conditions, items = begun()
    jobs.failed(begun()[0], conditions, at=END, result_code=530, text="x")
    again = jobs.begin(Job, conditions, id="j2", command="StartVirtualMachine", at=END)
    assert [(item.status, item.reason) for item in items] == [("Unknown", "InProgress")]
    assert again.result_code is None
