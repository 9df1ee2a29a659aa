"""A volume that a VM writes to is copied through that VM's host and no other, whatever the volume's status says at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import kept, ready, restore, snapshot, status, store
from tests.support.snapshots import text as why
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import edit, mounts, volume
from tests.support.volumes import ready as volume_ready
from tests.support.volumes import status as volume_status

QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 2))
COPIES = {"volumes.snapshot_volume", "volumes.restore_volume", "volumes.grow_volume"}


def watch_copies(cloud: VMCloud) -> list[str]:
    """Methods called through a host while a VM of another one runs with the volume; hosts here do not see each other."""
    wrong: list[str] = []
    service = cloud.datacentre.service
    plain = service.execute

    def execute(session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
        if method in COPIES:
            wrong.extend(
                f"{method} through {args[0]} while {each.host} has it"
                for each in cloud.datacentre.vms
                if args[2] in each.volumes and each.host != args[0]
            )
        return plain(session, method, args, faults)

    service.execute = execute  # type: ignore[method-assign]
    return wrong


async def begin(cloud: VMCloud) -> None:
    """A volume that was made through h1, and a VM on h2."""
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(volume())
    cloud.apply(vm(extra="placement: {host: h2}"))
    await cloud.settle(40)
    assert volume_status(cloud)["host"] == "h1"
    store(cloud, "old")


def hold_back(cloud: VMCloud, seconds: float) -> None:
    """The next write of the volume's status takes so long: what it says is out of date meanwhile."""
    plain, held = cloud.api._point, list[str]()

    async def point(name: str) -> None:
        if name == "before status of Volume" and not held:
            held.append(name)
            await asyncio.sleep(seconds)
        await plain(name)

    cloud.api._point = point


@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
def test_a_status_that_is_written_late_misleads_nobody(settings: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        wrong = watch_copies(cloud)
        hold_back(cloud, 30)
        cloud.edit(volumes=mounts("data"))
        await asyncio.sleep(8)
        assert "attachedTo" not in volume_status(cloud), "the volume's status is late"
        assert cloud.vm()["volumes"]
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(90)
        assert ready(cloud) == ("True", "Ready"), why(cloud)
        assert (status(cloud)["host"], wrong) == ("h2", [])

    play(story, settings=settings)


def a_snapshot(cloud: VMCloud) -> None:
    cloud.apply(snapshot(of="volume: data"))


def a_restore(cloud: VMCloud) -> None:
    cloud.apply(restore(to="first"))


def a_larger_size(cloud: VMCloud) -> None:
    edit(cloud, size="7Gi")


@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
@pytest.mark.parametrize("deed", [a_snapshot, a_restore, a_larger_size])
def test_a_vm_that_comes_at_any_step_has_its_volume_for_itself(deed: Callable[[VMCloud], None], settings: Settings) -> None:
    """The VM wants the volume at the first, second, … step of the work on it: the two never happen through two hosts."""

    async def story(cloud: VMCloud, number: int, done: list[bool]) -> None:
        await begin(cloud)
        cloud.apply(snapshot("first", of="volume: data"))
        await cloud.settle(20)
        wrong, left = watch_copies(cloud), [number]
        plain = cloud.api._point

        async def point(name: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                cloud.edit(volumes=mounts("data"))
                await asyncio.sleep(1.5 if number % 2 else 0.01)
            await plain(name)

        cloud.api._point = point
        deed(cloud)
        await cloud.settle(20)
        cloud.api._point = plain
        if left[0] > 0:
            cloud.edit(volumes=mounts("data"))
        await cloud.settle(120)
        done.append(left[0] <= 0)
        assert wrong == []
        assert (cloud.reason(), volume_ready(cloud)) == (("True", "Running"), ("True", "Ready"))
        assert volume_status(cloud)["attachedTo"]["virtualMachine"] == "web"

    number, reached = 1, True
    while reached:
        done: list[bool] = []
        play(lambda cloud, number=number, done=done: story(cloud, number, done), settings=settings)  # type: ignore[misc]
        reached = done[0]
        number += 1
    assert number > 6, "there were steps to come at"


def test_nobody_looks_into_a_volume_that_may_be_in_use_where_nobody_can_look() -> None:
    """Its VM's status is lost, and so is the connection to its host: the snapshot waits."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(30)
        wrong = watch_copies(cloud)
        await cloud.controller.kill()
        cloud.wipe_status()
        cloud.datacentre.act(Act.CUT_HOST, "host-00002")
        await cloud.restart()
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(120)
        assert kept(cloud) == []
        cloud.datacentre.act(Act.HEAL_HOST, "host-00002")
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready"), why(cloud)
        assert (kept(cloud), status(cloud)["host"], wrong) == (["snap"], "h2", [])

    play(story)
