"""Growing a volume while VMs come and go: always through the host of the one that has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import edit, has, job, made, mounted, mounts, ready, status, volume


def watch(cloud: VMCloud) -> list[tuple[object, object]]:
    """For each call that grows a volume, the host that it was made to and the one whose VM had the volume then."""
    execute, seen = cloud.datacentre.service.execute, []

    def spy(session: str, method: str, args: tuple[Any, ...], faults: Any) -> Any:
        if method == "volumes.grow_volume":
            seen.append((args[0], next((each.host for each in cloud.datacentre.vms if each.volumes), None)))
        return execute(session, method, args, faults)

    cloud.datacentre.service.execute = spy  # type: ignore[method-assign]
    return seen


def slow(cloud: VMCloud, kind: str) -> None:
    """The next write of a status of this kind takes four seconds, before it takes effect or after."""
    original, done = cloud.api._point, []

    async def point(name: str) -> None:
        if name == f"before status of {kind}" and not done:
            done.append(True)
            await asyncio.sleep(4)
        await original(name)

    cloud.api._point = point


@pytest.mark.parametrize("written_late", ["Volume", "VirtualMachine"])
@pytest.mark.parametrize("first", ["grow", "attach"])
def test_a_vm_that_comes_while_the_volume_grows(written_late: str, first: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm("web", "placement: {host: h2}"))
        await cloud.settle(40)
        assert status(cloud)["host"] == "h1"
        calls = watch(cloud)
        slow(cloud, written_late)
        deeds = [lambda: edit(cloud, size="8Gi"), lambda: cloud.edit("web", volumes=mounts("data"))]
        for deed in deeds if first == "grow" else reversed(deeds):
            deed()
            await cloud.settle(0.5)
        await cloud.settle(120)
        assert calls
        assert all(had in (None, asked) for asked, had in calls), "another host would write under the running VM"
        assert (status(cloud)["size"], job(cloud)) == ("8Gi", ("ResizeVolume", "Succeeded"))
        assert (has(cloud), cloud.reason()) == (["data"], ("True", "Running"))

    play(story)


def test_one_that_can_not_grow_now_is_free_for_other_work() -> None:
    """The host grows disks of stopped VMs only."""
    able = frozenset(Capability) - {Capability.DISK_GROW_LIVE}

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(1))
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm("web", mounted("data")))
        await cloud.settle(60)
        edit(cloud, size="8Gi")
        await cloud.settle(60)
        assert ready(cloud) == ("False", "GrowNotPossible")
        assert job(cloud) == ("ResizeVolume", "Cancelled")
        cloud.edit("web", powerState="Off")
        await cloud.settle(90)
        assert (status(cloud)["size"], job(cloud)) == ("8Gi", ("ResizeVolume", "Succeeded"))

    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, capabilities=able))


def never_ready_too_small(cloud: VMCloud) -> None:
    """Have every status that is written looked at: who says Ready of the size that is declared has it."""
    original = cloud.api._point

    async def point(name: str) -> None:
        if name == "after status of Volume":
            declared, said = cloud.api.objects[Key("Volume", "shop", "data")], status(cloud)
            if ready(cloud) == ("True", "Ready") and said["observedGeneration"] == declared["metadata"]["generation"]:
                assert said["size"] == declared["spec"]["size"]
        await original(name)

    cloud.api._point = point


@pytest.mark.parametrize("method", ["volumes.create_volume", "volumes.grow_volume"])
@pytest.mark.parametrize("after", [0.5, 3.0, 5.5])
def test_one_that_is_declared_larger_while_it_is_worked_on(method: str, after: float) -> None:
    """The work under way is for the size of before: the volume is not Ready until it has that of now."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(1))
        await cloud.settle(30)
        never_ready_too_small(cloud)
        cloud.apply(volume())
        if method == "volumes.grow_volume":
            await cloud.settle(30)
            edit(cloud, size="6Gi")
        await cloud.settle(after)
        edit(cloud, size="8Gi")
        await cloud.settle(30)
        assert (ready(cloud), job(cloud)) == (("True", "Ready"), ("ResizeVolume", "Succeeded"))
        assert [each.size for each in made(cloud).values()] == [8 * GIB]

    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, durations={method: 4.0}))
