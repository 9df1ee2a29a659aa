"""The life of a volume over simulated pools: made, grown, found again, deleted."""

from __future__ import annotations

from tests.support.snapshots import jobs, versions
from tests.support.vms import GIB, VMCloud, play, site
from tests.support.volumes import edit, job, made, ready, status, text, volume


async def begin(cloud: VMCloud, extra: str = "") -> None:
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(volume(extra=extra))
    await cloud.settle(30)


def test_apply_makes_a_volume_in_the_pool_of_the_zone() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        assert job(cloud) == ("CreateVolume", "Succeeded")
        found = status(cloud)
        assert (found["pool"], found["state"], found["size"]) == ("s1", "Ready", "5Gi")
        assert found["volumeID"] == made(cloud)["data"].volume
        assert made(cloud)["data"].size == 5 * GIB
        await cloud.settle(60)
        assert cloud.status("StoragePool", "s1")["capacity"]["allocated"] == "5Gi"

    play(story)


def test_grow() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        edit(cloud, size="8Gi")
        await cloud.settle(10)
        assert job(cloud) == ("ResizeVolume", "Succeeded")
        assert (status(cloud)["size"], made(cloud)["data"].size) == ("8Gi", 8 * GIB)

    play(story)


def test_delete_leaves_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes
        assert ("DeleteVolume", "InProgress") in jobs(cloud, "Volume", "data")
        assert "Expunging" in {raw.get("status", {}).get("state") for raw in versions(cloud, "Volume", "data")}

    play(story)
