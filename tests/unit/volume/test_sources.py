"""Volumes that start with the content of a template or of a snapshot of another volume."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from tests.support.snapshots import snapshot
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import job, local_pools, made, mounted, ready, status, text, volume

FROM_TEMPLATE = "source: {template: {name: debian}}"
FROM_SNAPSHOT = "source: {snapshot: {name: snap}}"


async def begin(cloud: VMCloud, *texts: str) -> None:
    cloud.apply(site(2))
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
        await cloud.settle(20)


def write(cloud: VMCloud, content: str, name: str = "data") -> None:
    """What a guest writes to a volume."""
    cloud.datacentre.act(Act.WRITE_VOLUME, f"host-00001/{made(cloud)[name].volume}", content)


def test_from_a_template_that_no_vm_has_brought_to_the_pool() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(extra=FROM_TEMPLATE))
        assert (ready(cloud), job(cloud)) == (("True", "Ready"), ("CreateVolume", "Succeeded")), text(cloud)
        [image] = {each.name for each in cloud.datacentre.census.images}
        assert (made(cloud)["data"].content, made(cloud)["data"].size) == (image, 5 * GIB)

    play(story)


@pytest.mark.parametrize(
    ("text_of", "reason", "stalled"),
    [
        (volume(size="1Gi", extra=FROM_TEMPLATE), "VolumeTooSmall", True),
        (volume(extra="source: {template: {name: none}}"), "TemplateNotFound", False),
        (volume(extra="source: {template: {name: debian, namespace: other}}"), "TemplateNotFound", False),
        (volume(extra=FROM_SNAPSHOT), "SnapshotNotFound", False),
    ],
)
def test_a_source_that_will_not_do(text_of: str, reason: str, stalled: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, text_of)
        assert ready(cloud) == ("False", reason)
        assert (ready(cloud, type="Stalled") is not None) == stalled
        assert not cloud.datacentre.census.volumes
        assert "pool" not in status(cloud)

    play(story)


def test_from_a_snapshot_in_its_pool() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(), volume(extra="pool: local-h1"))
        write(cloud, "monday")
        cloud.apply(snapshot(of="volume: data"))
        cloud.apply(volume("copy", "6Gi", FROM_SNAPSHOT))
        cloud.apply(volume("small", "4Gi", FROM_SNAPSHOT))
        cloud.apply(volume("else", "6Gi", f"{FROM_SNAPSHOT}, pool: s1"))
        await cloud.settle(30)
        write(cloud, "tuesday")
        assert (ready(cloud, "copy"), status(cloud, "copy")["pool"]) == (("True", "Ready"), "local-h1")
        assert (made(cloud)["copy"].content, made(cloud)["copy"].size) == ("monday", 6 * GIB)
        assert ready(cloud, "small") == ("False", "VolumeTooSmall")
        assert ready(cloud, "else") == ("False", "SourceInOtherPool")
        assert made(cloud)["data"].content == "tuesday"

    play(story)


def test_a_volume_outlives_snapshot_and_origin() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        write(cloud, "monday")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(10)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        cloud.apply(volume("copy", extra=FROM_SNAPSHOT))
        await cloud.settle(20)
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(20)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert {name: each.content for name, each in made(cloud).items()} == {"copy": "monday"}
        cloud.apply(vm(extra=mounted("copy")))
        await cloud.settle(20)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_a_snapshot_of_a_vm_is_none_of_a_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(), snapshot(), volume(extra=FROM_SNAPSHOT))
        assert ready(cloud) == ("False", "SnapshotNotOfVolume")

    play(story)


def test_a_pool_with_a_snapshot_stays_and_counts_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), snapshot(of="volume: data"))
        await cloud.settle(60)
        assert cloud.status("StoragePool", "s1")["capacity"]["allocated"] == "10Gi"
        cloud.delete("Volume", "shop/data")
        cloud.delete("StoragePool", "s1")
        await cloud.settle(60)
        assert "Snapshot/shop/snap" in cloud.message("StoragePool", "s1", "InUse")
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "s1")

    play(story)
