"""Hosts whose storage turns out to be full: a VM of which nothing is there goes elsewhere, with its volumes, and nothing fails."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from tests.support.vms import GIB, TEMPLATE, VMCloud, play, vm
from tests.support.volumes import begin, fill, has, local_pools, made, mounted, ready, status, text, volume

SMALL = Settings(hosts=2, cpus=16, memory=64 * GIB, pool_capacity=20 * GIB, boot=1, shutdown=1)
FAST = "rootDisk: {tags: [fast]}"
OTHER = TEMPLATE.replace("name: debian", "name: other").replace("debian.qcow2", "other.qcow2")
H1, H2 = "/local1", "/local2"


async def cloud_of_two(cloud: VMCloud, *texts: str) -> None:
    """Two hosts with a pool of their own each, where a VM has a disk of 2 Gi; h1 is the emptier one."""
    idle = [vm(f"idle-{host}", f"placement: {{host: {host}}}, {FAST}") for host in ("h1", "h2")]
    await begin(cloud, local_pools(tags="[fast]"), *idle, vm("idle", "placement: {host: h2}"))
    for each in texts:
        cloud.apply(each)
    await cloud.settle(30)


def promised(cloud: VMCloud, pool: str) -> int:
    """Bytes that the book gives to others than those VMs."""
    return cloud.controller.parts.placements._index.pool_allocated(pool) - 2 * GIB


def refuse(cloud: VMCloud, method: str, pool: str, count: int | None = None) -> None:
    """A pool has no room, whatever it says."""
    where = pool.replace("local-h", "host-0000") if method.startswith("compute") else pool
    cloud.datacentre.fail(method, count=count, error="NoRoom", object=where)


def test_it_is_made_on_another_host_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        fill(cloud, H1)
        cloud.apply(vm(extra=FAST))
        await cloud.settle(15)
        assert (cloud.reason(), cloud.vm()["host"]) == (("True", "Running"), "h2"), cloud.text()
        assert cloud.jobs("web") == [("DeployVirtualMachine", "Cancelled"), ("DeployVirtualMachine", "Succeeded")]
        assert [each.made for each in cloud.datacentre.census.vms if each.name == "shop-web"] == [1]
        addresses = {raw["status"]["nics"][0]["ip"] for raw in cloud.api.history if raw["metadata"]["name"] == "web" and nics(raw)}
        assert len(addresses) == 1, "its address was its own all the while"
        assert promised(cloud, "local-h1") == 0

    play(story, settings=SMALL)


def nics(raw: dict[str, Any]) -> bool:
    return bool(raw.get("status", {}).get("nics"))


@pytest.mark.parametrize("lie", [True, False])
def test_where_no_other_has_room_it_waits_without_a_place(lie: bool) -> None:
    """Told by the status of the pool, once it was looked at; or by nothing but its host's refusals."""

    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        if lie:
            refuse(cloud, "compute.create", "local-h*")
        else:
            fill(cloud, H1)
            fill(cloud, H2)
        cloud.apply(vm(extra=FAST))
        await cloud.settle(20)
        assert cloud.reason() == ("False", "NoFittingHost")
        assert "InsufficientStorage" in cloud.text()
        assert "no room in storage pool local-h1" in cloud.text() or not lie
        assert cloud.condition("VirtualMachine", "shop/web", "Stalled") is None
        assert not cloud.raw("VirtualMachine", "shop/web")["metadata"].get("finalizers")
        assert ("host" in cloud.vm(), promised(cloud, "local-h1"), promised(cloud, "local-h2")) == (False, 0, 0)
        cloud.datacentre.heal()
        fill(cloud, H2, 20 * GIB)
        await cloud.settle(90)
        assert (cloud.reason(), [each for each in cloud.jobs("web") if each[1] == "Failed"]) == (("True", "Running"), [])

    play(story, settings=SMALL)


def test_one_that_is_deleted_while_it_waits_is_gone() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        refuse(cloud, "compute.create", "local-h*")
        cloud.apply(vm(extra=FAST))
        await cloud.settle(20)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(5)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert len(cloud.datacentre.vms) == 3

    play(story, settings=SMALL)


