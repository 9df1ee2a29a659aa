"""A VM whose root disk somebody took away: it is never told to be well, and not started without."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import VMCloud, play, site, vm

LOST = ("False", "DiskMissing")
AFTER = "2026-11-22T09:00:00Z"


async def robbed(cloud: VMCloud) -> None:
    """A running VM without its root disk."""
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm())
    await cloud.settle(30)
    cloud.datacentre.act(Act.REMOVE_DISK, "web", "root")
    await cloud.settle(60)


def test_it_goes_on_running_and_is_not_ready() -> None:
    async def story(cloud: VMCloud) -> None:
        await robbed(cloud)
        for _ in range(2):
            assert (cloud.reason(), cloud.reason(type="InSync")) == (LOST, LOST)
            assert (cloud.vm()["state"], cloud.kstatus("VirtualMachine", "shop/web")) == ("Running", "Failed")
            await cloud.restart()
            await cloud.settle(60)

    play(story)


@pytest.mark.parametrize("policy", ["Report", "Correct"])
def test_a_restart_stops_it_and_does_not_start_it(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await robbed(cloud)
        starts = [each.starts for each in cloud.datacentre.census.vms]
        cloud.edit(restartedAt=AFTER, driftPolicy=policy)
        await cloud.settle(120)
        assert cloud.datacentre.vm().power is Power.OFF
        assert [each.starts for each in cloud.datacentre.census.vms] == starts
        assert (cloud.vm()["state"], cloud.reason()) == ("Stopped", LOST)
        assert (cloud.vm()["job"]["command"], cloud.vm()["job"]["status"]) == ("RebootVirtualMachine", "Failed")

    play(story)


def test_it_is_stopped_and_deleted_as_any_other() -> None:
    async def story(cloud: VMCloud) -> None:
        await robbed(cloud)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.OFF
        assert (cloud.vm()["state"], cloud.reason(), cloud.vm()["job"]["status"]) == ("Stopped", LOST, "Succeeded")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.datacentre.vms

    play(story)


@pytest.mark.parametrize("power", ["On", "Off"])
def test_one_that_was_off_is_not_started(power: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm(extra="powerState: 'Off'"))
        await cloud.settle(30)
        cloud.datacentre.act(Act.REMOVE_DISK, "web", "root")
        cloud.edit(powerState=power)
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.OFF
        assert cloud.reason() == LOST

    play(story)
