"""Addresses of VMs that stay in the hypervisor when their object goes: nobody else gets them while the guest may use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from tests.support.adoption import ID, IP, MAC, adopting, foreign, like, ready
from tests.support.vms import Stop, VMCloud, play, site, vm

PINNED = "10.1.0.9"
OURS = "02:00:00:00:00:09"
NIC = f'{{name: front, network: front, ip: {PINNED}, mac: "{OURS}"}}'
HOUR = 3600.0


def left(cloud: VMCloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.status("Network", "shop/front").get("left", [])
    return found


def holders(cloud: VMCloud) -> dict[str, str]:
    return {str(ip): owner.name for ip, owner in cloud.controller.parts.addresses.records("shop/front")}


async def made(cloud: VMCloud, extra: str = "", hosts: int = 1) -> str:
    """VM `web` with a pinned address; returns its instance."""
    cloud.apply(site(hosts))
    await cloud.settle(30)
    cloud.apply(vm(extra=extra, networks=[NIC]))
    await cloud.settle(40)
    assert cloud.vm()["ipAddress"] == PINNED
    return str(cloud.vm()["instanceID"])


async def retained(cloud: VMCloud, hosts: int = 1) -> str:
    """The same, left in the hypervisor."""
    instance = await made(cloud, "deletionPolicy: Retain", hosts)
    cloud.delete("VirtualMachine", "shop/web")
    await cloud.settle(30)
    assert not cloud.exists("VirtualMachine", "shop/web")
    return instance


async def refused(cloud: VMCloud, by: str = "shop/web") -> None:
    """Another VM that wants the address waits, and is told whose it is; likewise one that wants the MAC address."""
    cloud.apply(vm("ip", networks=[f"{{name: front, network: front, ip: {PINNED}}}"]))
    cloud.apply(vm("mac", networks=[f'{{name: front, network: front, mac: "{OURS}"}}']))
    await cloud.settle(60)
    assert cloud.reason("ip") == ("False", "AddressInUse")
    assert cloud.reason("mac") == ("False", "MACAddressInUse")
    assert by in cloud.text("ip")
    assert by in cloud.text("mac")


async def given(cloud: VMCloud) -> None:
    """They have got what they wanted."""
    await cloud.settle(120)
    assert (cloud.reason("ip"), cloud.vm("ip")["ipAddress"]) == (("True", "Running"), PINNED)
    assert (cloud.reason("mac"), cloud.vm("mac")["nics"][0]["mac"]) == (("True", "Running"), OURS)
    assert left(cloud) == []


def silence(cloud: VMCloud) -> None:
    cloud.datacentre.fail("*", FaultKind.HANG, count=None)


def delete_by_hand(cloud: VMCloud, instance: str) -> None:
    cloud.datacentre.act(Act.DELETE_VM, f"host-00001/{instance}")


async def remove_host(cloud: VMCloud) -> None:
    """Take the only host out of the cloud; what runs there goes on."""
    for kind, name in (("StoragePool", "s1"), ("Host", "h1")):
        uid = cloud.raw(kind, name)["metadata"]["uid"]
        cloud.annotate(kind, name, "vireo.dev/force-delete", uid)
        cloud.delete(kind, name)
        await cloud.settle(60)
    assert not cloud.exists("Host", "h1")


def test_what_stays_is_on_record_and_kept_from_others_until_the_vm_is_gone() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        [entry] = [dict(each) for each in left(cloud)]
        assert entry.pop("uid").startswith("uid-")
        assert entry == {
            "instanceID": instance,
            "name": "front",
            "virtualMachine": "shop/web",
            "host": "h1",
            "mac": OURS,
            "ip": PINNED,
        }
        assert cloud.status("Network", "shop/front")["addresses"]["allocated"] == 1
        await refused(cloud)
        delete_by_hand(cloud, instance)
        await given(cloud)

    play(story)


def test_they_are_kept_by_a_controller_that_cannot_see_the_host() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        silence(cloud)
        await cloud.settle(120)
        await cloud.restart()
        await cloud.settle(120)
        assert holders(cloud) == {PINNED: "shop/web"}
        cloud.datacentre.heal()
        await cloud.settle(120)
        await refused(cloud)
        delete_by_hand(cloud, instance)
        await given(cloud)

    play(story)


def test_a_vm_that_was_given_up_while_its_host_was_silent_keeps_them() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud)
        silence(cloud)
        await cloud.settle(120)
        cloud.annotate(
            "VirtualMachine", "shop/web", "vireo.dev/force-delete", cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"]
        )
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        await cloud.restart()
        await cloud.settle(60)
        assert holders(cloud) == {PINNED: "shop/web"}
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert [each["instanceID"] for each in left(cloud)] == [instance]
        await refused(cloud)
        delete_by_hand(cloud, instance)
        await given(cloud)

    play(story)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_one_that_was_removed_with_its_host_keeps_them_until_somebody_says_that_it_is_gone(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        await remove_host(cloud)
        if restarted:
            await cloud.restart()
        await cloud.settle(2 * HOUR)
        assert holders(cloud) == {PINNED: "shop/web"}
        cloud.annotate("Network", "shop/front", "vireo.dev/free-left", "another-one")
        await cloud.settle(30)
        assert len(left(cloud)) == 1
        cloud.annotate("Network", "shop/front", "vireo.dev/free-left", f"another-one, {instance}")
        await cloud.settle(30)
        assert (left(cloud), holders(cloud)) == ([], {})

    play(story)


def test_one_whose_hypervisor_comes_back_as_another_host_is_seen_again() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        await remove_host(cloud)
        cloud.apply(site(1).replace("name: h1", "name: again"))
        await cloud.settle(120)
        assert [(each["instanceID"], each["host"]) for each in left(cloud)] == [(instance, "again")]
        delete_by_hand(cloud, instance)
        await cloud.settle(120)
        assert (left(cloud), holders(cloud)) == ([], {})

    play(story)


async def unmanaged(cloud: VMCloud) -> None:
    """A VM that was adopted and let go: it has no mark of ours any more."""
    await ready(cloud)
    foreign(cloud, like(cloud))
    cloud.apply(adopting(mode="Adopt"))
    await cloud.settle(60)
    assert cloud.reason() == ("True", "Running")
    cloud.delete("VirtualMachine", "shop/web")
    await cloud.settle(60)
    assert not cloud.exists("VirtualMachine", "shop/web")


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_a_vm_without_our_mark_is_asked_for_now_and_then(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await unmanaged(cloud)
        if restarted:
            await cloud.restart()
            await cloud.settle(60)
        await cloud.settle(120)
        before = cloud.writes
        await cloud.settle(HOUR)
        assert [(each["instanceID"], each["mac"], each["ip"]) for each in left(cloud)] == [(ID, MAC, IP)]
        assert holders(cloud) == {IP: "shop/web"}
        assert cloud.writes == before
        delete_by_hand(cloud, ID)
        await cloud.settle(1300)
        assert (left(cloud), holders(cloud)) == ([], {})

    play(story)


def test_an_interface_that_was_taken_off_is_free_though_the_vm_stays() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await retained(cloud)
        cloud.datacentre.act(Act.REMOVE_NIC, f"host-00001/{instance}", "front")
        await cloud.settle(HOUR)
        assert (left(cloud), holders(cloud)) == ([], {})

    play(story)


@pytest.mark.parametrize("leave", [retained, unmanaged])
def test_the_object_that_adopts_it_has_them_again(leave: Callable[[VMCloud], Any]) -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        await leave(cloud)
        cloud.apply(adopting("heir", mode="Adopt", instance=left(cloud)[0]["instanceID"]))
        [before] = holders(cloud)
        await cloud.settle(120)
        assert cloud.reason("heir") == ("True", "Running")
        assert (cloud.vm("heir")["ipAddress"], holders(cloud)) == (before, {before: "shop/heir"})
        assert left(cloud) == []
        cloud.delete("VirtualMachine", "shop/heir")
        await cloud.settle(60)
        assert [each["virtualMachine"] for each in left(cloud)] == ["shop/heir"]
        assert holders(cloud) == {before: "shop/heir"}

    play(story)


def test_those_of_a_vm_whose_object_was_lost_are_on_record_too() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud)
        cloud.api.objects.pop(next(key for key in cloud.api.objects if key.kind == "VirtualMachine"))
        await cloud.restart()
        await cloud.settle(120)
        assert [each["instanceID"] for each in left(cloud)] == [instance]
        silence(cloud)
        await cloud.restart()
        await cloud.settle(120)
        assert holders(cloud) == {PINNED: "shop/web"}

    play(story)


def test_a_record_that_was_lost_is_written_anew() -> None:
    async def story(cloud: VMCloud) -> None:
        await retained(cloud)
        before = left(cloud)
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(180)
        assert left(cloud) == before
        assert holders(cloud) == {PINNED: "shop/web"}

    play(story)


def test_a_vm_that_is_deleted_with_its_object_leaves_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(HOUR)
        assert (left(cloud), holders(cloud)) == ([], {})
        assert all("left" not in raw.get("status", {}) for raw in cloud.api.history if raw["kind"] == "Network")

    play(story)


def test_a_network_that_is_paused_keeps_nobody_waiting() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, "deletionPolicy: Retain")
        cloud.annotate("Network", "shop/front", "vireo.dev/paused", "true")
        await cloud.settle(10)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")
        cloud.annotate("Network", "shop/front", "vireo.dev/paused", "false")
        await cloud.settle(120)
        assert len(left(cloud)) == 1, "it is among the orphans of its host"

    play(story)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_controller_that_dies_on_the_way_loses_none(number: int) -> None:
    """At each of its writes and calls; not for a moment does anybody else get the address."""

    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud, "deletionPolicy: Retain")
        cloud.apply(vm("ip", networks=[f"{{name: front, network: front, ip: {PINNED}}}"]))
        await cloud.settle(60)
        cloud.stop = Stop(number)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        cloud.stop = None
        await cloud.restart()
        await cloud.settle(180)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert [each["instanceID"] for each in left(cloud)] == [instance]
        assert cloud.reason("ip") == ("False", "AddressInUse")

    play(story)


NONSENSE = ["", "nonsense", "ff:ff:ff:ff:ff:ff", "x" * 5000]


@pytest.mark.parametrize("mac", NONSENSE)
def test_what_a_hypervisor_makes_up_is_not_written(mac: str) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await made(cloud)
        cloud.api.objects.pop(next(key for key in cloud.api.objects if key.kind == "VirtualMachine"))
        nics = next(each for each in cloud.datacentre.vms if each.instance == instance).nics
        nics["front"] = replace(nics["front"], mac=mac)
        await cloud.restart()
        await cloud.settle(120)
        assert left(cloud) == []
        assert cloud.kstatus("Network", "shop/front") == "Current"

    play(story)