def test_while_somebody_may_still_be_making_it_there_it_goes_nowhere_else() -> None:
    """The first call was never answered."""

    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        cloud.datacentre.fail("compute.create", FaultKind.HANG)
        cloud.apply(vm(extra=FAST))
        await cloud.settle(10)
        refuse(cloud, "compute.create", "local-h1")
        await cloud.settle(900)
        assert (cloud.reason(), cloud.vm()["host"]) == (("False", "InsufficientStorage"), "h1")
        assert "no room in storage pool local-h1" in cloud.text()
        await cloud.settle(3600)
        assert (cloud.reason(), cloud.vm()["host"]) == (("True", "Running"), "h2"), "as long as a call may take is over"

    play(story, settings=SMALL)


def test_what_an_earlier_process_began_it_may_still_be_at() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        cloud.datacentre.fail("compute.create", count=None, error="Transient")
        cloud.apply(vm(extra=FAST))
        await cloud.settle(5)
        cloud.datacentre.heal()
        refuse(cloud, "compute.create", "local-h1")
        await cloud.restart()
        await cloud.settle(120)
        assert (cloud.reason(), cloud.vm()["host"]) == (("False", "InsufficientStorage"), "h1")
        cloud.datacentre.heal()
        await cloud.settle(70)
        assert (cloud.reason(), cloud.vm()["host"]) == (("True", "Running"), "h1")

    play(story, settings=SMALL)


def test_an_image_that_finds_no_room_is_put_on_another_host() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        cloud.images.checksums["https://images.example/other.qcow2"] = "cd" * 32
        cloud.apply(OTHER)
        refuse(cloud, "storage.put_image", "local-h1")
        cloud.apply(vm(extra=FAST).replace("debian", "other"))
        await cloud.settle(30)
        assert (cloud.reason(), cloud.vm()["host"]) == (("True", "Running"), "h2"), cloud.text()
        assert promised(cloud, "local-h1") == 0

    play(story, settings=SMALL)


def test_one_that_was_made_before_stays_where_it_was() -> None:
    """Its disk is there, or was: it is made again in its own place."""

    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud, vm(extra=f"{FAST}, recreatePolicy: Fresh"))
        assert cloud.vm()["host"] == "h1"
        refuse(cloud, "compute.create", "local-h1")
        cloud.datacentre.act(Act.REMOVE_DISK, "web", "root")
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(60)
        assert (cloud.reason(), cloud.vm()["host"]) == (("False", "InsufficientStorage"), "h1"), cloud.text()
        cloud.datacentre.heal()
        await cloud.settle(90)
        assert (cloud.reason(), cloud.vm()["host"]) == (("True", "Running"), "h1")

    play(story, settings=SMALL)


# Volumes that are made with it


def both(number: int = 0, size: str = "6Gi") -> list[str]:
    name = f"data{number}"
    return [volume(name, size, "tags: [fast]"), vm(f"web{number}", f"{FAST}, {mounted(name)}")]


def test_of_a_burst_each_finds_room_for_its_volume_too() -> None:
    """VMs of 2 Gi with a volume of 4 Gi each, in two pools that may promise 40 Gi: six fit into each."""

    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        for number in range(12):
            for each in both(number, "4Gi"):
                cloud.apply(each)
        await cloud.settle(90)
        running = [number for number in range(12) if cloud.reason(f"web{number}") == ("True", "Running")]
        waiting = {cloud.reason(f"web{number}") for number in range(12) if number not in running}
        assert (len(running), waiting) == (12, set()), "6 Gi each, 12 in 76 Gi"
        assert all(has(cloud, f"web{number}") == [f"data{number}"] for number in running)
        for each in both(12, "5Gi") + both(13, "5Gi"):
            cloud.apply(each)
        await cloud.settle(60)
        assert {cloud.reason(f"web{number}") for number in (12, 13)} == {("False", "NoFittingHost")}
        cloud.delete("VirtualMachine", "shop/web0")
        cloud.delete("Volume", "shop/data0")
        await cloud.settle(120)
        assert sorted(cloud.reason(f"web{number}") or () for number in (12, 13)) == [
            ("False", "NoFittingHost"),
            ("True", "Running"),
        ]

    play(story, settings=SMALL)


