"""A pool goes when no disk is in it, takes the images along that were put there, and is let go by its hosts."""

from __future__ import annotations

import pytest

from drivers.errors import Conflict, StorageUnavailable, Transient
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import IN_USE, Hang, Hypervisor, host

TEMPLATE = """
kind: Template
metadata: {{name: {name}, namespace: images}}
spec: {{source: {{url: "https://example.org/{name}.qcow2"}}}}
status: {{state: Downloaded, checksum: "sha256:{digest}", pools: [{{pool: s1, state: Downloaded}}]}}
"""
DEBIAN = TEMPLATE.format(name="debian", digest="ab" * 32)
IMAGE = "qcow2-" + "ab" * 32
PLACE = "\n---\n".join([ZONE, POD, CLUSTER])


def test_waits_for_disks_then_removes_images() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.images = {("s1", IMAGE), ("s1", "foreign")}
        cloud.apply("\n---\n".join([BASE, DEBIAN, vm()]))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle()
        assert "VirtualMachine/shop/web" in cloud.message("StoragePool", "s1", "InUse")
        assert ("s1", IMAGE) in hypervisor.images
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(5)
        assert not cloud.exists("StoragePool", "s1")
        assert hypervisor.images == {("s1", "foreign")}
        assert cloud.library.gone == [("debian", "s1")]

    play(story)


def test_images_are_removed_even_if_no_status_names_the_pool() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.images = {("s1", IMAGE)}
        cloud.apply("\n---\n".join([BASE, DEBIAN.replace("pools: [{pool: s1, state: Downloaded}]", "pools: []")]))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        assert not hypervisor.images

    play(story)


def test_image_in_use_by_a_disk_keeps_the_pool() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.faults["delete_image"] = IN_USE
        cloud.apply("\n---\n".join([BASE, DEBIAN]))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "DeletionBlocked") == ("True", "ImageInUse")
        hypervisor.faults.clear()
        await cloud.settle(30)
        assert not cloud.exists("StoragePool", "s1")

    play(story)


def test_no_host_answers_blocks_the_deletion_until_one_does() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, DEBIAN]))
        await cloud.settle()
        hypervisor.faults["*"] = Transient("gone")
        await cloud.settle(60)
        cloud.delete("StoragePool", "s1")
        await cloud.settle(300)
        assert cloud.condition("StoragePool", "s1", "DeletionBlocked") == ("True", "DeletionBlocked")
        assert cloud.kstatus("StoragePool", "s1") == "Terminating"
        hypervisor.faults.clear()
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "s1")

    play(story)


def test_force_delete_gives_the_images_up_with_an_event_for_this_object_only() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, DEBIAN]))
        await cloud.settle()
        hypervisor.faults["*"] = Transient("gone")
        await cloud.settle(60)
        cloud.delete("StoragePool", "s1")
        cloud.annotate("StoragePool", "s1", "vireo.dev/force-delete", "some-other-uid")
        await cloud.settle()
        assert cloud.exists("StoragePool", "s1")
        cloud.annotate("StoragePool", "s1", "vireo.dev/force-delete", cloud.raw("StoragePool", "s1")["metadata"]["uid"])
        await cloud.settle(5)
        assert not cloud.exists("StoragePool", "s1")
        assert "ForceDeleted" in cloud.events("s1")

    play(story)


def test_force_delete_does_not_take_disks_from_under_vms() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, vm()]))
        await cloud.settle()
        cloud.annotate("StoragePool", "s1", "vireo.dev/force-delete", cloud.raw("StoragePool", "s1")["metadata"]["uid"])
        cloud.delete("StoragePool", "s1")
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "InUse") == ("True", "InUse")

    play(story)


def test_pool_without_hosts_goes_at_once() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, POOL, DEBIAN]))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        assert not cloud.exists("StoragePool", "s1")

    play(story)


def test_pool_made_again_under_the_same_name_is_made_ready_again() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST, POOL]))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        before = hypervisor.calls["ensure_pool"]
        cloud.apply(POOL.replace("/srv/vms", "/srv/other"))
        await cloud.settle()
        assert cloud.kstatus("StoragePool", "s1") == "Current"
        assert hypervisor.calls["ensure_pool"] == before + 1

    play(story)


# Hosts let it go -------------------------------------------------------------------------------------------------------

TWO = "\n---\n".join([PLACE, HOST, HOST.replace("h1", "h2"), POOL])


def two(cloud: Cloud) -> tuple[Hypervisor, Hypervisor]:
    made = [Hypervisor(host(name)) for name in ("h1", "h2")]
    cloud.hypervisors.update(zip(("fake://h1", "fake://h2"), made, strict=True))
    return made[0], made[1]


