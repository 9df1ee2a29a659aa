"""The job slot: which command goes on in which job, and how one ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.runtime.conditions import Conditions
from controller.runtime.context import Context
from controller.vm import job
from controller.vm.job import Command
from crds.fields import Timestamp
from crds.status import Condition, Job
from crds.v1alpha1.virtualmachine import VirtualMachine
from tests.unit.runtime.virtual import EPOCH, SetClock

NOW = Timestamp.at(EPOCH)


class Draft:
    """A Context as far as jobs use it."""

    def __init__(self, running: Job | None = None) -> None:
        status = SimpleNamespace(job=running, state=None)
        self.object, self.clock, self.saved = SimpleNamespace(status=status), SetClock(), list[Any]()
        self.conditions = Conditions([], cast("Any", Condition), 1, EPOCH)

    async def save(self, reason: str, message: str) -> None:
        self.saved.append((reason, self.object.status.job.command))

    @property
    def ctx(self) -> Context[VirtualMachine]:
        return cast("Context[VirtualMachine]", self)


def running(command: str, status: str = "InProgress") -> Job:
    return Job(id="1", command=command, status=status, started_at=NOW)


CONTINUES = {
    (Command.DEPLOY, Command.START),
    (Command.REBOOT, Command.STOP),
    (Command.REBOOT, Command.START),
    (Command.REBOOT, Command.UPDATE),
    (Command.REBOOT, Command.SCALE),
    (Command.REBOOT, Command.ATTACH),
    (Command.REBOOT, Command.DETACH),
    *((command, command) for command in Command),
}


@pytest.mark.parametrize("wanted", list(Command))
@pytest.mark.parametrize("under_way", [*Command, "SomethingNewer"])
async def test_a_job_goes_on_through_its_parts_and_is_replaced_by_anything_else(under_way: str, wanted: Command) -> None:
    before = running(under_way)
    draft = Draft(before)
    after = await job.ensure(draft.ctx, wanted, lambda: "2")
    if (under_way, wanted) in CONTINUES:
        assert (after, draft.saved) == (before, [])
    else:
        assert (after.id, after.command, after.status) == ("2", wanted, "InProgress")
        assert (before.status, before.result_text) == ("Cancelled", f"replaced by {wanted}")
        assert draft.saved == [("Updating", wanted)], "the intent is written before anything is done"


@pytest.mark.parametrize("ended", ["Succeeded", "Failed", "Cancelled"])
async def test_a_job_that_ended_is_left_as_it_is(ended: str) -> None:
    before = running(Command.STOP, ended)
    draft = Draft(before)
    assert job.current(draft.ctx.object) is None
    job.finish(draft.ctx)
    job.fail(draft.ctx, "no")
    assert (before.status, list(draft.conditions)) == (ended, [])
    assert (await job.ensure(draft.ctx, Command.STOP, lambda: "2")).id == "2"
    assert before.status == ended


def test_ends() -> None:
    draft = Draft(running(Command.START))
    draft.clock.time = 5
    assert job.elapsed(draft.ctx, draft.object.status.job) == 5
    job.fail(draft.ctx, "host says no")
    found = draft.object.status.job
    assert (found.status, found.result_code, found.result_text) == ("Failed", 530, "host says no")
    condition = draft.conditions.get("JobSucceeded")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "Failed")
    draft = Draft(running(Command.START))
    job.finish(draft.ctx)
    assert (draft.object.status.job.status, draft.object.status.job.progress) == ("Succeeded", 100)
    assert draft.object.status.job.completed_at == NOW
    assert draft.conditions.is_true("JobSucceeded")
