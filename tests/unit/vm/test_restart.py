"""A restart is asked for by a point in time: it comes when that has come, and once."""

from __future__ import annotations

import pytest

from tests.support.vms import VMCloud, play, site, vm

NOON = "2026-11-22T12:00:00Z"
"""Two hours after the stories begin."""


async def running(cloud: VMCloud, extra: str = "") -> None:
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm(extra=extra))
    await cloud.settle(30)
    assert cloud.reason() == ("True", "Running")


def scheduled(cloud: VMCloud) -> tuple[str, str] | None:
    return cloud.reason(type="RestartScheduled")


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_it_waits_for_its_time_says_so_and_comes_once(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(restartedAt=NOON)
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert scheduled(cloud) == ("True", "RestartScheduled")
        assert NOON in cloud.text(type="RestartScheduled")
        if restarted:
            await cloud.restart()
            await cloud.settle(60)
        written = cloud.writes
        await cloud.settle(6600)
        assert (cloud.datacentre.vm().starts, cloud.writes) == (1, written)
        await cloud.settle(600)
        assert cloud.datacentre.vm().starts == 2
        assert cloud.reason() == ("True", "Running")
        assert scheduled(cloud) is None
        assert cloud.vm()["appliedRestartAt"] == NOON
        await cloud.settle(3600)
        assert cloud.datacentre.vm().starts == 2

    play(story)


def test_one_that_was_asked_for_by_mistake_is_taken_back_or_made_sooner() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(restartedAt="2126-11-22T12:00:00Z")
        await cloud.settle(30)
        assert scheduled(cloud) == ("True", "RestartScheduled")
        cloud.edit(restartedAt="2026-11-22T09:00:00Z")
        await cloud.settle(60)
        assert (scheduled(cloud), cloud.datacentre.vm().starts) == (None, 2)
        cloud.edit(restartedAt="2126-11-22T12:00:00Z")
        await cloud.settle(30)
        cloud.edit(restartedAt=None)
        await cloud.settle(30)
        assert (scheduled(cloud), cloud.datacentre.vm().starts) == (None, 2)

    play(story)


def test_one_that_is_to_come_is_not_taken_for_served_when_all_status_is_lost() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f'restartedAt: "{NOON}"')
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert "appliedRestartAt" not in cloud.vm()
        assert scheduled(cloud) == ("True", "RestartScheduled")
        await cloud.settle(7200)
        assert cloud.datacentre.vm().starts == 2

    play(story)


def test_a_vm_that_is_off_by_then_is_not_started() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(restartedAt=NOON, powerState="Off")
        await cloud.settle(7500)
        assert cloud.datacentre.vm().starts == 1
        assert cloud.reason() == ("True", "Stopped")
        assert scheduled(cloud) is None
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert cloud.datacentre.vm().starts == 2, "it was served while the VM was off"

    play(story)
