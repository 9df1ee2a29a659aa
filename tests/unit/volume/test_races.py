"""Users who change their mind at any moment: at each step of a life, somebody does something else about the same volume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.vms import VMCloud, play, site, vm
from tests.support.volumes import has, made, mounted, mounts, ready, volume
from tests.unit.volume.test_crashes import QUICK, SLOW, never_broken

Deed = Callable[[VMCloud], None]


def delete_volume(cloud: VMCloud) -> None:
    if cloud.exists("Volume", "shop/data"):
        cloud.delete("Volume", "shop/data")


def delete_vm(cloud: VMCloud) -> None:
    if cloud.exists("VirtualMachine", "shop/web"):
        cloud.delete("VirtualMachine", "shop/web")


def another_wants_it(cloud: VMCloud) -> None:
    cloud.edit("other", volumes=mounts("data"))


def no_longer_wanted(cloud: VMCloud) -> None:
    if cloud.exists("VirtualMachine", "shop/web"):
        cloud.edit("web", volumes=[])


class Interrupted:
    """Does `deed` at the `number`-th step of the controller."""

    def __init__(self, cloud: VMCloud, number: int, deed: Deed) -> None:
        self.cloud, self.left, self.deed, self.done = cloud, number, deed, False

    async def point(self, name: str) -> None:
        self.left -= name.split()[1] not in ("observe_all", "list_hosts", "ensure_pool", "list_pools", "connect")
        if self.left <= 0 and not self.done:
            self.done = True
            self.deed(self.cloud)
            await asyncio.sleep(0.01)
        never_broken(self.cloud)


async def attach(cloud: VMCloud, number: int, deed: Deed) -> bool:
    """A volume is made and attached to a running VM, then to one that is new; `deed` at one step of that. Whether it was done."""
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(vm("other"))
    await cloud.settle(20)
    interrupted = Interrupted(cloud, number, deed)
    original = cloud.api._point
    cloud.api._point = interrupted.point
    cloud.apply(volume())
    cloud.apply(vm("web", mounted("data")))
    await cloud.settle(40)
    cloud.api._point = original
    await cloud.settle(60)
    never_broken(cloud)
    return interrupted.done


def after(cloud: VMCloud, deed: Deed) -> None:
    """Whatever the moment was, the end is the same."""
    if deed is delete_volume:
        gone = not cloud.exists("Volume", "shop/data")
        assert gone == (not made(cloud))
        assert gone or (has(cloud) == ["data"] and ready(cloud, type="DeletionBlocked") == ("True", "InUse"))
    elif deed is delete_vm:
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert ready(cloud) == ("True", "Ready")
        assert [each.name for each in cloud.datacentre.census.vms] == ["shop-other"]
    elif deed is another_wants_it:
        waiting = [name for name in ("web", "other") if cloud.reason(name) == ("False", "VolumeInUse")]
        assert len(waiting) == 1
        assert sorted(each.users != () for each in cloud.datacentre.census.volumes) == [True]
    else:
        assert (has(cloud), cloud.reason()) == ([], ("True", "Running"))
        assert ready(cloud) == ("True", "Ready")


@pytest.mark.parametrize("made_by", [QUICK, SLOW], ids=["at-once", "by-tasks"])
@pytest.mark.parametrize("deed", [delete_volume, delete_vm, another_wants_it, no_longer_wanted])
def test_a_change_of_mind_at_any_write(deed: Deed, made_by: object) -> None:
    number, done = 1, True
    while done:
        outcome: list[bool] = []

        async def story(cloud: VMCloud, number: int = number, outcome: list[bool] = outcome) -> None:
            outcome.append(await attach(cloud, number, deed))
            if outcome[0]:
                after(cloud, deed)

        play(story, settings=made_by)  # type: ignore[arg-type]
        done = outcome[0]
        number += 1
    assert number > 8, "there were steps to interrupt"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_volume_that_goes_while_the_intent_is_written_is_not_attached(when: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm())
        await cloud.settle(20)
        original, asked = cloud.api._point, cloud.points["before apply"]

        async def point(name: str) -> None:
            if name == f"{when} status of VirtualMachine" and cloud.exists("Volume", "shop/data"):
                cloud.delete("Volume", "shop/data")
                await asyncio.sleep(3)
            await original(name)

        cloud.api._point = point
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(30)
        assert cloud.points["before apply"] == asked, "nobody tried"
        assert not cloud.datacentre.census.volumes
        assert cloud.reason() == ("False", "VolumeNotFound")
        assert "volumes" not in cloud.vm()

    play(story)


def test_a_volume_that_is_still_being_made_is_deleted_after_that() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(volume())
        await cloud.settle(0.7)
        assert cloud.points["after create_volume"] == 1
        assert not cloud.datacentre.census.volumes
        cloud.delete("Volume", "shop/data")
        await cloud.settle(0.5)
        assert not cloud.points["before delete_volume"]
        await cloud.settle(20)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes

    play(story, settings=SLOW)
