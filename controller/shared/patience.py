"""How often work that fails is tried again: later and later, and not for ever, since others wait for what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.runtime.backoff import Backoff
from controller.runtime.context import Context
from controller.runtime.results import Result, requeue, waiting
from drivers.errors import Busy, DriverError, Transient

TRIES = 8
FIRST_DELAY = 2.0
PAUSE = 300.0
"""Seconds without a try after the last one."""
_BACKOFF = Backoff(FIRST_DELAY, PAUSE)
LONGEST_BUSY = 3600.0
"""Seconds for which a hypervisor may say that it is at work on the same thing: as long as a copy may take."""


class GivenUp(DriverError):
    """The same call failed too often; what it holds can be let go. `outcome_unknown`: the last one did not say what it has done."""

    def __init__(self, error: DriverError, tries: int) -> None:
        super().__init__(f"{error.message}; given up after {tries} tries", native_code=error.native_code)
        self.reason = error.reason
        self.outcome_unknown = not is_known(error)


@dataclass(slots=True)
class _Row:
    """Failures one after another of the same wish: another generation or a deletion is another one."""

    wish: tuple[int, bool]
    since: float
    failures: int = 0
    counted: int = 0
    until: float = 0.0
    reason: str = ""
    message: str = ""
    busy: bool = False
    doubt: float = 0.0
    """Until when a call of unknown outcome may be at work: what it works on is not let go before."""


class Patience:
    """Failures by the uid of the object that was worked on. Nothing of it is durable: another process begins to count anew."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def rest(self, ctx: Context[Any]) -> Result | None:
        """How a reconcile ends that comes before it is time for another try, whatever woke it; None if it is time."""
        row = self._row(ctx)
        left = row.until - ctx.clock.monotonic() if row else 0.0
        if row is None or left <= 0:
            return None
        if row.busy:
            return requeue(left, row.reason, row.message)
        return waiting(row.reason, row.message, retry_after=left)

    def failed(self, ctx: Context[Any], error: DriverError, *, known: bool) -> GivenUp | None:
        """Take note of a call that failed for a reason that may pass; what to raise if it was the last one.

        `known`: it is certain that the call had no effect, or what the effect was. Others may be at work for as long as a copy
        may take, whatever later calls are told; so none is the last one meanwhile.
        """
        if not isinstance(error, Transient | Busy):
            return None
        row, now = self._opened(ctx), ctx.clock.monotonic()
        row.failures += 1
        row.counted += known and isinstance(error, Transient)
        row.busy, row.reason, row.message = isinstance(error, Busy), error.reason, str(error)
        delay = error.retry_after if isinstance(error, Busy) else _BACKOFF.delay(row.failures - 1)
        row.until = now + delay
        if not known:
            row.doubt = now + LONGEST_BUSY
        if now < row.doubt or (row.counted < TRIES and now - row.since < LONGEST_BUSY):
            return None
        given_up = GivenUp(error, row.failures)
        self._rows[ctx.uid] = _Row(row.wish, now, until=now + PAUSE, reason=error.reason, message=str(given_up))
        return given_up

    def doubt(self, ctx: Context[Any]) -> None:
        """Nobody will hear how a call ended."""
        self._opened(ctx).doubt = ctx.clock.monotonic() + LONGEST_BUSY

    def doubtful(self, ctx: Context[Any]) -> bool:
        """Whether a call of unknown outcome may still be at work for the object."""
        row = self._rows.get(ctx.uid)
        return row is not None and row.doubt > ctx.clock.monotonic()

    def forget(self, uid: str) -> None:
        """A call succeeded, or the object is gone."""
        self._rows.pop(uid, None)

    def _opened(self, ctx: Context[Any]) -> _Row:
        """The row of this wish, a new one if need be; a call for another wish may be at work all the same."""
        row, before = self._row(ctx), self._rows.get(ctx.uid)
        if row is None:
            row = _Row(_wish(ctx), ctx.clock.monotonic(), doubt=before.doubt if before else 0.0)
            self._rows[ctx.uid] = row
        return row

    def _row(self, ctx: Context[Any]) -> _Row | None:
        row = self._rows.get(ctx.uid)
        return row if row and row.wish == _wish(ctx) else None


def _wish(ctx: Context[Any]) -> tuple[int, bool]:
    return ctx.object.metadata.generation, ctx.deleting


def is_known(error: DriverError) -> bool:
    """Whether a call that failed so had no effect for certain."""
    return not (isinstance(error, Transient) and error.outcome_unknown)
