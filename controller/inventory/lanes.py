"""The lanes of one endpoint: which call goes where, and how long it may take."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from controller.inventory.outcomes import translated
from controller.runtime.breaker import BreakerOptions
from controller.runtime.lanes import Lane, LaneMetrics, LaneOptions
from controller.runtime.threads import Threads
from drivers.errors import Unanswered

P = ParamSpec("P")
R = TypeVar("R")

CONTROL_TIMEOUT = 30.0
CLOSE_TIMEOUT = 5.0
READ_TIMEOUT = 15.0
EVENTS_TIMEOUT = 30.0
SURVEY_TIMEOUT = 60.0
WORK_TIMEOUT = 60.0
MOUNT_TIMEOUT = 480.0
"""libvirt tries for minutes to let go of a mount whose server is away: that is no host that does not answer."""

TRANSFER_TIMEOUT = 3600.0

_PACED = BreakerOptions(failures=sys.maxsize)  # the session itself goes slow on an endpoint that does not answer

_CONTROL = LaneOptions("control", 4, 8, _PACED)
_STATE = LaneOptions("state", 4, 256)
_WORK = LaneOptions("work", 8, 256)
_TRANSFER = LaneOptions("transfer", 2, 64)
_EVENTS = LaneOptions("events", 1, 1, _PACED)


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of one endpoint: a hanging call holds one place in one of them and nothing else.

    `control` connects, lists hosts and disconnects; `state` reads VMs and tasks; `work` changes things; `transfer` moves much data;
    `events` fetches what happened. Every method here raises what the call raises, Busy if it was not made, and Unanswered if it
    took too long.
    """

    control: Lane
    state: Lane
    work: Lane
    transfer: Lane
    events: Lane

    async def connect(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Connect, or list hosts."""
        return await translated(self.control, call, *args, timeout=CONTROL_TIMEOUT, mutating=False)

    async def disconnect(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Disconnect: not worth a long wait."""
        return await translated(self.control, call, *args, timeout=CLOSE_TIMEOUT, mutating=False)

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a short reading call."""
        return await translated(self.state, call, *args, timeout=READ_TIMEOUT, mutating=False)

    async def survey(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Read everything that the endpoint has."""
        return await translated(self.state, call, *args, timeout=SURVEY_TIMEOUT, mutating=False)

    async def change(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a changing call."""
        return await translated(self.work, call, *args, timeout=WORK_TIMEOUT, mutating=True)

    async def mount(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a changing call for which the host may have to wait for another server."""
        return await translated(self.work, call, *args, timeout=MOUNT_TIMEOUT, mutating=True)

    async def copy(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call that moves much data."""
        return await translated(self.transfer, call, *args, timeout=TRANSFER_TIMEOUT, mutating=True)

    async def listen(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Subscribe to native events, or fetch those that came."""
        return await translated(self.events, call, *args, timeout=EVENTS_TIMEOUT, mutating=False)

    def close(self) -> None:
        """Take no more calls; threads that hang are left to end with the process."""
        for lane in (self.control, self.state, self.work, self.transfer, self.events):
            lane.close()


def endpoint_lanes(
    name: str,
    guard: Callable[[], None],
    clock: Callable[[], float],
    metrics: LaneMetrics,
    threads: Threads,
) -> Lanes:
    """Make the lanes of the endpoint `name`; `guard` runs before every call that changes something and may refuse it by raising."""

    def lane(options: LaneOptions, may: Callable[[], None] = _always) -> Lane:
        full = f"{name} {options.purpose}"
        return Lane(full, options, unanswered=_unanswered, guard=may, clock=clock, metrics=metrics, threads=threads)

    return Lanes(lane(_CONTROL), lane(_STATE), lane(_WORK, guard), lane(_TRANSFER, guard), lane(_EVENTS))


def _unanswered(error: Exception) -> bool:
    return isinstance(error, Unanswered)


def _always() -> None:
    """Reading is allowed to everyone."""
