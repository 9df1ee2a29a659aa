"""Templates: downloaded once, shown where they are, and removed from there."""

from __future__ import annotations

import pytest

from controller.images import ImageError
from controller.images.errors import Reason
from drivers.simulator.engine.actions import Act
from tests.support.images import SHA
from tests.support.vms import TEMPLATE, VMCloud, play, site, vm

URL = "https://images.example/debian.qcow2"


def reason(cloud: VMCloud, name: str = "debian") -> tuple[str, str] | None:
    return cloud.condition("Template", f"shop/{name}", "Ready")


async def used(cloud: VMCloud) -> None:
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm())
    await cloud.settle(60)


def test_download() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.images.seconds = 10
        cloud.apply(TEMPLATE)
        await cloud.settle(5)
        status = cloud.status("Template", "shop/debian")
        assert (status["state"], status["progress"]) == ("DownloadInProgress", 10)
        assert reason(cloud) == ("False", "Downloading")
        assert status["job"]["command"] == "RegisterTemplate"
        await cloud.settle(10)
        status = cloud.status("Template", "shop/debian")
        assert reason(cloud) == ("True", "Downloaded")
        assert (status["checksum"], status["virtualSize"], status["job"]["status"]) == (f"sha256:{SHA}", "2Gi", "Succeeded")
        assert "progress" not in status
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.images.downloads == [URL], "what was downloaded is not downloaded again"

    play(story)


@pytest.mark.parametrize(
    ("why", "kstatus", "job", "tries"),
    [(Reason.CHECKSUM_MISMATCH, "Failed", "Failed", 1), (Reason.DOWNLOAD_FAILED, "InProgress", "InProgress", 3)],
)
def test_download_that_fails(why: Reason, kstatus: str, job: str, tries: int) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.images.errors[URL] = ImageError(why, "it did not work", retry_after=20)
        cloud.apply(TEMPLATE)
        cloud.apply(vm())
        await cloud.settle(55)
        assert reason(cloud) == ("False", why)
        assert cloud.kstatus("Template", "shop/debian") == kstatus
        assert cloud.status("Template", "shop/debian")["state"] == "DownloadError"
        assert cloud.status("Template", "shop/debian")["job"]["status"] == job
        assert len(cloud.images.downloads) == tries
        assert cloud.message("Template", "shop/debian") == "it did not work"
        cloud.images.errors.clear()
        await cloud.settle(60)
        assert (reason(cloud) == ("True", "Downloaded")) == (job == "InProgress")

    play(story)


def test_bad_source_is_explained() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(TEMPLATE.replace(URL, "https:///x"))
        await cloud.settle(5)
        assert reason(cloud) == ("False", "InvalidSource")
        assert cloud.kstatus("Template", "shop/debian") == "Failed"
        cloud.delete("Template", "shop/debian")
        await cloud.settle(5)
        assert not cloud.exists("Template", "shop/debian")

    play(story)


def test_deletion_waits_for_vms_then_takes_the_image_along() -> None:
    async def story(cloud: VMCloud) -> None:
        await used(cloud)
        assert cloud.status("Template", "shop/debian")["pools"] == [{"pool": "s1", "state": "Downloaded"}]
        cloud.delete("Template", "shop/debian")
        await cloud.settle(30)
        assert reason(cloud) == ("False", "InUse")
        assert len(cloud.datacentre.census.images) == 1
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("Template", "shop/debian")
        assert not cloud.datacentre.census.images

    play(story)


def test_image_of_another_template_too_stays() -> None:
    async def story(cloud: VMCloud) -> None:
        await used(cloud)
        cloud.apply(TEMPLATE.replace("name: debian", "name: same"))
        await cloud.settle(30)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        cloud.delete("Template", "shop/debian")
        await cloud.settle(30)
        assert not cloud.exists("Template", "shop/debian")
        assert len(cloud.datacentre.census.images) == 1

    play(story)


def test_deletion_waits_for_a_pool_that_nobody_reaches() -> None:
    async def story(cloud: VMCloud) -> None:
        await used(cloud)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(120)
        cloud.delete("Template", "shop/debian")
        await cloud.settle(60)
        assert reason(cloud) == ("False", "DeletionBlocked")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(120)
        assert not cloud.exists("Template", "shop/debian")
        assert not cloud.datacentre.census.images

    play(story)


def test_image_copied_for_a_vm_that_never_came_is_removed_too() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.datacentre.fail("compute.create", count=None, error="InvalidSpec")
        cloud.datacentre.service._set(durations={"storage.put_image": 10.0})
        cloud.apply(vm())
        await cloud.settle(5)
        assert cloud.reason() == ("False", "TemplateSeeding")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert len(cloud.datacentre.census.images) == 1
        assert cloud.status("Template", "shop/debian")["pools"] == [{"pool": "s1", "state": "Downloaded"}]
        cloud.delete("Template", "shop/debian")
        await cloud.settle(30)
        assert not cloud.datacentre.census.images

    play(story)


def test_pool_takes_images_along() -> None:
    async def story(cloud: VMCloud) -> None:
        await used(cloud)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        cloud.delete("StoragePool", "s1")
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "s1")
        assert not cloud.datacentre.census.images

    play(story)


def test_copy_that_fails_is_tried_again_and_the_vm_says_so() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.datacentre.fail("storage.put_image", count=2, error="InvalidSpec", code="SIM_FULL")
        cloud.apply(vm())
        await cloud.settle(20)
        assert cloud.reason() == ("False", "RefusedByHypervisor")
        assert cloud.reason(type="DisksReady") == ("False", "RefusedByHypervisor")
        assert "SIM_FULL" in cloud.text()
        await cloud.settle(180)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_source_that_changed_since_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.images.kept.clear()
        cloud.images.checksums[URL] = "cd" * 32
        cloud.apply(vm())
        await cloud.settle(30)
        assert cloud.reason() == ("False", "SourceChanged")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert not cloud.datacentre.vms

    play(story)


def test_where_it_is_is_known_from_its_vms_when_the_status_is_lost() -> None:
    async def story(cloud: VMCloud) -> None:
        await used(cloud)
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.status("Template", "shop/debian")["pools"] == [{"pool": "s1", "state": "Downloaded"}]

    play(story)
