"""What CloudStack was measured at: deployments in flight when the server is killed, and twenty at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from tests.bench.client import BenchError
from tests.bench.figures import Figure, percentile
from tests.bench.measures import Bench
from tests.support.live import manifests as make
from tests.support.live.killed import Outcome, deploy_and_kill

IN_FLIGHT = 50
UNDER_WAY = (1, 25, 50)
"""Deployments that have a job when the controller is killed, one kill each."""
AT_ONCE = 20
TURNS = 5


async def kill_in_flight(bench: Bench) -> list[Figure]:
    """Fifty deployments, and the controller killed and started again; the VMs are deleted afterwards."""
    found: list[Outcome] = []
    for under_way in UNDER_WAY:
        names = [f"killed-{under_way}-{number}" for number in range(IN_FLIGHT)]
        found.append(await asyncio.to_thread(deploy_and_kill, bench.cloud, bench.controller, names, under_way, bench.patience))
        await bench.delete(names)
    return killed(found)


def killed(found: Sequence[Outcome]) -> list[Figure]:
    """The figures of some kills: the worst of each count, the median of each time."""
    title, times = f"{IN_FLIGHT} deployments in flight, kill -9", {"at work again": [each.at_work for each in found]}
    times["all Running"] = [each.all_running for each in found]
    return [
        Figure(f"{title}: VMs Running, at least", min(each.running for each in found), "", f"{IN_FLIGHT}"),
        Figure(f"{title}: jobs that failed", max(len(each.failed) for each in found), "", "0"),
        Figure(f"{title}: things left behind or wrong", max(len(each.behind) for each in found), "", "0"),
        Figure(f"{title}: VMs made or started twice", max(len(each.more_than_once) for each in found), "", "0"),
        Figure(f"{title}: at work again", median(times["at work again"]), "s", "≤ 5 s", samples=times["at work again"]),
        Figure(f"{title}: all Running", median(times["all Running"]), "s", samples=times["all Running"]),
    ]


async def at_once(bench: Bench) -> list[Figure]:
    """Twenty VMs asked for in the same moment, some times over, on hypervisors that do at once what they are told."""
    accepted: list[float] = []
    running: list[float] = []
    for turn in range(TURNS):
        names = [f"at-once-{turn}-{number}" for number in range(AT_ONCE)]
        began = time.monotonic()
        accepted += await asyncio.gather(*(_accepted(bench, name, began) for name in names))
        running += [at - began for at in await bench.watch.all(names, "Running", bench.patience)]
        await bench.delete(names)
    title = f"{AT_ONCE} at once"
    return [
        Figure(f"{title}, accepted: P50", 1000 * percentile(accepted, 50), "ms", "≤ 50", samples=sorted(accepted)),
        Figure(f"{title} → Running: P50", percentile(running, 50), "s", "≤ 0.5 s"),
        Figure(f"{title} → Running: P95", percentile(running, 95), "s", samples=sorted(running)),
    ]


async def _accepted(bench: Bench, name: str, began: float) -> float:
    """Ask for a VM; returns the seconds until the API server has taken it. Raises BenchError if it doesn't."""
    reply = await bench.client.create(make.vm(name))
    if not reply["metadata"].get("uid"):
        raise BenchError(f"{name} was not accepted")
    return time.monotonic() - began
