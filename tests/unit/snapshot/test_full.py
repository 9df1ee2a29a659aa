"""Snapshots and restores in a pool that has no room for the copy: these are not for another day."""

from __future__ import annotations

import pytest

from controller.shared.patience import TRIES
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import job, ready, restore, snapshot, status, store, stored, text
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import edit, fill, volume
from tests.support.volumes import status as volume_status

RESTORE = "SnapshotRestore"
SMALL = Settings(hosts=1, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, durations=dict.fromkeys(TASK_METHODS, 2.0))


async def begin(cloud: VMCloud, *texts: str) -> None:
    cloud.apply(site())
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
        await cloud.settle(30)


@pytest.mark.parametrize(
    ("method", "of"), [("volumes.snapshot_volume", "volume: data"), ("snapshots.create_snapshot", "virtualMachine: web")]
)
def test_a_snapshot_waits_for_room_and_holds_nothing_meanwhile(method: str, of: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        cloud.datacentre.fail(method, count=None, error="NoRoom")
        cloud.apply(snapshot(of=of))
        await cloud.settle(30)
        assert ready(cloud) == ("False", "InsufficientStorage")
        assert cloud.condition("Snapshot", "shop/snap", "Stalled") is None
        assert (status(cloud)["state"], job(cloud)[1]) == ("Allocated", "Cancelled")
        cloud.edit(powerState="Off", stopMode="Hard")
        edit(cloud, size="7Gi")
        await cloud.settle(10)
        assert (cloud.reason(), volume_status(cloud)["size"]) == (("True", "Stopped"), "7Gi")
        cloud.datacentre.heal()
        await cloud.settle(70)
        assert ready(cloud) == ("True", "Ready"), text(cloud)

    play(story)


@pytest.mark.parametrize("settings", [SMALL, SLOW], ids=["call", "task"])
def test_one_that_is_deleted_while_it_waits_is_gone(settings: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        fill(cloud, "/srv/vms")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(30)
        assert ready(cloud) == ("False", "InsufficientStorage")
        assert "the pool s1 has 0 free of the 256Ki needed" in text(cloud)
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(30)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story, settings=settings)


@pytest.mark.parametrize("settings", [SMALL, SLOW], ids=["call", "task"])
@pytest.mark.parametrize("room", [True, False])
def test_a_restore_that_finds_no_room_is_tried_for_some_minutes(settings: Settings, room: bool) -> None:
    """To lose what is newer on another day would surprise."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        store(cloud, "old")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        fill(cloud, "/srv/vms")
        cloud.apply(restore())
        await cloud.settle(20)
        assert ready(cloud, "back", RESTORE) == ("False", "InsufficientStorage")
        assert (status(cloud, "back", RESTORE)["state"], stored(cloud)) == ("Pending", "new")
        if room:
            fill(cloud, "/srv/vms", GIB)
        await cloud.settle(600)
        if room:
            assert (ready(cloud, "back", RESTORE), stored(cloud)) == (("True", "Completed"), "old")
            return
        assert ready(cloud, "back", RESTORE) == ("False", "InsufficientStorage")
        assert (status(cloud, "back", RESTORE)["state"], stored(cloud)) == ("Failed", "new")
        assert f"given up after {TRIES} tries: make room" in text(cloud, "back", RESTORE)
        assert cloud.points["before restore_volume"] == TRIES
        fill(cloud, "/srv/vms", GIB)
        await cloud.settle(120)
        assert stored(cloud) == "new"

    play(story, settings=settings)
