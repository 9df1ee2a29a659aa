"""VMs that were suspended for an error of a disk: told, let go on when that makes sense, and nothing done to any other."""

from __future__ import annotations

from typing import Any

import pytest

from controller.vm.suspension import CALM, LOOK, ROOM, TRIES
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.types import Power
from tests.support.vms import VMCloud, play
from tests.unit.vm.things import running

SYNCED = "PowerStateSynced"


def pool(cloud: VMCloud) -> Any:
    """Of the VM's root disk."""
    return next(each for each in cloud.datacentre.service.dc.pools.values() if cloud.datacentre.vm().instance in each.disks)


def leave(cloud: VMCloud, room: int) -> None:
    """Have so many bytes free in the pool."""
    pool(cloud).used = pool(cloud).capacity - room


async def full(cloud: VMCloud, extra: str = "") -> None:
    """A VM that is suspended because its pool is full."""
    await running(cloud, extra)
    leave(cloud, 0)
    cloud.datacentre.act(Act.FAIL_DISK, "web", "root=full")
    await cloud.settle(10)
    assert cloud.reason() == cloud.reason(type=SYNCED) == ("False", "StorageFull")


def resumes(cloud: VMCloud) -> int:
    """How often a VM was let go on."""
    return cloud.points["after resume"]


def is_well(cloud: VMCloud) -> bool:
    told = cloud.reason(), cloud.reason(type=SYNCED)
    return cloud.datacentre.vm().power is Power.ON and told == (("True", "Running"), ("True", "AsDeclared"))


def test_it_is_said_which_disk_and_which_pool() -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        text = "suspended on host h1: no room for disk root in storage pool s1; it goes on by itself once there is room"
        assert cloud.text() == cloud.text(type=SYNCED) == text
        assert "StorageFull" in cloud.events("web")
        assert cloud.vm()["state"] == "Running"

    play(story)


def test_it_goes_on_by_itself_when_there_is_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        await cloud.settle(1300)  # until the pool itself is known to be full
        written = cloud.writes
        await cloud.settle(3600)
        assert (cloud.writes, resumes(cloud)) == (written, 0)
        leave(cloud, ROOM - 1)
        await cloud.settle(3 * LOOK)
        assert resumes(cloud) == 0, "it would be suspended again at once"
        leave(cloud, ROOM)
        await cloud.settle(2 * LOOK)
        assert is_well(cloud)
        assert resumes(cloud) == 1
        assert cloud.datacentre.vm().starts == 1, "it was not started anew"
        assert "Resumed" in cloud.events("web")

    play(story)


def test_one_that_finds_the_pool_full_again_and_again_goes_on_each_time_later_and_later() -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        for _ in range(TRIES + 2):
            before = resumes(cloud)
            leave(cloud, ROOM)
            await cloud.settle(CALM - 60)
            assert is_well(cloud)
            assert resumes(cloud) == before + 1
            leave(cloud, 0)
            cloud.datacentre.act(Act.FAIL_DISK, "web", "root=full")
            await cloud.settle(10)
            leave(cloud, ROOM)
        assert cloud.reason() == ("False", "StorageFull")

    play(story)


def test_another_error_is_tried_a_few_times_and_then_left_to_people() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        await cloud.settle(5)
        assert cloud.reason() == cloud.reason(type=SYNCED) == ("False", "DiskError")
        assert "I/O error of disk root in storage pool s1" in cloud.text()
        assert resumes(cloud) == 1, "it may have passed"
        await cloud.settle(3600)
        assert resumes(cloud) == TRIES
        assert cloud.reason(type="Stalled") == ("True", "DiskError")
        assert "mend the disk" in cloud.text()
        written = cloud.writes
        await cloud.settle(3600)
        assert (resumes(cloud), cloud.writes) == (TRIES, written)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        assert is_well(cloud)

    play(story)


@pytest.mark.parametrize("mended", ["by a restart", "by a new spec"])
def test_after_people_have_done_something_it_is_tried_again(mended: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        await cloud.settle(3600)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
        if mended == "by a restart":
            cloud.edit(restartedAt="2026-11-22T09:00:00Z")
        else:
            cloud.edit(stopTimeout="60s")
        await cloud.settle(120)
        assert is_well(cloud)
        assert cloud.datacentre.vm().starts == (2 if mended == "by a restart" else 1)

    play(story)


def test_an_error_after_a_long_calm_is_a_new_one() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for times in range(1, TRIES + 3):
            cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
            cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
            await cloud.settle(CALM + 60)
            assert is_well(cloud)
            assert resumes(cloud) == times

    play(story)


def test_it_waits_while_its_pool_is_not_usable() -> None:
    """As when an NFS server is away: no try is lost meanwhile."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, error="StorageUnavailable")
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        await cloud.settle(3600)
        assert (resumes(cloud), cloud.reason()) == (0, ("False", "DiskError"))
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
        cloud.datacentre.heal()
        await cloud.settle(3 * LOOK)
        assert is_well(cloud)
        assert resumes(cloud) == 1

    play(story)


def test_an_error_of_nobody_knows_which_disk_is_told_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        found = cloud.datacentre.vm()
        found.failures = found.failing = {"": False}
        await cloud.settle(5)
        assert cloud.reason() == ("False", "DiskError")
        assert "I/O error of a disk;" in cloud.text()
        await cloud.settle(3600)
        assert resumes(cloud) == TRIES

    play(story)


def test_where_it_is_not_known_which_disk_all_pools_must_be_usable() -> None:
    """So it is while an NFS server is away: QEMU does not say then which disk has failed. No try is lost meanwhile."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, error="StorageUnavailable")
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=error")
        cloud.datacentre.vm().failures = {"": False}
        await cloud.settle(3600)
        assert (resumes(cloud), cloud.reason()) == (0, ("False", "DiskError"))
        assert "once storage pool s1 is usable and has room" in cloud.text()
        cloud.datacentre.act(Act.FAIL_DISK, "web", "root=")
        cloud.datacentre.heal()
        await cloud.settle(3 * LOOK)
        assert is_well(cloud)
        assert resumes(cloud) == 1

    play(story)


@pytest.mark.parametrize("policy", ["Correct", "Report"])
def test_what_somebody_suspended_stays(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f"driftPolicy: {policy}")
        cloud.datacentre.act(Act.PAUSE, "web")
        await cloud.settle(3600)
        assert (resumes(cloud), cloud.reason()) == (0, ("False", "Suspended"))
        assert cloud.datacentre.vm().power is Power.PAUSED

    play(story)


@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.LOSE_REPLY])
def test_a_call_that_is_lost_is_made_again_if_need_be(kind: FaultKind) -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        cloud.datacentre.fail("power.resume", kind, count=1)
        leave(cloud, ROOM)
        await cloud.settle(4 * LOOK)
        assert is_well(cloud)

    play(story)


def test_a_restarted_controller_goes_on_with_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason() == ("False", "StorageFull")
        leave(cloud, ROOM)
        await cloud.settle(3 * LOOK)
        assert is_well(cloud)

    play(story)


def test_one_that_is_declared_off_is_switched_off_and_not_let_go_on() -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert (cloud.datacentre.vm().power, resumes(cloud)) == (Power.OFF, 0)

    play(story)


@pytest.mark.parametrize(("policy", "power"), [("Report", Power.OFF), ("Correct", Power.ON)])
def test_one_that_is_switched_off_by_hand_has_drifted(policy: str, power: Power) -> None:
    async def story(cloud: VMCloud) -> None:
        await full(cloud, f"driftPolicy: {policy}")
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is power
        assert "PowerStateDrift" in cloud.events("web")

    play(story)
