"""Networks: their segment for life, their addresses, and their end."""

from __future__ import annotations

import pytest

from tests.support.cloud import ZONE
from tests.support.vms import NETWORK, VMCloud, play, site, vm


def l2(name: str, segment: str = "") -> str:
    pinned = f", segment: {{vlan: {segment}}}" if segment else ""
    return f"kind: Network\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{zone: z1, type: L2{pinned}}}"


def vlan(cloud: VMCloud, name: str) -> int | None:
    found: int | None = cloud.status("Network", f"shop/{name}").get("segment", {}).get("vlan")
    return found


def reason(cloud: VMCloud, name: str) -> tuple[str, str] | None:
    return cloud.condition("Network", f"shop/{name}", "Ready")


def test_segment_comes_from_the_zone_and_stays() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(ZONE)
        cloud.apply(NETWORK)
        await cloud.settle(10)
        given = vlan(cloud, "front")
        assert given is not None
        assert 100 <= given <= 109
        assert reason(cloud, "front") == ("True", "Implemented")
        assert cloud.status("Network", "shop/front")["addresses"]["total"] == 253
        await cloud.restart()
        cloud.apply(ZONE.replace("start: 100, end: 109", "start: 200, end: 209"))
        await cloud.settle(30)
        assert vlan(cloud, "front") == given, "a range that shrinks takes nothing away"

    play(story)


def test_every_network_has_a_segment_of_its_own_until_there_are_none() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(ZONE)
        for number in range(11):
            cloud.apply(l2(f"n{number}"))
        await cloud.settle(30)
        given = [found for number in range(11) if (found := vlan(cloud, f"n{number}"))]
        assert sorted(given) == list(range(100, 110))
        [without] = [f"n{number}" for number in range(11) if vlan(cloud, f"n{number}") is None]
        assert reason(cloud, without) == ("False", "SegmentsExhausted")
        assert cloud.kstatus("Network", f"shop/{without}") == "InProgress"
        freed = next(f"n{number}" for number in range(11) if f"n{number}" != without)
        free = vlan(cloud, freed)
        cloud.delete("Network", f"shop/{freed}")
        await cloud.settle(60)
        assert vlan(cloud, without) == free

    play(story)


def test_pinned_segment_goes_to_the_oldest_and_to_nobody_by_chance() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(ZONE)
        cloud.apply(l2("old", "105"))
        cloud.apply(l2("young", "105"))
        for number in range(9):
            cloud.apply(l2(f"n{number}"))
        await cloud.settle(30)
        assert vlan(cloud, "old") == 105
        assert reason(cloud, "young") == ("False", "SegmentInUse")
        assert 105 not in [vlan(cloud, f"n{number}") for number in range(9)]
        cloud.delete("Network", "shop/old")
        await cloud.settle(60)
        assert vlan(cloud, "young") == 105

    play(story)


def test_zone_may_come_later() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(NETWORK)
        await cloud.settle(10)
        assert reason(cloud, "front") == ("False", "ZoneNotFound")
        assert not cloud.raw("Network", "shop/front")["metadata"].get("finalizers")
        cloud.apply(ZONE)
        await cloud.settle(10)
        assert reason(cloud, "front") == ("True", "Implemented")

    play(story)


@pytest.mark.parametrize(
    "subnet",
    [
        "{cidr: 10.1.0.0/24, ranges: [{start: 10.1.0.9, end: 10.1.0.2}]}",
        "{cidr: 10.1.0.0/24, gateway: 10.2.0.1}",
        "{cidr: 10.1.0.0/24, ranges: [{start: 10.9.0.1, end: 10.9.0.2}]}",
    ],
)
def test_bad_subnet_is_explained_and_nothing_is_given(subnet: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(ZONE)
        cloud.apply(f"kind: Network\nmetadata: {{name: bad, namespace: shop}}\nspec: {{zone: z1, type: Shared, subnet: {subnet}}}")
        await cloud.settle(10)
        assert reason(cloud, "bad") == ("False", "InvalidSubnet")
        assert cloud.kstatus("Network", "shop/bad") == "Failed"
        assert vlan(cloud, "bad") is None

    play(story)


def test_deletion_waits_for_vms_which_can_be_driven_meanwhile() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        assert cloud.status("Network", "shop/front")["addresses"]["allocated"] == 1
        cloud.delete("Network", "shop/front")
        await cloud.settle(30)
        assert reason(cloud, "front") == ("False", "InUse")
        assert "web" in cloud.message("Network", "shop/front")
        cloud.edit(powerState="Off")
        cloud.apply(vm("late"))
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.reason("late") == ("False", "NetworkNotReady")
        cloud.delete("VirtualMachine", "shop/late")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("Network", "shop/front")
        assert not cloud.controller.parts.addresses.records("shop/front")

    play(story)


def test_segment_and_addresses_outlive_all_statuses() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        before = vlan(cloud, "front"), cloud.vm()["ipAddress"]
        await cloud.controller.kill()
        cloud.wipe_status()
        cloud.apply(l2("young"))
        cloud.apply(vm("young"))
        await cloud.restart()
        await cloud.settle(120)
        assert (vlan(cloud, "front"), cloud.vm()["ipAddress"]) == before
        assert vlan(cloud, "young") != before[0]
        assert cloud.vm("young")["ipAddress"] != before[1]

    play(story)


def test_pinned_addresses() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        for name, ip in (("a", "10.1.0.7"), ("b", "10.1.0.7"), ("c", "10.9.0.1"), ("d", "10.1.0.1")):
            cloud.apply(vm(name, networks=[f"{{name: front, network: front, ip: {ip}}}"]))
        await cloud.settle(30)
        assert cloud.vm("a")["ipAddress"] == "10.1.0.7"
        assert cloud.reason("b") == ("False", "AddressInUse")
        assert cloud.kstatus("VirtualMachine", "shop/b") == "InProgress"
        assert cloud.reason("c") == ("False", "AddressOutsideSubnet")
        assert cloud.reason("d") == ("False", "AddressReserved")
        assert cloud.kstatus("VirtualMachine", "shop/c") == cloud.kstatus("VirtualMachine", "shop/d") == "Failed"
        assert len(cloud.datacentre.vms) == 1
        assert cloud.controller.parts.placements.size(cloud.raw("VirtualMachine", "shop/b")["metadata"]["uid"]) is None
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle(60)
        assert cloud.vm("b")["ipAddress"] == "10.1.0.7"

    play(story)
