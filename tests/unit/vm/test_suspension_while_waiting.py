"""A VM that an error of a disk has suspended is told so and goes on, whatever it waits for besides: that is no drift of power."""

from __future__ import annotations

import asyncio

import pytest

from controller.vm.suspension import LOOK, ROOM, TRIES
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.types import Power
from tests.support.snapshots import snapshot
from tests.support.vms import VMCloud, play, site, vm
from tests.unit.vm.test_drift_while_waiting import EVERY, ONE_HOST, POLICIES, UNDRIVEN, WAITS, Wait, waits
from tests.unit.vm.test_suspension import SYNCED, leave, resumes

TEXT = "suspended on host h1: no room for disk root in storage pool s1"


def fill(cloud: VMCloud) -> None:
    """The guest finds the pool full."""
    leave(cloud, 0)
    cloud.datacentre.act(Act.FAIL_DISK, "web", "root=full")


def goes_on(cloud: VMCloud) -> bool:
    return cloud.datacentre.vm().power is Power.ON and cloud.reason(type=SYNCED) == ("True", "AsDeclared")


@EVERY
@POLICIES
def test_want_of_room_is_told_and_passes(wait: Wait, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait, policy)
        fill(cloud)
        await cloud.settle(40)
        assert cloud.reason(type=SYNCED) == ("False", "StorageFull")
        assert cloud.text(type=SYNCED).startswith(TEXT)
        assert cloud.reason() == ("False", "StorageFull" if wait.driven else wait.reason)
        assert "StorageFull" in cloud.events("web")
        assert "PowerStateDrift" not in cloud.events("web")
        leave(cloud, ROOM)
        await cloud.settle(3 * LOOK)
        assert goes_on(cloud)
        assert (cloud.reason(), resumes(cloud)) == (("False", wait.reason), 1)
        assert cloud.datacentre.vm().starts == 1, "it was not started anew"
        wait.end(cloud)
        await cloud.settle(240)
        assert cloud.reason() == ("True", "Running")
        assert "PowerStateDrift" not in cloud.events("web")

    play(story, settings=ONE_HOST)


@UNDRIVEN
def test_another_error_is_tried_as_often_as_ever_and_then_told_to_be_for_people(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        await cloud.settle(3600)
        assert (resumes(cloud), cloud.reason()) == (TRIES, ("False", wait.reason))
        assert "mend the disk" in cloud.text(type=SYNCED)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        assert goes_on(cloud)

    play(story, settings=ONE_HOST)


@UNDRIVEN
def test_what_somebody_suspended_is_told_and_stays(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        cloud.datacentre.act(Act.PAUSE, "web")
        await cloud.settle(3600)
        assert cloud.reason(type=SYNCED) == ("False", "Suspended")
        assert (cloud.datacentre.vm().power, resumes(cloud)) == (Power.PAUSED, 0)
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        assert goes_on(cloud)

    play(story, settings=ONE_HOST)


@UNDRIVEN
def test_one_that_is_declared_off_is_stopped_and_not_let_go_on(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        fill(cloud)
        await cloud.settle(40)
        cloud.edit(powerState="Off")
        leave(cloud, ROOM)
        await cloud.settle(120)
        assert (cloud.datacentre.vm().power, resumes(cloud)) == (Power.OFF, 0)

    play(story, settings=ONE_HOST)


def test_one_that_somebody_started_and_that_is_then_suspended_is_told_as_drift_alone() -> None:
    """It is declared off: nobody lets it go on."""

    async def story(cloud: VMCloud) -> None:
        await waits(cloud, WAITS["offering"], "Report")
        cloud.edit(powerState="Off", stopMode="Hard")
        await cloud.settle(60)
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        fill(cloud)
        await cloud.settle(60)
        leave(cloud, ROOM)
        await cloud.settle(3 * LOOK)
        assert cloud.reason(type=SYNCED) == ("False", "Drift")
        assert (cloud.datacentre.vm().power, resumes(cloud)) == (Power.PAUSED, 0)

    play(story, settings=ONE_HOST)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_beside_hardware_that_was_changed_by_hand(*, restarted: bool) -> None:
    """That is left as it is, and told; the VM goes on nevertheless."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(40)
        assert cloud.reason() == ("False", "HardwareDrift")
        fill(cloud)
        await cloud.settle(40)
        assert cloud.reason(type=SYNCED) == ("False", "StorageFull")
        assert cloud.reason(type="InSync") == ("False", "Drift")
        if restarted:
            await cloud.restart()
            await cloud.settle(60)
        assert resumes(cloud) == 0
        leave(cloud, ROOM)
        await cloud.settle(3 * LOOK)
        assert goes_on(cloud)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert "PowerStateDrift" not in cloud.events("web")

    play(story, settings=ONE_HOST)


def test_while_a_change_of_it_fails_again_and_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, WAITS["volume"])
        fill(cloud)
        cloud.datacentre.fail("compute.apply", FaultKind.ERROR, count=None)
        cloud.edit(networks=[{"name": "front", "network": "front"}, {"name": "more", "network": "front"}])
        await cloud.settle(60)
        assert cloud.points["before apply"] > 1, "it is tried"
        assert cloud.reason(type=SYNCED) == ("False", "StorageFull")
        leave(cloud, ROOM)
        await cloud.settle(600)
        assert cloud.datacentre.vm().power is Power.ON
        assert resumes(cloud) == 1

    play(story, settings=ONE_HOST)


def test_while_a_snapshot_is_taken_it_is_told_and_nothing_else_is_done() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.apply(snapshot())
        await cloud.settle(60)
        assert not cloud.datacentre.vm().snapshots
        fill(cloud)
        leave(cloud, ROOM)
        await cloud.settle(60)
        assert cloud.reason(type=SYNCED) == ("False", "StorageFull")
        assert resumes(cloud) == 0, "nobody but the snapshot works on it"
        await cloud.settle(600)
        assert goes_on(cloud)

    play(story, settings=ONE_HOST)


def test_nothing_is_written_twice_of_what_lasts() -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, WAITS["offering"])
        fill(cloud)
        await cloud.settle(1300)  # until the pool itself is known to be full
        written = cloud.writes
        for _ in range(20):
            await asyncio.sleep(60)
        assert cloud.writes == written
        assert cloud.events("web").count("StorageFull") == 1

    play(story, settings=ONE_HOST)
