"""Volumes whose VM is on a host that does not answer: nobody else gets them, and they are not deleted under it."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.keys import Key
from controller.volume.reconciler import LOOKS
from drivers.simulator.engine.actions import Act
from tests.support.vms import VMCloud, play, site, vm
from tests.support.volumes import edit, made, mounted, ready, status, text, volume

SOON = 60.0
"""Seconds: far less than LOOKS, after which the volume is looked at anyhow."""
H2 = ", placement: {host: h2}"


async def begin(cloud: VMCloud, extra: str = "") -> None:
    """Volume data is on VM web on h2."""
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(volume())
    cloud.apply(vm("web", mounted("data") + H2 + extra))
    await cloud.settle(60)
    assert cloud.vm()["host"] == "h2"


async def retained(cloud: VMCloud) -> None:
    """The VM is left on h2 without its object, h2 falls silent, and the controller starts anew."""
    await begin(cloud, ", deletionPolicy: Retain")
    cloud.delete("VirtualMachine", "shop/web")
    await cloud.settle(10)
    assert not cloud.exists("VirtualMachine", "shop/web")
    assert status(cloud)["attachedTo"]["host"] == "h2"
    cloud.datacentre.act(Act.CUT_HOST, "host-00002")
    await cloud.settle(30)
    await cloud.restart()
    await cloud.settle(30)


def users(cloud: VMCloud) -> int:
    return len(made(cloud)["data"].users)


def forget(cloud: VMCloud, name: str) -> None:
    """The VM's status is lost while nobody looks."""
    key = Key("VirtualMachine", "shop", name)
    raw = dict(cloud.api.objects[key])
    raw.pop("status")
    cloud.api._store(key, raw, "MODIFIED")


def test_a_retained_vm_on_a_silent_host_keeps_its_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await retained(cloud)
        assert status(cloud)["attachedTo"]["virtualMachine"] == "web"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert list(made(cloud)) == ["data"], "the VM may run and write"
        assert ready(cloud, type="DeletionBlocked") == ("True", "HostsNotObserved")
        assert "host h2" in text(cloud)
        assert "vireo.dev/force-delete" in text(cloud)
        cloud.datacentre.act(Act.HEAL_HOST, "host-00002")
        await cloud.settle(120)
        assert ready(cloud, type="DeletionBlocked") == ("True", "InUse")
        assert "left on host h2 as shop-web" in text(cloud)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(120)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes

    play(story)


@pytest.mark.parametrize("name", ["other", "web"])
def test_no_other_vm_gets_it_meanwhile(name: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await retained(cloud)
        cloud.apply(vm(name, mounted("data") + ", placement: {host: h1}"))
        await cloud.settle(90)
        assert cloud.reason(name) == ("False", "VolumeInUse")
        assert users(cloud) == 1
        cloud.datacentre.act(Act.HEAL_HOST, "host-00002")
        await cloud.settle(60)
        assert cloud.reason(name) == ("False", "VolumeInUse")
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(660)  # the hosts are looked at as a whole every ten minutes
        assert cloud.reason(name) == ("True", "Running")
        assert users(cloud) == 1

    play(story)


def test_a_retained_vm_goes_once_its_volume_has_it_on_record() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, ", deletionPolicy: Retain")
        answers, original = asyncio.Event(), cloud.api._point

        async def point(name: str) -> None:
            if name == "before status of Volume":
                await answers.wait()
            await original(name)

        cloud.api._point = point
        key = Key("Volume", "shop", "data")
        raw = dict(cloud.api.objects[key])
        raw["status"] = {name: value for name, value in raw["status"].items() if name != "attachedTo"}
        cloud.api._store(key, raw, "MODIFIED")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(20)
        assert cloud.exists("VirtualMachine", "shop/web"), "it would be forgotten who has the volume"
        answers.set()
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert status(cloud)["attachedTo"]["virtualMachine"] == "web"

    play(story)


async def forsaken(cloud: VMCloud) -> None:
    """The VM is gone, object and all, and the controller died before it wrote that the volume is free."""
    await begin(cloud)
    await cloud.controller.kill()
    cloud.datacentre.act(Act.DELETE_VM, "web")
    key = Key("VirtualMachine", "shop", "web")
    cloud.api._remove(key, cloud.api.objects[key])
    assert status(cloud)["attachedTo"]["host"] == "h2"


def test_a_volume_is_free_as_soon_as_its_host_has_answered() -> None:
    async def story(cloud: VMCloud) -> None:
        await forsaken(cloud)
        await cloud.restart()
        await cloud.settle(SOON)
        assert "attachedTo" not in status(cloud)

    play(story)


def test_a_new_controller_writes_nothing_of_volumes_whose_vm_is_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        await cloud.settle(SOON)
        before = cloud.writes
        await cloud.restart()
        await cloud.settle(2 * LOOKS)
        assert (cloud.writes, users(cloud)) == (before, 1)

    play(story)


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "both-lost"])
def test_a_vm_whose_status_is_lost_keeps_its_volume(record: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.act(Act.CUT_HOST, "host-00002")
        await cloud.settle(30)
        await cloud.controller.kill()
        forget(cloud, "web")
        if not record:
            key = Key("Volume", "shop", "data")
            raw = dict(cloud.api.objects[key])
            raw["status"] = {name: value for name, value in raw["status"].items() if name != "attachedTo"}
            cloud.api._store(key, raw, "MODIFIED")
        cloud.controller = cloud.make_controller()
        await cloud.controller.start()
        cloud.apply(vm("other", mounted("data") + ", placement: {host: h1}"))
        await cloud.settle(60)
        assert cloud.reason("other") == ("False", "VolumeInUse")
        edit(cloud, size="8Gi")
        await cloud.settle(60)
        assert ready(cloud) in {("False", "HostsNotObserved"), ("False", "HostDown")}
        assert status(cloud)["size"] == "5Gi", "not through a host that does not run the VM"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert list(made(cloud)) == ["data"]
        assert ready(cloud, type="DeletionBlocked") == ("True", "InUse")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00002")
        cloud.edit("web", volumes=[])
        await cloud.settle(180)
        assert not cloud.exists("Volume", "shop/data")

    play(story)
