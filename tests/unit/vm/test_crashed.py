"""VMs whose guests crash: started again as other ends of a VM are, later and later where they crash again and again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from controller.vm.crash import CALM, FIRST_DELAY, LONGEST_DELAY
from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import VMCloud, play
from tests.unit.vm.things import running

SYNCED = "PowerStateSynced"


async def crash(cloud: VMCloud) -> float:
    """Have the guest crash, and wait until it runs again; seconds until then."""
    before = cloud.datacentre.vm().starts
    cloud.datacentre.act(Act.CRASH_VM, "web")
    for second in range(int(2 * LONGEST_DELAY)):
        if cloud.datacentre.vm().starts > before:
            await cloud.settle(5)
            return second
        await cloud.settle(1)
    pytest.fail(f"not started again: {cloud.reason()}")


def test_the_first_time_it_is_started_again_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        assert await crash(cloud) <= 2
        assert cloud.reason() == ("True", "Running")
        assert "PowerStateDrift" in cloud.events("web")
        assert "GuestCrashed" not in cloud.events("web")

    play(story)


def test_a_guest_that_crashes_at_each_boot_is_started_later_and_later() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        waits = [await crash(cloud) for _ in range(9)]
        assert waits[0] <= 2
        assert FIRST_DELAY - 1 <= waits[1] <= FIRST_DELAY + 2
        assert all(1.7 * one <= other for one, other in pairwise(waits[1:5]))
        assert waits[-1] == pytest.approx(LONGEST_DELAY, abs=3)
        assert "GuestCrashed" in cloud.events("web")

    play(story)


def test_meanwhile_it_is_said_and_nothing_is_written_again_and_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for _ in range(6):
            await crash(cloud)
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(20)
        assert cloud.reason() == cloud.reason(type=SYNCED) == ("False", "GuestCrashed")
        assert "7 times in a row" in cloud.text()
        assert (cloud.vm()["state"], cloud.datacentre.vm().power) == ("Error", Power.CRASHED)
        written = cloud.writes
        await cloud.settle(200)
        assert (cloud.writes, cloud.datacentre.vm().power) == (written, Power.CRASHED)

    play(story)


def test_a_crash_after_a_long_time_is_a_first_one() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for _ in range(3):
            await crash(cloud)
        await cloud.settle(CALM)
        assert await crash(cloud) <= 2

    play(story)


def test_report_leaves_it_and_says_so() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Report")
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(3600)
        assert cloud.datacentre.vm().power is Power.CRASHED
        assert cloud.reason() == ("False", "PowerStateDrift")
        assert "Crashed" in cloud.text()
        assert cloud.vm()["state"] == "Error"

    play(story)


@pytest.mark.parametrize(
    ("edit", "power"),
    [
        ({"powerState": "Off"}, Power.OFF),
        ({"restartedAt": "2026-11-22T09:00:00Z"}, Power.ON),
        ({"stopTimeout": "60s"}, Power.ON),
    ],
)
def test_who_changes_the_spec_is_not_kept_waiting(edit: dict[str, str], power: Power) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for _ in range(6):
            await crash(cloud)
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(20)
        assert cloud.datacentre.vm().power is Power.CRASHED
        cloud.edit(**edit)
        await cloud.settle(20)
        assert cloud.datacentre.vm().power is power
        assert cloud.reason() == ("True", "Running" if power is Power.ON else "Stopped")

    play(story)


def test_a_restarted_controller_starts_it_and_counts_anew() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for _ in range(6):
            await crash(cloud)
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(20)
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_a_crash_that_its_host_does_not_tell_of_for_a_while_counts_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        await crash(cloud)
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(3)
        assert "2 times in a row" in cloud.text()
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(120)
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(120)
        assert cloud.datacentre.vm().power is Power.ON
        cloud.datacentre.act(Act.CRASH_VM, "web")
        await cloud.settle(5)
        assert "3 times in a row" in cloud.text()

    play(story)
