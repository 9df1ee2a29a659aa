"""Volumes of VMs that were left on their hosts without an object: somebody else's from the moment when the VM is gone."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from tests.support.vms import VMCloud, play, site, vm
from tests.support.volumes import has, made, mounted, ready, status, volume

SOON = 5
"""Seconds: far less than until the next complete look at a host."""


async def leave(cloud: VMCloud) -> None:
    """A VM with a volume loses its object; another one wants the volume."""
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(volume())
    cloud.apply(vm("web", mounted("data") + ", deletionPolicy: Retain, placement: {host: h2}"))
    await cloud.settle(60)
    cloud.delete("VirtualMachine", "shop/web")
    await cloud.settle(30)
    assert not cloud.exists("VirtualMachine", "shop/web")
    cloud.apply(vm("other", mounted("data")))
    await cloud.settle(60)
    assert status(cloud)["attachedTo"]["host"] == "h2"
    assert cloud.reason("other") == ("False", "VolumeInUse")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_vm_that_is_deleted_by_hand_frees_its_volume_at_once(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await leave(cloud)
        if restarted:
            await cloud.restart()
            await cloud.settle(30)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(SOON)
        assert (cloud.reason("other"), has(cloud, "other")) == (("True", "Running"), ["data"])
        assert status(cloud)["attachedTo"]["virtualMachine"] == "other"

    play(story)


def test_so_does_a_volume_that_is_detached_by_hand() -> None:
    async def story(cloud: VMCloud) -> None:
        await leave(cloud)
        [identity] = cloud.datacentre.vm("web").volumes
        cloud.datacentre.act(Act.DETACH_VOLUME, "web", identity)
        await cloud.settle(SOON)
        assert (has(cloud, "web"), has(cloud, "other")) == ([], ["data"])

    play(story)


def test_a_volume_that_is_to_be_deleted_goes_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await leave(cloud)
        cloud.delete("VirtualMachine", "shop/other")
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        assert list(made(cloud)) == ["data"]
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(SOON)
        assert not made(cloud)
        assert not cloud.exists("Volume", "shop/data")

    play(story)


def test_a_host_that_can_t_tell_changes_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await leave(cloud)
        cloud.datacentre.fail("compute.observe", FaultKind.ERROR, count=None)
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await cloud.settle(20)
        assert ready(cloud) == ("True", "Ready")
        assert status(cloud)["attachedTo"]["host"] == "h2"
        cloud.datacentre.heal()

    play(story)


def test_a_vm_at_rest_costs_no_calls() -> None:
    async def story(cloud: VMCloud) -> None:
        await leave(cloud)
        before = cloud.points["before observe"]
        for _ in range(30):
            cloud.api.annotate(next(key for key in cloud.api.objects if key.kind == "Volume"), "touched", str(_))
            await asyncio.sleep(1)
        assert cloud.points["before observe"] == before

    play(story)
