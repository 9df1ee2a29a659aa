"""Leaving a status as it stands while nothing is known that could change it."""

from __future__ import annotations

from typing import Any

from controller.runtime.conditions import READY, STALLED
from controller.runtime.context import Context
from controller.runtime.results import Result, done, failed, waiting

LOOKS = 5.0
"""Seconds after which one that was being worked on is looked at again: nothing tells it that hosts answer now."""


def standing(ctx: Context[Any]) -> Result | None:
    """The result that repeats what the status says of this generation; None if it says nothing.

    After a restart of the controller the hypervisors have not been asked yet. To write that, and the former state again a moment
    later, would cost two writes for each object.
    """
    ready = ctx.conditions.get(READY)
    if ready is None or ctx.object.status.observed_generation != ctx.object.metadata.generation:
        return None
    if ready.status == "True":
        return done(ready.reason, ready.message)
    if ctx.conditions.is_true(STALLED):
        return failed(ready.reason, ready.message, terminal=True)
    return waiting(ready.reason, ready.message, retry_after=LOOKS)
