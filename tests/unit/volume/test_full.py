"""A pool that turns out to be full, whatever was known of it: volumes wait or are made elsewhere, and nothing fails for good."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from tests.support.snapshots import ready as snapshot_ready
from tests.support.snapshots import snapshot
from tests.support.vms import GIB, VMCloud, play
from tests.support.volumes import begin, edit, fill, job, made, ready, status, text, volume

S1, S2 = "/srv/vms", "/srv/more"
SECOND = f"""
kind: StoragePool
metadata: {{name: s2}}
spec: {{zone: z1, scope: Zone, type: Directory, path: {S2}}}
"""
SMALL = Settings(hosts=2, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, durations={"volumes.create_volume": 4.0})
PINNED = volume(extra="pool: s1")


def jobs_failed(cloud: VMCloud) -> list[tuple[str, str]]:
    return [each for each in cloud.jobs("data") if each[1] == "Failed"]


def held(cloud: VMCloud) -> int:
    """Bytes that the book has for the volume."""
    found = cloud.controller.parts.placements.size(cloud.raw("Volume", "shop/data")["metadata"]["uid"])
    return found.disk if found else 0


@pytest.mark.parametrize("settings", [SMALL, SLOW], ids=["call", "task"])
def test_one_that_must_be_there_waits_and_says_for_what(settings: Settings) -> None:
    """Found full by the call, or at the end of the task that makes it."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        if settings is SMALL:
            fill(cloud, S1)
        cloud.apply(PINNED)
        await cloud.settle(2)
        fill(cloud, S1)
        await cloud.settle(20)
        assert ready(cloud) == ("False", "InsufficientStorage")
        assert ready(cloud, type="Stalled") is None
        assert "no room in storage pool s1: the pool s1 has 0 free of the 256Ki needed" in text(cloud)
        assert (job(cloud), status(cloud)["state"], made(cloud)) == (("CreateVolume", "Cancelled"), "Allocated", {})
        assert cloud.status("StoragePool", "s1")["capacity"]["available"] == "0", "it was looked at for that"
        fill(cloud, S1, 20 * GIB)
        await cloud.settle(70)
        assert (ready(cloud), job(cloud)) == (("True", "Ready"), ("CreateVolume", "Succeeded"))
        assert not jobs_failed(cloud)

    play(story, settings=settings)


def test_one_that_may_be_anywhere_is_made_in_another_pool_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, SECOND)
        fill(cloud, S1)
        cloud.apply(volume(extra="pool: s2"))
        cloud.apply(volume("other"))
        await cloud.settle(5)
        assert (ready(cloud, "other"), status(cloud, "other")["pool"]) == (("True", "Ready"), "s2"), text(cloud, "other")
        assert cloud.jobs("other") == [("CreateVolume", "Cancelled"), ("CreateVolume", "Succeeded")]
        assert [each.path for each in made(cloud).values()] == [S2] * 2

    play(story, settings=SMALL)


def test_one_that_finds_no_room_anywhere_has_nothing_and_can_go() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom")
        cloud.apply(volume())
        await cloud.settle(60)
        assert ready(cloud) == ("False", "WaitForFirstConsumer")
        assert "no room in storage pool s1" in text(cloud)
        assert not cloud.raw("Volume", "shop/data")["metadata"].get("finalizers"), "nothing was made: nothing keeps it"
        assert ("pool" in status(cloud), held(cloud)) == (False, 0)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(5)
        assert not cloud.exists("Volume", "shop/data")

    play(story)


def test_a_pool_that_says_it_has_room_and_has_none_is_tried_seldom() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom")
        cloud.apply(PINNED)
        await cloud.settle(600)
        assert 8 <= cloud.points["before create_volume"] <= 16
        cloud.datacentre.heal()
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert not jobs_failed(cloud)

    play(story)


def test_room_that_another_volume_leaves_is_known_at_once() -> None:
    lvm = PINNED.replace("s1", "fast")
    pool = """
kind: StoragePool
metadata: {name: fast}
spec: {zone: z1, scope: Host, host: h1, type: LVM, lvm: {volumeGroup: vg-1}, path: /var/fast}
"""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, pool, volume("old", "12Gi", "pool: fast"))
        fill(cloud, "lvm://vg-1", 2 * GIB)
        cloud.apply(lvm)
        await cloud.settle(20)
        assert ready(cloud) == ("False", "InsufficientStorage")
        cloud.delete("Volume", "shop/old")
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")

    play(story, settings=SMALL)


def test_while_somebody_may_still_be_making_it_there_it_goes_nowhere_else() -> None:
    """The first call was never answered: it may take effect late."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, SECOND)
        cloud.datacentre.fail("volumes.create_volume", FaultKind.HANG)
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom", object="s1")
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom", object="s2")
        cloud.apply(volume())
        await cloud.settle(30)
        pool = status(cloud)["pool"]
        await cloud.settle(600)
        assert (ready(cloud), status(cloud)["pool"]) == (("False", "InsufficientStorage"), pool)
        cloud.datacentre.heal()
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom", object=pool)
        await cloud.settle(3600)
        assert (ready(cloud), status(cloud)["pool"]) == (("True", "Ready"), {"s1": "s2", "s2": "s1"}[pool])
        assert len(made(cloud)) == 1

    play(story)


def test_what_an_earlier_process_began_it_may_still_be_at() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, SECOND)
        cloud.datacentre.fail("volumes.create_volume", count=None, error="Transient")
        cloud.apply(volume())
        await cloud.settle(3)
        pool = status(cloud)["pool"]
        assert job(cloud) == ("CreateVolume", "InProgress")
        cloud.datacentre.heal()
        cloud.datacentre.fail("volumes.create_volume", count=None, error="NoRoom", object=pool)
        await cloud.restart()
        await cloud.settle(120)
        assert (ready(cloud), status(cloud)["pool"]) == (("False", "InsufficientStorage"), pool)
        cloud.datacentre.heal()
        await cloud.settle(60)
        assert (ready(cloud), status(cloud)["pool"]) == (("True", "Ready"), pool)

    play(story)


def test_one_that_can_t_grow_for_that_goes_on_as_it_is() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, PINNED)
        cloud.datacentre.fail("volumes.grow_volume", count=None, error="NoRoom")
        edit(cloud, size="8Gi")
        await cloud.settle(20)
        assert (ready(cloud), job(cloud)) == (("False", "InsufficientStorage"), ("ResizeVolume", "Cancelled"))
        assert (status(cloud)["state"], status(cloud)["size"], held(cloud)) == ("Ready", "5Gi", 5 * GIB)
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(10)
        assert snapshot_ready(cloud) == ("True", "Ready"), "it is free for other work"
        cloud.datacentre.heal()
        await cloud.settle(90)
        assert (ready(cloud), status(cloud)["size"], held(cloud)) == (("True", "Ready"), "8Gi", 8 * GIB)
        assert not jobs_failed(cloud)

    play(story)


def test_an_image_that_finds_no_room_is_waited_for_or_made_elsewhere() -> None:
    source = "source: {template: {name: debian}}"

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, SECOND)
        cloud.datacentre.fail("storage.put_image", count=None, error="NoRoom", object="s1")
        cloud.apply(volume(extra=f"pool: s1, {source}"))
        cloud.apply(volume("other", extra=source))
        await cloud.settle(30)
        assert (ready(cloud, "other"), status(cloud, "other")["pool"]) == (("True", "Ready"), "s2")
        assert ready(cloud) == ("False", "InsufficientStorage")
        assert "no room in storage pool s1" in text(cloud)
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready")

    play(story)
