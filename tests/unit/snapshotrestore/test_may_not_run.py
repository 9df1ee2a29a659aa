"""A snapshot with memory makes a VM run: not where it must not be started."""

from __future__ import annotations

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from tests.support.snapshots import reads, restore, runs
from tests.support.vms import GIB, VMCloud, play, vm

from .begun import back, begin, why

HOUR = 3600
TIGHT = Settings(hosts=1, cpus=4, memory=32 * GIB, boot=1, shutdown=1)
"""CPUs for four small VMs, overcommit counted in."""
OTHERS = ("a", "b", "c", "d")


def to(cloud: VMCloud, state: str) -> None:
    cloud.api.edit(Key("Host", "", "h1"), adminState=state)


@pytest.mark.parametrize("act", [Act.POWER_OFF, Act.CRASH_VM])
def test_a_host_in_maintenance_is_waited_for(act: Act) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, memory=True)
        to(cloud, "Maintenance")
        await cloud.settle(10)
        cloud.datacentre.act(act, "web")
        await cloud.settle(20)
        cloud.apply(restore())
        await cloud.settle(60)
        assert back(cloud) == ("False", "HostInMaintenance")
        assert "host h1 is in maintenance" in why(cloud)
        assert not runs(cloud)
        written = cloud.writes
        await cloud.settle(600)
        assert cloud.writes == written
        to(cloud, "Enabled")
        await cloud.settle(60)
        assert (back(cloud), reads(cloud), runs(cloud)) == (("True", "Completed"), "old", True)

    play(story)


def test_one_that_runs_there_goes_on_running_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, memory=True)
        to(cloud, "Maintenance")
        cloud.apply(restore())
        await cloud.settle(30)
        assert (back(cloud), reads(cloud), runs(cloud)) == (("True", "Completed"), "old", True)

    play(story)


async def without_room(cloud: VMCloud) -> None:
    """VM `web` is off, and others have its room."""
    await begin(cloud, memory=True, power="Off")
    await cloud.settle(HOUR + 300)
    assert cloud.vm()["roomReleased"] is True
    for name in OTHERS:
        cloud.apply(vm(name, "placement: {host: h1}"))
    await cloud.settle(30)
    assert {cloud.reason(name) for name in OTHERS} == {("True", "Running")}


def test_room_that_was_given_back_is_needed_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await without_room(cloud)
        cloud.apply(restore())
        await cloud.settle(60)
        assert back(cloud) == ("False", "InsufficientCapacity")
        assert "start it first" in why(cloud)
        assert cloud.condition("SnapshotRestore", "shop/back", "Stalled") is not None
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert cloud.reason() == back(cloud) == ("False", "InsufficientCapacity")
        assert cloud.condition("SnapshotRestore", "shop/back", "Stalled") is None
        assert not runs(cloud)
        for name in OTHERS:
            cloud.delete("VirtualMachine", f"shop/{name}")
        await cloud.settle(90)
        assert (back(cloud), reads(cloud), runs(cloud)) == (("True", "Completed"), "old", True)
        assert cloud.status("Host", "h1")["allocated"]["vms"] == 1
        assert cloud.datacentre.vm().restores == 1

    play(story, settings=TIGHT)