def test_a_volume_that_its_host_has_no_room_for_takes_its_vm_along() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        refuse(cloud, "volumes.create_volume", "local-h1")
        for each in both():
            cloud.apply(each)
        await cloud.settle(40)
        assert (cloud.reason("web0"), cloud.vm("web0")["host"]) == (("True", "Running"), "h2"), cloud.text("web0")
        assert (status(cloud, "data0")["pool"], has(cloud, "web0")) == ("local-h2", ["data0"])
        assert promised(cloud, "local-h1") == 0
        assert len(made(cloud)) == 1

    play(story, settings=SMALL)


def test_one_whose_room_somebody_took_before_a_restart_is_placed_anew() -> None:
    """What was promised for a volume that is not made yet is known to nobody after a restart."""

    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        refuse(cloud, "volumes.create_volume", "local-h1")
        for each in both(size="18Gi"):
            cloud.apply(each)
        await cloud.settle(0.5)
        await cloud.restart()
        cloud.apply(volume("thief", "18Gi", "pool: local-h1"))
        cloud.apply(volume("other", "18Gi", "pool: local-h1"))
        await cloud.settle(60)
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert (cloud.reason("web0"), cloud.vm("web0")["host"]) == (("True", "Running"), "h2"), cloud.text("web0")
        assert status(cloud, "data0")["pool"] == "local-h2"

    play(story, settings=SMALL)


def test_where_no_host_has_room_for_its_volume_neither_takes_any() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        refuse(cloud, "volumes.create_volume", "local-h*")
        for each in both():
            cloud.apply(each)
        await cloud.settle(60)
        assert cloud.reason("web0") == ("False", "NoFittingHost")
        assert "no room in storage pool local-h" in cloud.text("web0")
        assert (promised(cloud, "local-h1"), promised(cloud, "local-h2"), made(cloud)) == (0, 0, {})
        cloud.points.clear()
        await cloud.settle(600)
        assert cloud.points["before create_volume"] <= 2 * 16, "not again and again"
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert (cloud.reason("web0"), ready(cloud, "data0")) == (("True", "Running"), ("True", "Ready")), text(cloud, "data0")

    play(story, settings=SMALL)


def test_a_volume_that_is_no_longer_named_gives_its_room_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud)
        cloud.datacentre.fail("storage.put_image", count=None, error="Transient")
        cloud.images.checksums["https://images.example/other.qcow2"] = "cd" * 32
        cloud.apply(OTHER)
        for each in both():
            cloud.apply(each.replace("debian", "other"))
        await cloud.settle(20)
        assert promised(cloud, "local-h1") == 8 * GIB
        cloud.edit("web0", volumes=[])
        await cloud.settle(5)
        assert promised(cloud, "local-h1") == 2 * GIB

    play(story, settings=SMALL)


# Growing


def test_a_root_disk_that_can_t_grow_keeps_nothing_else_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await cloud_of_two(cloud, vm(extra=FAST))
        refuse(cloud, "compute.apply", "*", count=1)
        cloud.edit(rootDisk={"size": "12Gi", "tags": ["fast"]}, offering="large")
        await cloud.settle(1.5)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        assert "no room in storage pool local-h1" in cloud.text()
        assert (cloud.datacentre.vm().cpus, promised(cloud, "local-h1")) == (4, 2 * GIB)
        await cloud.settle(60)
        assert (cloud.reason(), promised(cloud, "local-h1")) == (("True", "Running"), 12 * GIB)
        assert [disk.size for disk in cloud.datacentre.vm().disks.values()] == [12 * GIB]
        assert not [each for each in cloud.jobs() if each[1] == "Failed"]

    play(story, settings=SMALL)
