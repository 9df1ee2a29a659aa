"""Pools that a host has and nobody declares there: they go when it is back, when their VM is gone, and with the Host."""

from __future__ import annotations

import pytest

from drivers.errors import Conflict, Transient
from drivers.types import Capability, HostID, PoolSpec
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, play
from tests.support.hypervisors import ALL, Hang, Hypervisor, host

OTHER = POOL.replace("name: s1", "name: s2").replace("/srv/vms", "/srv/other")
TEN_MINUTES = 600.0


def start(cloud: Cloud, *paths: str) -> Hypervisor:
    """A host that has these pools already."""
    hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
    hypervisor.defined = {(HostID("h1"), path): PoolSpec(f"was{path.replace('/', '-')}", path) for path in paths}
    return hypervisor


def has(hypervisor: Hypervisor) -> list[str]:
    return sorted(path for _, path in hypervisor.defined)


def test_they_go_at_the_first_contact_and_declared_ones_stay_under_whatever_name() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, "/srv/vms", "/srv/lost")
        cloud.apply(BASE)
        await cloud.settle(20)
        assert has(hypervisor) == ["/srv/vms"]
        assert cloud.kstatus("StoragePool", "s1") == "Current"
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_a_host_that_was_away_when_its_pool_was_deleted_lets_it_go_when_it_is_back() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.hypervisors["fake://h2"] = Hypervisor(host("h2"))
        cloud.apply("\n---\n".join([BASE, HOST.replace("h1", "h2"), OTHER]))
        await cloud.settle()
        hypervisor.faults["*"] = Transient("gone")
        await cloud.settle(60)
        cloud.delete("StoragePool", "s2")
        await cloud.settle(30)
        assert not cloud.exists("StoragePool", "s2")
        assert "LeftOnHosts" in cloud.events("s2")
        assert has(hypervisor) == ["/srv/other", "/srv/vms"]
        await cloud.restart()
        await cloud.settle(60)
        hypervisor.faults.clear()
        await cloud.settle(90)
        assert has(hypervisor) == ["/srv/vms"]

    play(story)


def test_what_a_vm_still_uses_goes_within_ten_minutes_after_it() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply("\n---\n".join([BASE, OTHER]))
        await cloud.settle()
        hypervisor.faults["release_pool"] = Conflict("the VM old has a disk there")
        cloud.delete("StoragePool", "s2")
        await cloud.settle(30)
        assert not cloud.exists("StoragePool", "s2")
        await cloud.settle(2 * TEN_MINUTES)
        assert has(hypervisor) == ["/srv/other", "/srv/vms"]
        hypervisor.faults.clear()
        await cloud.settle(TEN_MINUTES)
        assert has(hypervisor) == ["/srv/vms"]

    play(story)


def test_looks_are_rare_and_cost_no_write() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        assert hypervisor.calls["list_pools"] == 1
        before = cloud.writes
        for number in range(60):
            cloud.controller.enqueue(next(key for key in cloud.api.objects if key.kind == "Host"))
            await cloud.settle(60)
            assert hypervisor.calls["list_pools"] <= 1 + (number + 3) * 60 // 540
        assert hypervisor.calls["list_pools"] >= 6
        assert cloud.writes == before
        assert hypervisor.calls["release_pool"] == 0

    play(story)


@pytest.mark.parametrize("fault", [Hang(), Transient("no"), KeyError("a defect")])
def test_a_look_that_fails_holds_up_nothing(fault: Exception) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, "/srv/lost")
        hypervisor.faults["list_pools"] = fault
        cloud.apply(BASE)
        await cloud.settle(30)
        assert cloud.kstatus("Host", "h1") == "Current"
        assert cloud.kstatus("StoragePool", "s1") == "Current"
        hypervisor.faults.clear()
        await cloud.settle(TEN_MINUTES)
        assert has(hypervisor) == ["/srv/vms"]

    play(story)


def test_a_hypervisor_without_pools_is_not_asked() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host(), capabilities=ALL - {Capability.STORAGE})
        cloud.apply("\n---\n".join([ZONE, POD, CLUSTER, HOST]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")
        assert hypervisor.calls["list_pools"] == 0

    play(story)


# The Host goes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
def test_a_host_that_goes_lets_go_of_all(restarted: bool) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.hypervisors["fake://h2"] = Hypervisor(host("h2"))
        cloud.apply("\n---\n".join([BASE, HOST.replace("h1", "h2"), OTHER]))
        await cloud.settle()
        if restarted:
            await cloud.controller.kill()
        cloud.delete("Host", "h1")
        if restarted:
            await cloud.restart()
        await cloud.settle(20)
        assert not cloud.exists("Host", "h1")
        assert has(hypervisor) == []
        assert has(cloud.hypervisors["fake://h2"]) == ["/srv/other", "/srv/vms"]
        assert "PoolsLeft" not in cloud.events("h1")

    play(story)


def test_what_it_does_not_let_go_is_told_and_it_goes() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply("\n---\n".join([BASE, OTHER]))
        await cloud.settle()
        hypervisor.faults["release_pool"] = Conflict("the VM old has a disk there")
        cloud.delete("Host", "h1")
        await cloud.settle(10)
        assert not cloud.exists("Host", "h1")
        assert cloud.events("h1").count("PoolsLeft") == 1
        assert has(hypervisor) == ["/srv/other", "/srv/vms"]

    play(story)


@pytest.mark.parametrize("call", ["list_pools", "release_pool"])
def test_one_that_hangs_is_given_up(call: str) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        hypervisor.faults[call] = Hang()
        cloud.delete("Host", "h1")
        await cloud.settle(20)
        assert cloud.condition("Host", "h1", "Ready") == ("False", "LettingPoolsGo")
        assert cloud.kstatus("Host", "h1") == "Terminating"
        await cloud.settle(120)
        assert not cloud.exists("Host", "h1")
        assert "PoolsLeft" in cloud.events("h1")

    play(story)


def test_one_that_does_not_answer_goes_at_once() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        hypervisor.faults["*"] = Transient("gone")
        await cloud.settle(60)
        await cloud.restart()
        cloud.delete("Host", "h1")
        await cloud.settle(60)
        assert not cloud.exists("Host", "h1")
        assert has(hypervisor) == ["/srv/vms"]

    play(story)


def test_a_second_name_for_a_hypervisor_takes_nothing_from_the_first_when_it_goes() -> None:
    async def story(cloud: Cloud) -> None:
        for name in ("h1", "twin"):
            cloud.hypervisors[f"fake://{name}"] = Hypervisor(host("n", native_id="same"))
        cloud.apply(BASE)
        await cloud.settle()
        twin = cloud.hypervisors["fake://twin"]
        twin.defined = cloud.hypervisors["fake://h1"].defined
        cloud.apply(HOST.replace("h1", "twin"))
        await cloud.settle()
        assert cloud.condition("Host", "twin", "Stalled") == ("True", "DuplicateHost")
        cloud.delete("Host", "twin")
        await cloud.settle()
        assert twin.calls["release_pool"] == 0
        assert len(twin.defined) == 1

    play(story)
