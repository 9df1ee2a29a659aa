"""A Network that is deleted keeps its segment while VMs are on it that no object declares: no other tenant's VMs get among them."""

from __future__ import annotations

import pytest

from controller.network.left import LOOKS_WHILE_WAITED_FOR
from drivers.simulator.engine.actions import Act
from tests.support.adoption import ID
from tests.support.cloud import ZONE
from tests.support.vms import Stop, VMCloud, play

from .test_left import OURS, delete_by_hand, left, made, remove_host, retained, silence, unmanaged

OTHER = """
kind: Network
metadata: {name: other, namespace: tenant}
spec: {zone: z1, type: L2}
"""


async def deleted(cloud: VMCloud) -> int:
    """Delete the Network where the zone has no other VLAN; returns its own. Another tenant's Network wants one."""
    vlan = int(cloud.status("Network", "shop/front")["segment"]["vlan"])
    cloud.apply(ZONE.replace("{start: 100, end: 109}", f"{{start: {vlan}, end: {vlan}}}"))
    cloud.delete("Network", "shop/front")
    cloud.apply(OTHER)
    await cloud.settle(60)
    return vlan


def kept(cloud: VMCloud, instance: str) -> None:
    """The Network says what it waits for, and nobody else has its segment."""
    assert cloud.condition("Network", "shop/front", "Ready") == ("False", "InUse")
    assert cloud.condition("Network", "shop/front", "InUse") == ("True", "InUse")
    assert f"VM {instance} on host h1, left by shop/web" in cloud.message("Network", "shop/front")
    assert cloud.status("Network", "shop/front")["state"] == "Shutdown"
    assert cloud.condition("Network", "tenant/other", "Ready") == ("False", "SegmentsExhausted")
    assert "segment" not in cloud.status("Network", "tenant/other")


async def gone(cloud: VMCloud, vlan: int) -> None:
    """It is gone, and so is all that it held."""
    await cloud.settle(60)
    assert not cloud.exists("Network", "shop/front")
    assert cloud.status("Network", "tenant/other")["segment"] == {"vlan": vlan}
    assert cloud.controller.parts.addresses.macs.holder("z1", OURS) is None


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_it_goes_when_the_vm_has_gone(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        vlan = await deleted(cloud)
        if restarted:
            await cloud.restart()
            await cloud.settle(60)
        kept(cloud, instance)
        written = cloud.writes
        await cloud.settle(3600)
        kept(cloud, instance)
        assert cloud.writes == written
        delete_by_hand(cloud, instance)
        await gone(cloud, vlan)

    play(story)


def test_it_goes_when_its_interface_was_taken_off() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        vlan = await deleted(cloud)
        cloud.datacentre.act(Act.REMOVE_NIC, f"host-00001/{instance}", "front")
        await gone(cloud, vlan)

    play(story)


@pytest.mark.parametrize("vm_first", [True, False])
def test_one_that_is_deleted_together_with_its_vm_waits_too(vm_first: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud, "deletionPolicy: Retain")
        if vm_first:
            cloud.delete("VirtualMachine", "shop/web")
        vlan = await deleted(cloud)
        if not vm_first:
            assert "VirtualMachine/shop/web" in cloud.message("Network", "shop/front")
            cloud.delete("VirtualMachine", "shop/web")
            await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        kept(cloud, instance)
        delete_by_hand(cloud, instance)
        await gone(cloud, vlan)

    play(story)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_controller_that_dies_on_the_way_frees_nothing(number: int) -> None:
    """At each of its writes and calls while both go."""

    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud, "deletionPolicy: Retain")
        cloud.stop = Stop(number)
        cloud.delete("VirtualMachine", "shop/web")
        await deleted(cloud)
        cloud.stop = None
        await cloud.restart()
        await cloud.settle(180)
        assert not cloud.exists("VirtualMachine", "shop/web")
        kept(cloud, instance)

    play(story)


def test_one_without_our_mark_is_asked_for_more_often_while_it_is_waited_for() -> None:
    async def story(cloud: VMCloud) -> None:
        await unmanaged(cloud)
        vlan = await deleted(cloud)
        kept(cloud, ID)
        await cloud.settle(3600)
        kept(cloud, ID)
        delete_by_hand(cloud, ID)
        await cloud.settle(2 * LOOKS_WHILE_WAITED_FOR)
        await gone(cloud, vlan)

    play(story)


@pytest.mark.parametrize("unseen", ["silent", "removed"])
def test_where_nobody_can_look_somebody_must_say_that_it_is_gone(unseen: str) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        if unseen == "silent":
            silence(cloud)
        else:
            await remove_host(cloud)
        vlan = await deleted(cloud)
        await cloud.settle(3600)
        kept(cloud, instance)
        cloud.annotate("Network", "shop/front", "vireo.dev/free-left", instance)
        await gone(cloud, vlan)

    play(story)


def test_without_such_vms_it_goes_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        delete_by_hand(cloud, instance)
        await cloud.settle(120)
        assert left(cloud) == []
        await gone(cloud, await deleted(cloud))

    play(story)
