"""Tries of which each gets further are no failures in a row: where many writes fail by chance, an object is soon as declared."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, done

from .fakes import FakeApi, Fault
from .models import Widget
from .test_manager import Scripted
from .virtual import run
from .world import Process

STEPS = 30
LATER = 0.35
"""Seconds by which a try may come later than its backoff has it: replies take some time."""


def gaps(fault: Fault, *, further: bool) -> list[float]:
    """Seconds between tries, of which each is refused a write: the second one if it gets `further`, else the first."""
    api, refused = FakeApi(), itertools.cycle([False, True] if further else [True])

    def refuse(verb: str, _: Key | None) -> Fault | None:
        return fault if verb == "status" and next(refused) else None

    async def body(ctx: Context[Widget]) -> Result:
        for _ in range(2):
            ctx.object.status.size = (ctx.object.status.size or 0) + 1
            await ctx.save("Growing", f"to {ctx.object.status.size}")
        return done("Grown")

    async def main() -> list[float]:
        reconciler = Scripted(body)
        process = Process(api, [reconciler])
        api.create("Widget", "a", size=3)
        api.fault = refuse
        await process.start()
        await asyncio.sleep(STEPS)
        await process.kill()
        return [later - earlier for earlier, later in itertools.pairwise(reconciler.times)]

    return run(main())


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.UNAVAILABLE])
def test_one_that_gets_further_is_tried_within_seconds(fault: Fault) -> None:
    found = gaps(fault, further=True)
    assert len(found) >= STEPS / (1 + LATER)
    assert max(found) <= 1 + LATER
    assert min(found[3:]) >= 0.7 - 0.1, "nor without a pause, if that goes on for ever"


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.UNAVAILABLE])
def test_one_that_does_not_is_tried_ever_more_seldom(fault: Fault) -> None:
    assert gaps(fault, further=False)[-1] > 5
