"""A snapshot of a VM and one of a volume that it has: one is taken after the other, whichever comes first."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import ready, snapshot, status
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import mounts, volume
from tests.support.volumes import ready as volume_ready

SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 4))
OF = {"of-vm": "virtualMachine: web", "of-volume": "volume: data"}


@pytest.mark.parametrize("order", [("of-vm", "of-volume"), ("of-volume", "of-vm")], ids=lambda order: f"{order[0]} first")
@pytest.mark.parametrize("pause", [0.0, 2.0], ids=["at once", "while it is taken"])
def test_both_are_taken(order: tuple[str, str], pause: float) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm())
        await cloud.settle(40)
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(40)
        assert volume_ready(cloud) == ("True", "Ready")
        for name in order:
            cloud.apply(snapshot(name, of=OF[name]))
            await asyncio.sleep(pause)
        await cloud.settle(60)
        assert [ready(cloud, name) for name in order] == [("True", "Ready")] * 2

    play(story, settings=SLOW)


@pytest.mark.parametrize("order", [("of-vm", "of-volume"), ("of-volume", "of-vm")], ids=lambda order: f"{order[0]} first")
def test_the_one_that_waits_is_woken_by_the_end_of_the_other(order: tuple[str, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm())
        await cloud.settle(40)
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(40)
        first, second = order
        cloud.apply(snapshot(first, of=OF[first]))
        await asyncio.sleep(1)
        cloud.apply(snapshot(second, of=OF[second]))
        await asyncio.sleep(1)
        assert ready(cloud, second)[1] in ("VirtualMachineBusy", "VolumeBusy")
        for _ in range(200):
            await asyncio.sleep(0.1 if ready(cloud, first) != ("True", "Ready") else 0)
        await asyncio.sleep(1)
        assert status(cloud, second)["state"] == "Creating", "seconds before it would have looked by itself"
        await cloud.settle(30)
        assert ready(cloud, second) == ("True", "Ready")

    play(story, settings=SLOW)
