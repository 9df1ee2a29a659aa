"""Deleting volumes: what stays, what waits, what is given up."""

from __future__ import annotations

from drivers.simulator.engine.actions import Act
from tests.support.vms import VMCloud, play, vm
from tests.support.volumes import begin, local_pools, made, mounted, ready, status, text, volume

FORCE = "vireo.dev/force-delete"


def test_retain_leaves_the_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(extra="deletionPolicy: Retain"))
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        assert not cloud.exists("Volume", "shop/data")
        assert len(cloud.datacentre.census.volumes) == 1
        assert "Retained" in cloud.events("data")

    play(story)


def test_waits_for_a_host_that_does_not_answer() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(), volume(extra="pool: local-h1"))
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready"), "nothing is to be done, so nobody is missed"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        assert ready(cloud, type="DeletionBlocked") == ("True", "PoolNotReady")
        assert FORCE in text(cloud)
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(90)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes

    play(story)


def test_given_up_by_annotation() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(), volume(extra="pool: local-h1"))
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(120)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        cloud.annotate("Volume", "shop/data", FORCE, cloud.raw("Volume", "shop/data")["metadata"]["uid"])
        await cloud.settle(10)
        assert not cloud.exists("Volume", "shop/data")
        assert "ForceDeleted" in cloud.events("data")

    play(story)


def test_a_retained_vm_keeps_its_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data") + ", deletionPolicy: Retain"))
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(10)
        cloud.apply(vm("other", mounted("data")))
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert list(made(cloud)) == ["data"]
        assert ready(cloud, type="DeletionBlocked") == ("True", "InUse")
        assert cloud.reason("other") == ("False", "VolumeNotReady")

    play(story)


def test_deleted_together_with_its_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")))
        cloud.delete("Volume", "shop/data")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes
        assert not cloud.datacentre.census.vms

    play(story)


def test_of_a_volume_that_is_being_deleted_a_vm_is_not_given_a_share() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")), vm("other"))
        cloud.delete("Volume", "shop/data")
        await cloud.settle(5)
        cloud.edit("other", volumes=[{"name": "data", "volume": "data"}])
        await cloud.settle(20)
        assert cloud.reason("other") == ("False", "VolumeNotReady")
        assert status(cloud)["attachedTo"]["virtualMachine"] == "web"
        cloud.edit("web", volumes=[])
        await cloud.settle(20)
        assert not cloud.datacentre.census.volumes
        assert cloud.reason("other") == ("False", "VolumeNotFound")

    play(story)