def test_every_host_of_its_scope_lets_it_go_after_the_images() -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        first.images = {("s1", IMAGE)}
        order: list[str] = []
        for each in (first, second):
            each.before["delete_image"] = lambda: order.append("image")
            each.before["release_pool"] = lambda: order.append("pool")
        cloud.apply("\n---\n".join([TWO, DEBIAN]))
        await cloud.settle()
        assert first.defined
        assert second.defined
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        assert not cloud.exists("StoragePool", "s1")
        assert order == ["image", "pool", "pool"]
        assert (first.defined, second.defined, first.images) == ({}, {}, set())
        assert "LeftOnHosts" not in cloud.events("s1")

    play(story)


def test_a_host_that_can_t_just_now_is_waited_for_and_what_is_done_is_not_done_again() -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        cloud.apply("\n---\n".join([TWO, DEBIAN]))
        await cloud.settle()
        made = first.calls["ensure_pool"]
        second.faults["release_pool"] = StorageUnavailable("the NFS server nfs1 does not answer")
        cloud.delete("StoragePool", "s1")
        await cloud.settle(200)
        assert cloud.condition("StoragePool", "s1", "DeletionBlocked") == ("True", "StorageUnavailable")
        assert "h2: the NFS server nfs1 does not answer" in cloud.message("StoragePool", "s1", "DeletionBlocked")
        assert (first.calls["release_pool"], first.calls["ensure_pool"]) == (1, made)
        assert 4 <= second.calls["release_pool"] <= 8
        second.faults.clear()
        await cloud.settle(40)
        assert not cloud.exists("StoragePool", "s1")
        assert not second.defined

    play(story)


def test_a_restart_on_the_way_goes_on() -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        cloud.apply(TWO)
        await cloud.settle()
        second.faults["release_pool"] = Transient("not now")
        cloud.delete("StoragePool", "s1")
        await cloud.settle(20)
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.exists("StoragePool", "s1")
        second.faults.clear()
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "s1")
        assert (first.defined, second.defined) == ({}, {})

    play(story)


def test_after_a_start_hosts_have_their_chance_to_answer() -> None:
    """The second one is slow to connect: it is not taken for one that is away."""

    async def story(cloud: Cloud) -> None:
        _, second = two(cloud)
        cloud.apply(TWO)
        await cloud.settle()
        await cloud.controller.kill()
        cloud.delete("StoragePool", "s1")
        second.faults["list_hosts"] = Hang()
        await cloud.restart()
        await cloud.settle(5)
        assert cloud.exists("StoragePool", "s1")
        second.faults.clear()
        await cloud.settle(120)
        assert not cloud.exists("StoragePool", "s1")

    play(story)


@pytest.mark.parametrize("why", ["a VM has a disk there", "away"])
def test_a_host_that_keeps_it_is_told_and_holds_up_nothing(why: str) -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        cloud.apply(TWO)
        await cloud.settle()
        second.faults["*" if why == "away" else "release_pool"] = Transient("gone") if why == "away" else Conflict(why)
        await cloud.settle(60)
        cloud.delete("StoragePool", "s1")
        await cloud.settle(10)
        assert not cloud.exists("StoragePool", "s1")
        assert not first.defined
        assert second.defined
        [told] = [event.message for event in cloud.api.events if event.reason == "LeftOnHosts"]
        assert told.startswith("1 hosts have it still")
        assert ("h2: it does not answer" if why == "away" else f"h2: {why}") in told

    play(story)


def test_force_delete_asks_hosts_but_waits_for_none() -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        cloud.apply(TWO)
        await cloud.settle()
        second.faults["release_pool"] = Hang()
        cloud.annotate("StoragePool", "s1", "vireo.dev/force-delete", cloud.raw("StoragePool", "s1")["metadata"]["uid"])
        cloud.delete("StoragePool", "s1")
        await cloud.settle(10)
        assert not cloud.exists("StoragePool", "s1")
        assert not first.defined
        assert {"ForceDeleted", "LeftOnHosts"} <= set(cloud.events("s1"))

    play(story)


def test_the_place_stays_while_another_pool_is_there() -> None:
    async def story(cloud: Cloud) -> None:
        first, second = two(cloud)
        cloud.apply("\n---\n".join([TWO, POOL.replace("name: s1", "name: s2")]))
        await cloud.settle()
        for name, left in (("s1", 1), ("s2", 0)):
            cloud.delete("StoragePool", name)
            await cloud.settle(20)
            assert not cloud.exists("StoragePool", name)
            assert (len(first.defined), len(second.defined)) == (left, left)

    play(story)


def test_of_a_target_hosts_have_nothing_to_let_go() -> None:
    async def story(cloud: Cloud) -> None:
        first, _ = two(cloud)
        iscsi = "type: ISCSI, iscsi: {server: san, port: 3260, target: 'iqn.2026-01.org.example:a'}"
        cloud.apply(TWO.replace("type: Directory, path: /srv/vms", iscsi))
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle(5)
        assert not cloud.exists("StoragePool", "s1")
        assert first.calls["release_pool"] == 0

    play(story)
