"""A VM whose guest has crashed, by a panic of its kernel, is started again: later and later if that happens again and again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from controller.runtime.backoff import Backoff
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.vm import job
from controller.vm.report import CRASHED, SYNCED
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from drivers.types import ObservedVM, Power

FIRST_DELAY, LONGEST_DELAY = 10.0, 300.0
"""Seconds before the second start in a row, twice as many before the next, and so on; the first is at once."""
_BACKOFF = Backoff(FIRST_DELAY, LONGEST_DELAY)
CALM = 600.0
"""A guest that crashes so many seconds after it was started, or later, has not crashed in a row."""


@dataclass(slots=True)
class _Row:
    """Crashes in a row of one VM, whose spec is of this generation.

    `until`: when it may be started again, None while it is not crashed; `begun`: when it was last. Monotonic seconds.
    """

    generation: int
    crashes: int = 0
    until: float | None = None
    begun: float = 0.0
    message: str = ""


class Crashes:
    """What was counted is not durable: another process counts anew."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._rows.pop(uid, None)

    def rest(self, ctx: Context[VirtualMachine], have: ObservedVM, *, restart: bool) -> Result | None:
        """Why a crashed VM is not started yet; None if it is time for that, or for something else.

        One that is declared off, or that is to be restarted (`restart`), is stopped at once.
        """
        if have.power is not Power.CRASHED:
            self._goes(ctx.uid, have)
            return None
        if restart or ctx.object.spec.power_state is PowerState.OFF:
            self.forget(ctx.uid)
            return None
        row, now = self._crashed(ctx), ctx.clock.monotonic()
        left = 0.0 if row.until is None else row.until - now
        if left <= 0:
            row.begun = now
            return None
        if job.current(ctx.object) is not None:
            job.fail(ctx, row.message)
        ctx.event("Warning", CRASHED, row.message)
        ctx.conditions.set(SYNCED, False, CRASHED, row.message)
        return waiting(CRASHED, row.message, retry_after=left)

    def _goes(self, uid: str, have: ObservedVM) -> None:
        row = self._rows.get(uid)
        if row is not None and have.power in (Power.ON, Power.OFF):
            row.until = None

    def _crashed(self, ctx: Context[VirtualMachine]) -> _Row:
        """The row of this VM, with this crash counted once."""
        row, now, generation = self._rows.get(ctx.uid), ctx.clock.monotonic(), ctx.object.metadata.generation
        if row is None or row.generation != generation or (row.until is None and now - row.begun >= CALM):
            row = self._rows[ctx.uid] = _Row(generation)
        if row.until is None:
            delay = _BACKOFF.delay(row.crashes - 1) if row.crashes else 0.0
            row.crashes, row.until = row.crashes + 1, now + delay
            at = (ctx.clock.now() + timedelta(seconds=delay)).strftime("%H:%M:%S UTC")
            row.message = f"the guest has crashed, {row.crashes} times in a row: the VM is started again at {at}"
        return row
