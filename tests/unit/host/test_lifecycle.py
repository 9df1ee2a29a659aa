"""Hosts that are the same hypervisor, that became another one, and that go."""

from __future__ import annotations

import pytest

from controller.runtime.keys import Key
from drivers.types import Endpoint
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, Controller, play, vm
from tests.support.hypervisors import Hypervisor, host

PLACE = "\n---\n".join([ZONE, POD, CLUSTER])
TWIN = HOST.replace("h1", "twin")


def two_names_of_one_hypervisor(cloud: Cloud) -> None:
    cloud.hypervisors["fake://h1"] = Hypervisor(host("n", native_id="same"))
    cloud.hypervisors["fake://twin"] = Hypervisor(host("n", native_id="same"))


@pytest.mark.parametrize("seed", range(4))
def test_second_name_for_a_hypervisor_is_refused_and_nothing_scheduled_on_it(seed: int) -> None:
    async def story(cloud: Cloud) -> None:
        two_names_of_one_hypervisor(cloud)
        cloud.apply("\n---\n".join([PLACE, HOST, TWIN]))
        await cloud.settle()
        winner, loser = sorted(("h1", "twin"), key=lambda name: cloud.kstatus("Host", name) != "Current")
        assert cloud.kstatus("Host", winner) == "Current"
        assert cloud.condition("Host", loser, "Stalled") == ("True", "DuplicateHost")
        assert cloud.condition("Host", loser, "Schedulable") == ("False", "DuplicateHost")
        assert winner in cloud.message("Host", loser)
        assert not cloud.raw("Host", loser)["metadata"].get("finalizers")
        link = cloud.controller.inventory.link(loser)
        assert link is not None
        assert not link.up

    play(story, seed=seed)


@pytest.mark.parametrize("seed", range(12))
def test_two_names_that_connect_at_one_moment_are_never_both_let_in(seed: int) -> None:
    """Whoever is first wins at once, before anything of it is written; the older one that comes a moment later does not."""

    async def story(cloud: Cloud) -> None:
        two_names_of_one_hypervisor(cloud)
        cloud.apply("\n---\n".join([PLACE, HOST, TWIN] if seed % 2 else [PLACE, TWIN, HOST]))
        let_in: set[str] = set()
        for _ in range(400):
            await cloud.settle(0.05)
            links = {name: cloud.controller.inventory.link(name) for name in ("h1", "twin")}
            let_in |= {raw["metadata"]["name"] for raw in cloud.api.history if raw["metadata"].get("finalizers")} & set(links)
            ready = {
                name for name in links if cloud.exists("Host", name) and cloud.condition("Host", name, "Ready") == ("True", "Up")
            }
            assert len(ready) <= 1
        assert len(let_in) == 1

    play(story, seed=seed)


def test_the_one_that_had_it_first_keeps_it_even_if_younger_and_across_restarts() -> None:
    async def story(cloud: Cloud) -> None:
        two_names_of_one_hypervisor(cloud)
        unreachable = cloud.hypervisors.pop("fake://h1")
        cloud.apply("\n---\n".join([PLACE, HOST, TWIN]))
        await cloud.settle()
        assert cloud.kstatus("Host", "twin") == "Current"
        cloud.hypervisors["fake://h1"] = unreachable
        await cloud.settle()
        for _ in range(2):
            assert cloud.condition("Host", "h1", "Stalled") == ("True", "DuplicateHost")
            assert cloud.kstatus("Host", "twin") == "Current"
            before = cloud.writes
            await cloud.restart()
            await cloud.settle(120)
            assert cloud.writes == before

    play(story)


