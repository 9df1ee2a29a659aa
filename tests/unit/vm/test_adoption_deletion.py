"""What becomes of an adopted VM when its object goes."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support import volumes
from tests.support.adoption import ID, IP, adopting, foreign, like, phase, taken, there
from tests.support.vms import VMCloud, play


@pytest.mark.parametrize("policy", ["", "deletionPolicy: Retain"], ids=["default", "Retain"])
def test_deleting_the_object_leaves_the_vm_as_it_was(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud, extra=policy)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(20)
        assert not cloud.exists("VirtualMachine", "shop/web")
        left = there(cloud)
        assert (left.owner, left.power, left.starts) == (None, Power.ON, 1)
        assert [disk.content for disk in cloud.datacentre.census.disks] == ["old.img"]
        assert [str(ip) for ip, _ in cloud.controller.parts.addresses.records("shop/front")] == [IP], "its guest uses it"
        cloud.apply(adopting("again", mode="Adopt"))
        await cloud.settle(20)
        assert phase(cloud, "again") == "Adopted"

    play(story)


def test_deleted_with_its_disks_if_that_is_declared() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud, extra="deletionPolicy: Delete")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(20)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert not cloud.datacentre.vms
        assert not cloud.datacentre.census.disks

    play(story)


def test_a_disk_that_another_vm_has_is_not_deleted() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud, extra="deletionPolicy: Delete")
        foreign(cloud, like(cloud), instance=ID.replace("1", "2"))
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.exists("VirtualMachine", "shop/web")
        assert cloud.reason() == ("False", "HypervisorConflict")
        assert there(cloud).power is Power.ON
        cloud.edit(deletionPolicy="Retain")
        await cloud.settle(90)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert there(cloud).owner is None

    play(story)


def test_deletion_waits_for_a_host_that_does_not_answer() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(60)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.condition("VirtualMachine", "shop/web", "DeletionBlocked") == ("True", "DeletionBlocked")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(90)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert there(cloud).owner is None

    play(story)


def test_one_that_has_volumes_keeps_its_mark() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        cloud.apply(volumes.volume())
        cloud.edit(volumes=volumes.mounts("data"))
        await cloud.settle(60)
        assert [each.name for each in there(cloud).volumes.values()] == ["data"]
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert there(cloud).owner is not None
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert cloud.exists("Volume", "shop/data")

    play(story)
