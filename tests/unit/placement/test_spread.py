"""VMs that keep apart, pools that fail on one host, MAC addresses that two pin: told to users in their objects."""

from __future__ import annotations

from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from tests.support.vms import GIB, VMCloud, play, site, vm

APART = "placement: {antiAffinity: {group: web}}"
TOGETHER = "placement: {antiAffinity: {group: web, mode: Preferred}}"
WIDE = Settings(hosts=3, cpus=16, memory=64 * GIB, boot=1, shutdown=1)
MAC = "02:00:00:00:00:77"
PINNED = f'{{name: front, network: front, mac: "{MAC}"}}'


def test_required_waits_for_a_host_of_its_own() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        for name in "abc":
            cloud.apply(vm(name, APART))
        await cloud.settle(40)
        ready = [name for name in "abc" if cloud.reason(name) == ("True", "Running")]
        [waits] = set("abc") - set(ready)
        assert {cloud.vm(name)["host"] for name in ready} == {"h1", "h2"}
        assert cloud.vm(waits)["placementReport"]["rejected"] == {"AntiAffinity": 2}
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason(waits) == ("False", "NoFittingHost"), "groups are known again after a restart"
        cloud.delete("VirtualMachine", f"shop/{ready[0]}")
        await cloud.settle(90)
        assert cloud.reason(waits) == ("True", "Running")

    play(story, settings=WIDE)


def test_preferred_shares_when_it_must() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        for name in "abcd":
            cloud.apply(vm(name, TOGETHER))
        await cloud.settle(60)
        hosts = [cloud.vm(name)["host"] for name in "abcd"]
        assert sorted(hosts) == ["h1", "h1", "h2", "h2"]

    play(story, settings=WIDE)


def test_a_group_that_is_left_no_longer_counts() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(1))
        await cloud.settle(30)
        cloud.apply(vm("a", APART))
        await cloud.settle(30)
        cloud.apply(vm("b", APART))
        await cloud.settle(30)
        assert cloud.reason("b") == ("False", "NoFittingHost")
        cloud.edit("a", placement={})
        cloud.edit("b", hostname="again")
        await cloud.settle(60)
        assert cloud.reason("b") == ("True", "Running")

    play(story, settings=WIDE)


def test_a_shared_pool_that_fails_on_one_host_is_not_offered_there_until_it_works() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, object="host-00002", error="Busy")
        cloud.apply(site(2))
        await cloud.settle(60)
        assert cloud.status("StoragePool", "s1")["hostsFailing"] == ["h2"]
        for name in "abcd":
            cloud.apply(vm(name))
        cloud.apply(vm("pinned", "placement: {host: h2}"))
        await cloud.settle(60)
        assert {cloud.vm(name)["host"] for name in "abcd"} == {"h1"}
        assert cloud.vm("pinned")["placementReport"]["rejected"] == {"NoStoragePool": 1}
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert "hostsFailing" not in cloud.status("StoragePool", "s1")
        assert cloud.reason("pinned") == ("True", "Running")

    play(story, settings=WIDE)


def test_a_mac_address_that_another_vm_pins_is_refused_with_its_name() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(1))
        await cloud.settle(30)
        cloud.apply(vm("first", networks=[PINNED]))
        await cloud.settle(30)
        cloud.apply(vm("second", networks=[PINNED]))
        await cloud.settle(30)
        assert cloud.reason("first") == ("True", "Running")
        assert cloud.reason("second") == ("False", "MACAddressInUse")
        assert "shop/first (front)" in cloud.text("second")
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason("first") == ("True", "Running")
        assert cloud.reason("second") == ("False", "MACAddressInUse")
        cloud.delete("VirtualMachine", "shop/first")
        await cloud.settle(90)
        assert cloud.reason("second") == ("True", "Running")
        assert cloud.vm("second")["nics"][0]["mac"] == MAC

    play(story, settings=WIDE)
