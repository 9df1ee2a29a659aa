"""A pool goes when no disk is in it, and takes the images along that were put there."""

from __future__ import annotations

from drivers.errors import Transient
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import IN_USE, Hypervisor, host

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
