"""The controller dies before and after each call to a hypervisor and each API write of every operation, and a new one starts.

The points are counted in a run without a kill; then each has a run of its own. Afterwards all is as declared, once. Writes of all
kinds count, of those too that only sum up what VMs take. Only Events are left out: they tell people, and nobody reads them back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from controller.volume.reconciler import LOOKS
from drivers.simulator.engine.settings import Settings
from tests.support.around import SITE_OPERATIONS, unsettled
from tests.support.matrix import OPERATIONS, QUICK, SLOW, MatrixCloud, Operation, end_as_declared, play, prepare
from tests.support.tables import Report
from tests.support.vms import BACKGROUND, Stop

WATCHED = 75
"""Seconds that an operation takes at most, when nothing goes wrong, with the sums: they are held back for 30 s, those of clusters
for 30 s more."""


def run(operation: Operation, settings: Settings, stop: Stop | None) -> Counter[str]:
    """Carry out an operation; returns the points that it had."""
    points: Counter[str] = Counter()

    async def story(cloud: MatrixCloud) -> None:
        await prepare(cloud, operation)
        await cloud.settle(WATCHED)
        cloud.points.clear()
        cloud.passed_over = frozenset() if operation.of_site else BACKGROUND
        cloud.stop = stop
        operation.act(cloud)
        for _ in range(WATCHED):
            await asyncio.sleep(1)
            if cloud.stopped.is_set():
                cloud.stopped.clear()
                await cloud.restart()
        points.update(cloud.points)
        seconds = await end_as_declared(cloud, replace(operation, done=lambda cloud: all_done(operation, cloud)))
        assert seconds < LOOKS / 2, "by what wakes it, not by the look that comes anyhow"

    play(story, settings)
    return points


def all_done(operation: Operation, cloud: MatrixCloud) -> None:
    """What must hold afterwards, what VMs stand on included."""
    operation.done(cloud)
    assert not (found := unsettled(cloud)), found


def written(point: str) -> bool:
    return " of " in point


@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
@pytest.mark.parametrize("operation", [*OPERATIONS, *SITE_OPERATIONS], ids=lambda each: each.name)
def test_it_ends_as_declared(operation: Operation, settings: Settings, report: Report) -> None:
    points = run(operation, settings, None)
    assert {f"before {operation.call}", f"after {operation.call}"} <= set(points)
    killed: Counter[str] = Counter()
    for number in range(1, points.total() + 1):
        stop = Stop(number)
        run(operation, settings, stop)
        assert stop.name, f"point {number} was never reached"
        killed[stop.name] += 1
    assert killed == points, "each has had its kill"
    begun = Counter({name: count for name, count in points.items() if name.startswith("before ")})
    writes = sum(count for name, count in begun.items() if written(name))
    how = "by tasks" if settings is SLOW else "at once"
    steps = f"{begun.total() - writes:2} calls, {writes:2} writes: {points.total():3} kills, each as declared"
    report("The controller dies before and after each step", f"{operation.name:10} {how:9} {steps}")
