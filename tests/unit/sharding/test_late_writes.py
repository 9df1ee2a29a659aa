"""A leader falls asleep with a write on its way, which gets to the API server when another has led for long: nothing comes of it.

Every write of a life has its turn: those of a run without a fault are counted, then each is late in a run of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controller.runtime.keys import Key
from controller.runtime.ports import Conflict, Gone
from drivers.types import Power
from tests.support.live.audit import findings
from tests.support.vms import vm

from .test_storms import Objects
from .world import Replica, ShardedCloud, clusters, play

LATE, ASLEEP = 60.0, 75.0
"""Seconds that the write is on its way, and that its sender is cut off; another leads after 15."""


def _deleted(cloud: ShardedCloud) -> None:
    assert not cloud.exists("VirtualMachine", "shop/web")
    assert not cloud.datacentre.vms


def _lives(power: Power, reason: str, starts: int) -> Callable[[ShardedCloud], None]:
    def check(cloud: ShardedCloud) -> None:
        [found] = cloud.datacentre.census.vms
        assert (cloud.reason(), found.power) == (("True", reason), power), cloud.text()
        assert (found.made, found.starts) == (1, starts), "made and started once"
        assert cloud.vm()["job"]["status"] == "Succeeded"

    return check


LIVES: dict[str, tuple[Callable[[ShardedCloud], None] | None, Callable[[ShardedCloud], None]]] = {
    "made": (None, _lives(Power.ON, "Running", 1)),
    "stopped": (lambda cloud: cloud.edit(powerState="Off"), _lives(Power.OFF, "Stopped", 1)),
    "restarted": (lambda cloud: cloud.edit(restartedAt="2026-11-20T11:00:00Z"), _lives(Power.ON, "Running", 2)),
    "resized": (lambda cloud: cloud.edit(offering="large"), _lives(Power.ON, "Running", 1)),
    "deleted": (lambda cloud: cloud.delete("VirtualMachine", "shop/web"), _deleted),
}
"""What a user does to a running VM, if it is not to be made, and what must hold in the end."""


class Sleeper:
    """The leader; the write with this `number`, counted from 1, of the VM finds it asleep. `writes` are all, as their part."""

    def __init__(self, cloud: ShardedCloud, leader: Replica, number: int) -> None:
        self.cloud, self.leader, self.number = cloud, leader, number
        self.writes: list[str] = []
        leader.way.late = self._late

    def _late(self, part: str, key: Key) -> float:
        if key.kind != "VirtualMachine":
            return 0.0
        self.writes.append(part)
        if len(self.writes) != self.number:
            return 0.0
        self.leader.cut()
        asyncio.get_running_loop().call_later(ASLEEP, self.leader.mend)
        return LATE


async def suffer(cloud: ShardedCloud, life: str, number: int) -> Sleeper:
    """Lead a life in which one write is late, or none if `number` is 0."""
    act, check = LIVES[life]
    leader = cloud.add("old")
    cloud.apply(clusters())
    await cloud.settled(30)
    cloud.add("new")
    if act is not None:
        cloud.apply(vm())
        await cloud.settled(60)
        assert cloud.reason() == ("True", "Running"), cloud.text()
    sleeper = Sleeper(cloud, leader, number)
    cloud.apply(vm()) if act is None else act(cloud)
    await asyncio.sleep(LATE - 1)
    assert cloud.holders(0) == (["new"] if number else ["old"])
    await cloud.settled(120)
    check(cloud)
    assert findings(Objects(cloud), cloud.datacentre.census) == []
    steady = len(cloud.api.history)
    await cloud.settled(300)
    assert len(cloud.api.history) == steady, "nobody has anything more to say"
    return sleeper


def results(sleeper: Sleeper) -> list[str]:
    """What the API server said to late writes: "refused", or "taken" if nothing was written meanwhile."""
    return ["refused" if isinstance(request.exception(), (Conflict, Gone)) else "taken" for request in sleeper.leader.way.sent]


@pytest.mark.parametrize("life", LIVES)
def test_a_write_that_is_late_changes_nothing(life: str) -> None:
    writes: list[str] = []

    async def counted(cloud: ShardedCloud) -> None:
        writes.extend((await suffer(cloud, life, 0)).writes)

    play(counted, count=1)
    assert "status" in writes
    ends: list[str] = []
    for number in range(1, len(writes) + 1):

        async def story(cloud: ShardedCloud, number: int = number) -> None:
            ends.extend(results(await suffer(cloud, life, number)))

        play(story, count=1)
    assert len(ends) == len(writes)
    assert set(ends) == {"refused"}
