"""The addresses of a NIC are given back when it was seen to be gone from its VM: never before, and always then."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from tests.support.vms import VMCloud, play, vm
from tests.unit.vm.nics import QUICK, SLOW, declared, entry, former, given_away, held, made, nics

FRONT, SECOND = entry("front", "10.1.0.10"), entry("second", "10.1.0.20", "02:00:00:00:aa:02")
LONG = replace(SLOW, durations={"compute.apply": 300.0})


def test_not_before_the_task_that_takes_it_off_has_ended() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.edit(networks=[FRONT])
        cloud.apply(vm("other", networks=declared(entry("nic", "10.1.0.20", "02:00:00:00:aa:02"))))
        for _ in range(12):
            await asyncio.sleep(0.5)
            assert not given_away(cloud)
            if "second" in nics(cloud):
                assert not cloud.datacentre.census.vms[1:]
        await cloud.settle(60)
        assert (list(nics(cloud)), former(cloud)) == (["front"], [])
        assert nics(cloud, "other")["nic"].ip == "10.1.0.20", "who waited has it now"

    play(story, settings=SLOW)


def test_the_status_tells_of_it_meanwhile() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.edit(networks=[FRONT])
        await cloud.settle(60)
        assert [nic["name"] for nic in cloud.vm()["nics"]] == ["front"]
        assert former(cloud) == [("second", "10.1.0.20")]
        assert cloud.vm()["formerNics"][0]["mac"] == "02:00:00:00:aa:02"
        await cloud.settle(300)
        assert former(cloud) == []
        assert held(cloud) == {"10.1.0.10": "front"}

    play(story, settings=LONG)


@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
@pytest.mark.parametrize("fault", [FaultKind.LOSE_REPLY, FaultKind.FORGET_TASK, FaultKind.ERROR, FaultKind.TASK_ERROR])
def test_also_when_the_call_that_took_it_off_failed(fault: FaultKind, settings: object) -> None:
    """What came with it in the same call may be what failed."""

    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.datacentre.fail("compute.apply", fault)
        cloud.edit(networks=[FRONT, entry("third", "10.1.0.30")])
        await cloud.settle(240)
        assert cloud.reason() == ("True", "Running")
        assert held(cloud) == {"10.1.0.10": "front", "10.1.0.30": "third"}
        assert former(cloud) == []

    play(story, settings=settings)  # type: ignore[arg-type]


def test_also_of_one_that_somebody_took_off_by_hand() -> None:
    """Removed on the hypervisor and in the spec in the same second: no call takes it off."""

    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "second")
        cloud.edit(networks=[FRONT])
        await cloud.settle(60)
        assert held(cloud) == {"10.1.0.10": "front"}

    play(story)


@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
def test_also_of_one_that_goes_to_another_network(settings: object) -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT)
        cloud.edit(networks=[entry("front", "10.2.0.10", network="back")])
        for _ in range(10):
            await asyncio.sleep(0.5)
            assert not given_away(cloud)
        await cloud.settle(60)
        assert (held(cloud), held(cloud, "back")) == ({}, {"10.2.0.10": "front"})
        assert nics(cloud)["front"].network == "shop/back"

    play(story, settings=settings)  # type: ignore[arg-type]


def test_a_mac_address_that_is_pinned_no_more_is_free_once_the_nic_is_gone() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.edit(networks=[FRONT, entry("second", "10.1.0.20")])
        await asyncio.sleep(1)
        assert nics(cloud)["second"].mac == "02:00:00:00:aa:02"
        macs = cloud.controller.parts.addresses.macs
        assert macs.holder("z1", "02:00:00:00:aa:02") is not None, "the task that takes it off works still"
        await cloud.settle(60)
        assert nics(cloud)["second"].mac != "02:00:00:00:aa:02"
        assert cloud.controller.parts.addresses.macs.holder("z1", "02:00:00:00:aa:02") is None

    play(story, settings=SLOW)


def test_after_a_crash_it_is_kept_though_its_host_does_not_answer() -> None:
    """Nobody tells the new controller of it but the status."""

    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        host = cloud.vm()["host"].replace("h", "host-0000")
        cloud.edit(networks=[FRONT])
        await cloud.settle(5)
        assert former(cloud) == [("second", "10.1.0.20")]
        cloud.datacentre.act(Act.CUT_HOST, host)
        await cloud.restart()
        await cloud.settle(90)
        cloud.apply(vm("other", networks=declared(entry("nic", "10.1.0.20"))))
        await cloud.settle(120)
        assert cloud.reason("other") == ("False", "AddressInUse")
        cloud.datacentre.act(Act.HEAL_HOST, host)
        await cloud.settle(600)
        assert list(nics(cloud)) == ["front"]
        assert cloud.reason("other") == ("True", "Running")
        assert nics(cloud, "other")["nic"].ip == "10.1.0.20"

    play(story, settings=LONG)


def test_a_task_that_ends_while_the_vm_waits_for_something_else_gives_it_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND)
        cloud.edit(networks=[FRONT])
        await asyncio.sleep(1)
        cloud.edit(offering="nope")
        await cloud.settle(120)
        assert cloud.reason() == ("False", "OfferingNotFound")
        assert list(nics(cloud)) == ["front"]
        assert (held(cloud), former(cloud)) == ({"10.1.0.10": "front"}, [])

    play(story, settings=SLOW)


def test_one_that_is_declared_again_before_it_is_gone_keeps_its_address() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, entry("second"))
        address = nics(cloud)["second"].ip
        cloud.edit(networks=[FRONT])
        await asyncio.sleep(1)
        await cloud.restart()
        await asyncio.sleep(1)
        assert former(cloud) == [("second", address)]
        cloud.edit(networks=[FRONT, entry("second")])
        await cloud.settle(90)
        assert nics(cloud)["second"].ip == address
        assert held(cloud)[address] == "second"

    play(story, settings=SLOW)


def test_a_network_is_not_let_go_while_a_nic_is_on_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, entry("second", network="back"))
        cloud.edit(networks=[FRONT])
        await cloud.settle(5)
        cloud.delete("Network", "shop/back")
        await cloud.settle(60)
        assert "second" in nics(cloud)
        assert cloud.exists("Network", "shop/back")
        await cloud.settle(300)
        assert list(nics(cloud)) == ["front"]
        assert not cloud.exists("Network", "shop/back")

    play(story, settings=LONG)


def test_one_that_stays_with_its_vm_without_an_object_keeps_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, FRONT, SECOND, extra="deletionPolicy: Retain")
        cloud.edit(networks=[FRONT])
        await cloud.settle(5)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(20)
        assert not cloud.exists("VirtualMachine", "shop/web")
        left = cloud.status("Network", "shop/front")["left"]
        assert {each["ip"] for each in left} == {"10.1.0.10", "10.1.0.20"}
        assert set(held(cloud)) == {"10.1.0.10", "10.1.0.20"}

    play(story, settings=LONG)
