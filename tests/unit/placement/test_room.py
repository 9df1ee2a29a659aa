"""CPU and memory of a stopped VM: kept on its host for a while, then anybody's, and needed again to start."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import volume

TIGHT = Settings(hosts=1, cpus=8, memory=8 * GIB, boot=1, shutdown=1)
"""Memory for two small VMs."""
HOUR = 3600


def cluster(reservation: str) -> str:
    return site(1).replace(
        'memory: "1.5"}', f'memory: "1"}}, disableThreshold: {{cpu: 100, memory: 100}}, stoppedReservation: "{reservation}"'
    )


async def stopped(cloud: VMCloud, *running: str, reservation: str = "1h") -> None:
    """VM `web`, stopped, beside others that run."""
    cloud.apply(cluster(reservation))
    await cloud.settle(30)
    for name in ("web", *running):
        cloud.apply(vm(name))
    await cloud.settle(30)
    cloud.edit(powerState="Off")
    await cloud.settle(20)
    assert cloud.reason() == ("True", "Stopped")


def held(cloud: VMCloud, name: str = "web") -> tuple[int, int]:
    size = cloud.controller.parts.placements.size(cloud.raw("VirtualMachine", f"shop/{name}")["metadata"]["uid"])
    assert size is not None
    return size.cpus, size.memory


def allocated(cloud: VMCloud) -> tuple[int, int]:
    found = cloud.status("Host", "h1")["allocated"]
    return found["cpus"], found["vms"]


def test_room_is_kept_for_the_reservation_and_then_another_vm_goes_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, "a")
        cloud.apply(vm("b"))
        await cloud.settle(HOUR - 120)
        assert cloud.reason("b") == ("False", "NoFittingHost")
        assert held(cloud) == (2, 4 * GIB)
        assert "roomReleased" not in cloud.vm()
        await cloud.settle(300)
        assert cloud.vm()["roomReleased"] is True
        assert cloud.reason() == ("True", "Stopped")
        assert held(cloud) == (0, 0)
        assert cloud.reason("b") == ("True", "Running")
        assert allocated(cloud) == (4, 3), "counted as a VM of the host, but not with its size"
        assert cloud.vm()["disks"][0]["pool"] == "s1"

    play(story, settings=TIGHT)


@pytest.mark.parametrize("restart", [False, True], ids=["", "after a restart of the controller"])
def test_start_waits_until_there_is_room_again(restart: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, "a", reservation="60s")
        await cloud.settle(120)
        cloud.apply(vm("b"))
        await cloud.settle(60)
        assert cloud.reason("b") == ("True", "Running")
        cloud.edit(powerState="On")
        await cloud.settle(30)
        if restart:
            await cloud.restart()
            await cloud.settle(120)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        assert "host h1 lacks 4Gi of memory to start the VM" in cloud.text()
        assert cloud.kstatus("VirtualMachine", "shop/web") == "InProgress"
        assert cloud.datacentre.vm().power is Power.OFF
        assert held(cloud) == (0, 0)
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(90)
        assert cloud.reason() == ("True", "Running")
        assert held(cloud) == (2, 4 * GIB)
        for field in ("roomReleased", "stoppedAt"):
            assert field not in cloud.vm()

    play(story, settings=TIGHT)


def test_start_in_time_finds_its_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, "a")
        cloud.apply(vm("b"))
        await cloud.settle(HOUR // 2)
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        await cloud.settle(HOUR)
        assert held(cloud) == (2, 4 * GIB)
        assert cloud.reason("b") == ("False", "NoFittingHost")

    play(story, settings=TIGHT)


def test_a_restarted_controller_counts_on_from_when_the_vm_stopped() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud)
        await cloud.settle(HOUR // 2)
        await cloud.restart()
        await cloud.settle(HOUR // 2 - 300)
        assert held(cloud) == (2, 4 * GIB)
        await cloud.settle(600)
        assert held(cloud) == (0, 0)
        await cloud.restart()
        await cloud.settle(60)
        assert held(cloud) == (0, 0), "read from the status"

    play(story, settings=TIGHT)


def test_a_shorter_reservation_holds_at_once_for_those_that_are_stopped() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, reservation="240h")
        await cloud.settle(HOUR)
        assert held(cloud) == (2, 4 * GIB)
        cloud.apply(cluster("0s"))
        await cloud.settle(30)
        assert held(cloud) == (0, 0)

    play(story, settings=TIGHT)


def test_one_started_by_hand_takes_its_room_and_is_stopped_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, reservation="60s")
        await cloud.settle(120)
        cloud.edit(driftPolicy="Report")
        await cloud.settle(10)
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(30)
        assert cloud.reason() == ("False", "PowerStateDrift")
        assert held(cloud) == (2, 4 * GIB)
        cloud.edit(driftPolicy="Correct")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Stopped")
        await cloud.settle(120)
        assert held(cloud) == (0, 0)

    play(story, settings=TIGHT)


def test_a_stopped_vm_without_room_is_resized_freely_and_needs_the_new_size_to_start() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud, "a", reservation="60s")
        await cloud.settle(120)
        cloud.edit(offering="large")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.datacentre.vm().memory == 8 * GIB
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        cloud.edit(offering="small")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=TIGHT)


def test_at_rest_a_stopped_vm_is_written_once_more_when_its_room_goes() -> None:
    async def story(cloud: VMCloud) -> None:
        await stopped(cloud)
        cloud.points.clear()
        await cloud.settle(HOUR + 60)
        assert cloud.points["after status of VirtualMachine"] == 1
        await cloud.settle(5 * HOUR)
        assert cloud.points["after status of VirtualMachine"] == 1

    play(story, settings=TIGHT)


def test_the_most_guests_of_a_host_bind_a_vm_that_comes_back_too() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(cluster("60s").replace("stoppedReservation", "maxGuestsPerHost: 2, stoppedReservation"))
        await cloud.settle(30)
        for name in ("web", "a"):
            cloud.apply(vm(name, "placement: {host: h1}"))
        await cloud.settle(30)
        cloud.edit(powerState="Off")
        await cloud.settle(120)
        cloud.apply(vm("b"))
        await cloud.settle(60)
        assert cloud.reason("b") == ("True", "Running")
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        assert "carries 2 VMs" in cloud.text()
        cloud.apply(vm("c"))
        await cloud.settle(30)
        assert cloud.vm("c")["placementReport"]["rejected"] == {"TooManyGuests": 1}
        cloud.delete("VirtualMachine", "shop/c")
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle(90)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=Settings(hosts=1, cpus=32, memory=64 * GIB, boot=1, shutdown=1))


def test_two_whose_disks_grow_at_once_are_not_given_the_same_room() -> None:
    """Both gave their room on the host back, so each is looked at first; the last room of the pool is given once."""

    async def story(cloud: VMCloud) -> None:
        point = cloud.point

        async def slow(name: str) -> None:
            if name == "before observe":
                await asyncio.sleep(2)
            await point(name)

        cloud.point = slow  # type: ignore[method-assign]
        await stopped(cloud, "a", reservation="60s")
        cloud.edit("a", powerState="Off")
        for name in ("data", "more"):
            cloud.apply(volume(name, "13Gi"))
        await cloud.settle(180)
        assert [cloud.vm(name)["roomReleased"] for name in ("web", "a")] == [True, True]
        cloud.controller.inventory.doubt()
        for name in ("web", "a"):
            cloud.edit(name, rootDisk={"size": "10Gi"})
        await cloud.settle(60)
        assert sorted(cloud.vm(name)["disks"][0]["size"] for name in ("web", "a")) == ["10Gi", "2Gi"]
        assert sorted(cloud.reason(name) or () for name in ("web", "a")) == [("False", "InsufficientCapacity"), ("True", "Stopped")]

    play(story, settings=replace(TIGHT, pool_capacity=20 * GIB))
