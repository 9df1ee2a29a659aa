"""Failures on the way to a hypervisor: from lanes to driver errors, from driver errors to the result of a reconcile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from controller.runtime.lanes import CallTimeout, Lane, LaneBusy, LaneOpen
from controller.runtime.results import Result, failed, requeue, waiting
from drivers.errors import AuthFailed, Busy, DriverError, InvalidSpec, NoRoom, Unanswered, Unsupported

R = TypeVar("R")

REFUSED_LOGIN = 30.0
"""Seconds until a call is made again that met a login that is refused; until then the session has noticed, and makes none."""

NO_ROOM = 30.0
"""Seconds until a call is made again that met a full pool, where nobody says otherwise."""


async def translated(lane: Lane, call: Callable[..., R], *args: Any, timeout: float, mutating: bool) -> R:
    """Make a driver call in its lane, with the lane's own refusals told as driver errors."""
    try:
        return await lane.call(call, *args, timeout=timeout)
    except LaneBusy as error:
        raise Busy(str(error)) from error
    except LaneOpen as error:
        raise Busy(str(error), retry_after=error.retry_after) from error
    except CallTimeout as error:
        raise Unanswered(str(error), outcome_unknown=mutating) from error


def is_refusal(error: DriverError) -> bool:
    """Whether the same attempt will be refused again until somebody changes something."""
    return isinstance(error, InvalidSpec | AuthFailed | Unsupported)


def result_of(error: DriverError) -> Result:
    """What a reconcile that met this error should answer.

    Busy comes back after the hypervisor's delay, what will be refused again waits for a change, all else is retried with backoff.
    A login that is refused says nothing about what was asked for: its Host is Stalled until it has other credentials, and what was
    begun goes on then. A pool without room is waited for.
    """
    if isinstance(error, Busy):
        return requeue(error.retry_after, error.reason, str(error))
    if isinstance(error, NoRoom):
        return waiting(error.reason, str(error), retry_after=NO_ROOM)
    if isinstance(error, AuthFailed):
        return waiting(error.reason, str(error), retry_after=REFUSED_LOGIN)
    return failed(error.reason, str(error), terminal=is_refusal(error))