def test_the_other_takes_over_when_the_first_is_deleted() -> None:
    async def story(cloud: Cloud) -> None:
        two_names_of_one_hypervisor(cloud)
        cloud.apply("\n---\n".join([PLACE, HOST, TWIN]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")
        assert cloud.kstatus("Host", "twin") == "Current"
        assert cloud.status("Host", "twin")["nativeID"] == "same"

    play(story)


def test_another_hypervisor_under_the_same_address_is_refused_while_vms_are_recorded_there() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host("n", native_id="old"))
        cloud.apply("\n---\n".join([BASE, vm()]))
        await cloud.settle()
        hypervisor.set_host("n", native_id="new")
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "HostReplaced")
        assert cloud.status("Host", "h1")["nativeID"] == "old"
        link = cloud.controller.inventory.link("h1")
        assert link is not None
        assert not link.up
        hypervisor.set_host("n", native_id="old")
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_another_hypervisor_without_vms_is_simply_taken_over() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host("n", native_id="old"))
        cloud.apply(BASE)
        await cloud.settle()
        hypervisor.set_host("n", native_id="new")
        await cloud.settle()
        assert cloud.status("Host", "h1")["nativeID"] == "new"
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_deletion_waits_for_vms_and_keeps_the_connection_for_them() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, vm("a"), vm("b")]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle()
        assert "2" in cloud.message("Host", "h1", "InUse")
        assert "VirtualMachine/shop/a, VirtualMachine/shop/b" in cloud.message("Host", "h1", "InUse")
        assert cloud.condition("Host", "h1", "Schedulable") == ("False", "Deleting")
        await cloud.restart()
        await cloud.settle()
        link = cloud.controller.inventory.link("h1")
        assert link is not None
        assert link.up, "the VMs can only be deleted through it"
        cloud.delete("VirtualMachine", "shop/a")
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")
        assert hypervisor.open == 0
        assert cloud.controller.inventory.link("h1") is None

    play(story)


def test_deletion_waits_for_pools_that_are_on_it() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST, POOL.replace("scope: Zone", "scope: Host, host: h1")]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle()
        assert "StoragePool/s1" in cloud.message("Host", "h1", "InUse")
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")

    play(story)


def test_host_that_was_never_reached_goes_at_once() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")
        assert cloud.controller.inventory.link("h1") is None
        attempts = cloud.hypervisors.driver.attempts.total()
        await cloud.settle(600)
        assert cloud.hypervisors.driver.attempts.total() == attempts, "nobody goes on trying to connect"

    play(story)


def test_unreachable_host_with_finalizer_goes_when_nothing_is_on_it() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        del cloud.hypervisors["fake://h1"]
        await cloud.restart()
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle(5)
        assert not cloud.exists("Host", "h1")

    play(story)


def test_deleted_and_created_again_under_the_same_name() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle(1)
        cloud.apply(HOST)
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Current"
        assert cloud.hypervisors["fake://h1"].open == 1

    play(story)


def test_paused_host_is_left_alone_and_goes_on_afterwards() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(PLACE)
        await cloud.settle(5)
        cloud.apply(HOST)
        cloud.annotate("Host", "h1", "vireo.dev/paused", "true")
        await cloud.settle()
        assert cloud.hypervisors.driver.attempts.total() == 0
        cloud.annotate("Host", "h1", "vireo.dev/paused", "false")
        await cloud.settle(5)
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_secret_material_is_in_no_repr() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(), password="hunter2")
        cloud.set_secret("infra", "login", username="admin", password="hunter2")
        secured = HOST.replace('url: "fake://h1"', 'url: "fake://h1", credentials: {secretRef: {namespace: infra, name: login}}')
        cloud.apply("\n---\n".join([PLACE, secured]))
        await cloud.settle()
        inventory = cloud.controller.inventory
        addresses = list(inventory._sessions)
        assert isinstance(addresses[0][1], Endpoint)
        shown = repr(addresses) + repr(inventory.links()) + repr(cloud.controller.secrets._copies) + str(cloud.api.events)
        assert "hunter2" not in shown

    play(story)


def test_new_connection_wakes_the_vms_and_pools_of_the_host_once() -> None:
    """After a restart the Host's status is as before, so no watch tells them that their host can be called again."""

    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, vm("a"), vm("other", host="h2")]))
        await cloud.settle()
        await cloud.controller.kill()
        cloud.controller = Controller(cloud)
        attempt, woken = cloud.controller.manager._attempt, list[Key]()
        attempt._enqueue = lambda key, _: woken.append(key)
        await cloud.controller.start()
        await cloud.settle(300)
        assert sorted(woken) == [Key("StoragePool", "", "s1"), Key("VirtualMachine", "shop", "a")]

    play(story)


def test_pool_is_ready_soon_after_a_restart() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        await cloud.restart()
        await cloud.settle(3)
        assert cloud.controller.registry.ready("s1", "h1") is not None

    play(story)
