"""An interface that is renamed, or whose entry another one takes, keeps the addresses that it pins: no two NICs ever have one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.simulator.engine.settings import Settings
from tests.support.vms import Stop, VMCloud, play, vm
from tests.unit.vm.nics import COLD, QUICK, SLOW, address_twice, declared, entry, former, given_away, held, made, nics

A, B, C = "10.1.0.10", "10.1.0.20", "10.1.0.30"
MAC_A, MAC_B = "02:00:00:00:aa:01", "02:00:00:00:aa:02"
HOW = pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])

CHANGES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "renamed": ([entry("front", A, MAC_A)], [entry("lan", A, MAC_A)]),
    "renamed, address alone": ([entry("front", A)], [entry("lan", A)]),
    "renamed, MAC address alone": ([entry("front", "", MAC_A)], [entry("lan", "", MAC_A)]),
    "swapped": ([entry("one", A, MAC_A), entry("two", B, MAC_B)], [entry("one", B, MAC_B), entry("two", A, MAC_A)]),
    "swapped in the list": ([entry("one", A, MAC_A), entry("two", B, MAC_B)], [entry("two", B, MAC_B), entry("one", A, MAC_A)]),
    "the first taken out": ([entry("one", A, MAC_A), entry("two", B, MAC_B)], [entry("one", B, MAC_B)]),
    "one put before": ([entry("one", A)], [entry("one", B), entry("two", A)]),
    "a ring": ([entry("one", A), entry("two", B), entry("three", C)], [entry("one", B), entry("two", C), entry("three", A)]),
    "a chain": ([entry("one", A), entry("two", B), entry("three", C)], [entry("one", B), entry("two", C)]),
    "to another network and back": ([entry("one", A)], [entry("one", "10.2.0.10", network="back"), entry("two", A)]),
}


def has(cloud: VMCloud, entries: list[dict[str, Any]]) -> bool:
    """Whether the VM has the declared NICs and no others, and the controller holds their addresses and no others."""
    found = nics(cloud)
    ours = {each.ip: each.name for each in found.values() if each.network == "shop/front"}
    return (
        {each["name"] for each in entries} == set(found)
        and all(each.get("ip") in (None, found[each["name"]].ip) for each in entries)
        and all(each.get("mac") in (None, found[each["name"]].mac) for each in entries)
        and held(cloud, name="web") == ours
        and not former(cloud)
    )


async def watched(cloud: VMCloud, seconds: float) -> None:
    for _ in range(int(seconds * 4)):
        await asyncio.sleep(0.25)
        assert not address_twice(cloud)
        assert not given_away(cloud)


@HOW
@pytest.mark.parametrize("change", CHANGES)
def test_it_keeps_what_it_pins(change: str, settings: Settings) -> None:
    before, after = CHANGES[change]
    first = before[0]

    async def story(cloud: VMCloud) -> None:
        await made(cloud, *before)
        cloud.apply(vm("other", networks=declared(entry("nic", first.get("ip", ""), first.get("mac", "")))))
        cloud.edit(networks=after)
        await watched(cloud, 40)
        assert cloud.reason() == ("True", "Running")
        assert has(cloud, after), (nics(cloud), held(cloud), former(cloud))
        kept = any((each.get("ip"), each.get("mac")) == (first.get("ip"), first.get("mac")) for each in after)
        waits = {("False", "AddressInUse"), ("False", "MACAddressInUse")}
        assert (cloud.reason("other") in waits) == kept, "nobody gets between"

    play(story, settings=settings)


@pytest.mark.parametrize("change", CHANGES)
def test_where_nics_change_while_the_vm_is_off_alone_it_waits_for_a_restart(change: str) -> None:
    before, after = CHANGES[change]

    async def story(cloud: VMCloud) -> None:
        await made(cloud, *before)
        cloud.edit(networks=after)
        await watched(cloud, 30)
        if change != "swapped in the list":
            assert cloud.reason(type="RestartRequired") == ("True", "ChangesPending")
        await cloud.restart()
        await watched(cloud, 10)
        cloud.edit(restartedAt="2026-11-20T11:00:00Z")
        await watched(cloud, 40)
        assert cloud.reason() == ("True", "Running")
        assert has(cloud, after), (nics(cloud), held(cloud), former(cloud))

    play(story, settings=COLD)


@pytest.mark.parametrize("change", ["renamed", "swapped"])
def test_wherever_the_controller_dies_meanwhile(change: str) -> None:
    before, after = CHANGES[change]

    def life(stop: Stop | None) -> VMCloud:
        async def story(cloud: VMCloud) -> None:
            await made(cloud, *before)
            cloud.points.clear()
            cloud.stop = stop
            cloud.edit(networks=after)
            for _ in range(30):
                await asyncio.sleep(0.5)
                assert not address_twice(cloud)
                if cloud.stopped.is_set():
                    cloud.stopped.clear()
                    await cloud.restart()
            await watched(cloud, 10)
            assert cloud.reason() == ("True", "Running")
            assert has(cloud, after), (nics(cloud), held(cloud), former(cloud))

        return play(story, settings=SLOW)

    points = life(None).points
    assert points["before apply"] >= 2, "one goes before the other comes"
    for number in range(1, points.total() + 1):
        stop = Stop(number)
        life(stop)
        assert stop.name, f"point {number} was never reached"


@HOW
def test_undone_before_it_is_done(settings: Settings) -> None:
    before, after = CHANGES["swapped"]

    async def story(cloud: VMCloud) -> None:
        await made(cloud, *before)
        for seconds in (0.5, 1.5, 2.5, 4.0):
            cloud.edit(networks=after)
            await watched(cloud, seconds)
            cloud.edit(networks=before)
            await watched(cloud, 30)
            assert cloud.reason() == ("True", "Running")
            assert has(cloud, before), (seconds, nics(cloud), held(cloud), former(cloud))

    play(story, settings=settings)


def test_one_that_gives_its_address_away_waits_for_the_one_that_it_pins_in_its_place() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, entry("one", A), entry("two", B))
        cloud.apply(vm("other", networks=declared(entry("nic", C))))
        await cloud.settle(30)
        before = nics(cloud)
        cloud.edit(networks=[entry("one", B), entry("two", C)])
        await watched(cloud, 30)
        assert cloud.reason() == ("False", "AddressInUse")
        assert "shop/other (nic)" in cloud.text()
        assert (nics(cloud), set(held(cloud))) == (before, {A, B, C}), "nothing is done by halves"
        cloud.delete("VirtualMachine", "shop/other")
        await watched(cloud, 90)
        assert cloud.reason() == ("True", "Running")
        assert has(cloud, [entry("one", B), entry("two", C)]), (nics(cloud), held(cloud), former(cloud))

    play(story)


def test_two_interfaces_that_pin_one_address() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, entry("one", A))
        cloud.edit(networks=[entry("one", A), entry("two", A)])
        await watched(cloud, 30)
        assert cloud.reason() == ("False", "AddressInUse")
        assert "shop/web (one)" in cloud.text()
        cloud.edit(networks=[entry("two", A), entry("three", A)])
        await watched(cloud, 30)
        assert cloud.reason() == ("False", "AddressInUse")
        assert "shop/web (two)" in cloud.text()
        assert held(cloud) == {A: "two"}

    play(story)


def test_an_address_that_another_interface_has_by_chance_stays_its_own() -> None:
    async def story(cloud: VMCloud) -> None:
        await made(cloud, entry("one"))
        address = nics(cloud)["one"].ip
        cloud.edit(networks=[entry("one"), entry("two", address)])
        await watched(cloud, 30)
        assert cloud.reason() == ("False", "AddressInUse")
        cloud.edit(networks=[entry("two", address)])
        await watched(cloud, 30)
        assert cloud.reason() == ("True", "Running")
        assert (nics(cloud)["two"].ip, list(nics(cloud))) == (address, ["two"])

    play(story)
