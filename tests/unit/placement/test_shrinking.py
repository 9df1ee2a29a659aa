"""Room that a VM is to give back: it has it until it was restarted, and nobody forgets it meanwhile."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import GIB, VMCloud, play, vm
from tests.unit.placement.test_room import TIGHT, cluster, held


async def large(cloud: VMCloud) -> None:
    """VM `web` takes all memory of the only host."""
    cloud.apply(cluster("1h"))
    await cloud.settle(30)
    cloud.apply(vm().replace("offering: small", "offering: large"))
    await cloud.settle(30)
    assert cloud.reason() == ("True", "Running")
    assert held(cloud) == (4, 8 * GIB)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_what_a_vm_runs_with_is_nobody_elses_until_it_was_restarted(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await large(cloud)
        cloud.edit(offering="small")
        await cloud.settle(30)
        assert cloud.reason(type="RestartRequired") == ("True", "ChangesPending")
        if restarted:
            await cloud.restart()
            await cloud.settle(60)
        assert held(cloud) == (4, 8 * GIB)
        cloud.apply(vm("b"))
        await cloud.settle(60)
        assert cloud.reason("b") == ("False", "NoFittingHost")
        assert cloud.vm("b")["placementReport"]["rejected"] == {"InsufficientMemory": 1}
        cloud.edit(restartedAt="2026-11-21T10:00:00Z")
        await cloud.settle(60)
        assert cloud.datacentre.vm().memory == 4 * GIB
        assert held(cloud) == (2, 4 * GIB)
        assert cloud.reason("b") == ("True", "Running"), "it was woken by the room"

    play(story, settings=TIGHT)


def test_the_old_size_is_to_be_had_again_without_a_restart() -> None:
    async def story(cloud: VMCloud) -> None:
        await large(cloud)
        cloud.edit(offering="small")
        await cloud.settle(30)
        cloud.apply(vm("b"))
        await cloud.settle(30)
        cloud.edit(offering="large")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert not cloud.vm().get("pendingChanges")
        assert cloud.reason("b") == ("False", "NoFittingHost")

    play(story, settings=TIGHT)


def test_a_vm_that_stops_has_no_more_than_its_new_size() -> None:
    async def story(cloud: VMCloud) -> None:
        await large(cloud)
        cloud.edit(offering="small")
        await cloud.settle(30)
        cloud.apply(vm("b"))
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.OFF
        assert held(cloud) == (2, 4 * GIB)
        assert cloud.reason("b") == ("True", "Running")

    play(story, settings=TIGHT)


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_vm_whose_offering_is_unknown_is_counted_as_it_is_seen(on: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await large(cloud)
        if not on:
            cloud.edit(powerState="Off")
            await cloud.settle(60)
        cloud.edit(offering="nope")
        await cloud.settle(30)
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason() == ("False", "OfferingNotFound")
        assert held(cloud) == (4, 8 * GIB)
        cloud.apply(vm("b"))
        await cloud.settle(60)
        assert cloud.reason("b") == ("False", "NoFittingHost")
        cloud.edit(offering="small", powerState="On", restartedAt="2026-11-21T10:00:00Z")
        await cloud.settle(90)
        assert held(cloud) == (2, 4 * GIB)
        assert cloud.reason("b") == ("True", "Running")

    play(story, settings=TIGHT)


def test_a_vm_that_had_given_its_room_back_is_not_counted_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await large(cloud)
        cloud.apply(cluster("0s"))
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert held(cloud) == (0, 0)
        cloud.edit(offering="nope")
        await cloud.settle(30)
        await cloud.restart()
        cloud.datacentre.act(Act.SET_CPUS, "web", "3")
        await cloud.settle(60)
        cloud.apply(vm("b"))
        await cloud.settle(60)
        assert cloud.reason("b") == ("True", "Running")

    play(story, settings=TIGHT)
