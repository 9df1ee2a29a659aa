"""Work that fails again and again: later and later, however often it is woken, and in the end others get what it held."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.errors import Transient
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import job, kept, key, ready, restore, snapshot, status, store, stored, text, tree, write
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import edit, has, mounts, volume
from tests.support.volumes import job as volume_job
from tests.support.volumes import ready as volume_ready
from tests.support.volumes import status as volume_status

SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 1))
FULL = Settings(hosts=1, cpus=16, memory=12 * GIB, boot=1, shutdown=1)
TRIES = 8
LONG = 400
"""Virtual seconds after which all tries are over."""

RESTORE = "SnapshotRestore"


def calls(cloud: VMCloud, name: str) -> int:
    return cloud.points[f"before {name}"]


async def begin(cloud: VMCloud, *texts: str) -> None:
    cloud.apply(site())
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
        await cloud.settle(30)


async def wake_often(cloud: VMCloud, kind: str, name: str, seconds: int) -> None:
    """Something that it watches changes every second."""
    for _ in range(seconds):
        cloud.controller.enqueue(key(kind, name))
        await asyncio.sleep(1)


def test_a_restore_that_finds_no_room_lets_go_of_its_vm() -> None:
    """The memory that the snapshot needs is another VM's by now."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(extra="offering: large").replace("offering: small, ", ""), snapshot(extra="includeMemory: true"))
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        cloud.edit(powerState="Off", stopMode="Hard", offering="small")
        await cloud.settle(30)
        cloud.apply(vm("other", extra="offering: large").replace("offering: small, ", ""))
        await cloud.settle(30)
        assert cloud.reason("other") == ("True", "Running")
        cloud.apply(restore())
        await wake_often(cloud, RESTORE, "back", 100)
        assert status(cloud, "back", RESTORE)["state"] == "Reverting"
        cloud.edit(powerState="On")
        await cloud.settle(5)
        assert cloud.reason() == ("False", "Restoring")
        await wake_often(cloud, RESTORE, "back", LONG)
        assert ready(cloud, "back", RESTORE) == ("False", "HypervisorUnavailable")
        assert status(cloud, "back", RESTORE)["state"] == "Failed"
        assert "too little free memory" in text(cloud, "back", RESTORE)
        assert f"given up after {TRIES} tries" in text(cloud, "back", RESTORE)
        assert "apply another SnapshotRestore" in text(cloud, "back", RESTORE)
        assert calls(cloud, "restore") == TRIES
        assert cloud.reason() == ("True", "Running")

    play(story, settings=FULL)


WORK = [
    ("snapshots.create_snapshot", [vm()], "virtualMachine: web"),
    ("volumes.snapshot_volume", [volume()], "volume: data"),
]


@pytest.mark.parametrize("settings", [None, SLOW], ids=["calls", "tasks"])
@pytest.mark.parametrize(("method", "before", "of"), WORK, ids=["VM", "Volume"])
def test_a_snapshot_that_can_t_be_taken(method: str, before: list[str], of: str, settings: Settings | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, *before)
        cloud.datacentre.fail(method, FaultKind.TASK_ERROR if settings else FaultKind.ERROR, count=None)
        cloud.apply(snapshot(of=of))
        await wake_often(cloud, "Snapshot", "snap", LONG)
        assert ready(cloud) == ("False", "SnapshotFailed")
        assert cloud.condition("Snapshot", "shop/snap", "Stalled") is not None
        assert (status(cloud)["state"], job(cloud)[1]) == ("Error", "Failed")
        assert f"given up after {TRIES} tries" in text(cloud)
        assert "make another Snapshot" in text(cloud)
        assert calls(cloud, method.partition(".")[2]) == TRIES
        cloud.datacentre.heal()
        cloud.edit(powerState="Off") if "web" in of else edit(cloud, size="7Gi")
        await cloud.settle(60)
        assert (cloud.reason() == ("True", "Stopped")) if "web" in of else (volume_status(cloud)["size"] == "7Gi")
        assert ready(cloud) == ("False", "SnapshotFailed"), "it is not taken on another day"
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(30)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story, settings=settings)


def test_a_volume_that_can_t_be_restored() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        store(cloud, "old")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        cloud.datacentre.fail("volumes.restore_volume", FaultKind.ERROR, count=None)
        cloud.apply(restore())
        await cloud.settle(10)
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(LONG)
        assert ready(cloud, "back", RESTORE) == ("False", "HypervisorUnavailable")
        assert (stored(cloud), has(cloud)) == ("new", ["data"])
        cloud.delete(RESTORE, "shop/back")
        await cloud.settle(10)
        assert not cloud.exists(RESTORE, "shop/back")

    play(story)


def test_one_that_is_deleted_meanwhile_goes_when_it_is_given_up() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), snapshot(of="volume: data"))
        cloud.datacentre.fail("volumes.restore_volume", FaultKind.ERROR, count=None)
        cloud.apply(restore())
        await cloud.settle(20)
        cloud.delete(RESTORE, "shop/back")
        await cloud.settle(LONG)
        assert not cloud.exists(RESTORE, "shop/back")
        assert volume_ready(cloud) == ("True", "Ready")

    play(story)


def test_a_volume_that_can_t_grow_is_free_for_others_between_the_tries() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        cloud.datacentre.fail("volumes.grow_volume", FaultKind.ERROR, count=None)
        edit(cloud, size="7Gi")
        await wake_often(cloud, "Volume", "data", LONG)
        assert calls(cloud, "grow_volume") == TRIES
        assert volume_ready(cloud) == ("False", "HypervisorUnavailable")
        assert f"given up after {TRIES} tries" in cloud.message("Volume", "shop/data")
        assert volume_job(cloud) == ("ResizeVolume", "Failed")
        cloud.apply(snapshot(of="volume: data"))
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(60)
        assert (ready(cloud), has(cloud)) == (("True", "Ready"), ["data"])
        cloud.datacentre.heal()
        await cloud.settle(300)
        assert (volume_ready(cloud), volume_status(cloud)["size"]) == (("True", "Ready"), "7Gi")
        assert volume_job(cloud) == ("ResizeVolume", "Succeeded")

    play(story)


def test_a_change_of_mind_is_tried_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        cloud.datacentre.fail("volumes.grow_volume", FaultKind.ERROR, count=7)
        edit(cloud, size="7Gi")
        await cloud.settle(200)
        assert calls(cloud, "grow_volume") == 7
        edit(cloud, size="8Gi")
        await cloud.settle(2)
        assert volume_status(cloud)["size"] == "8Gi"

    play(story)


def test_a_snapshot_that_can_t_be_removed_lets_go_of_its_vm_and_is_tried_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(), snapshot())
        cloud.datacentre.fail("snapshots.delete_snapshot", FaultKind.ERROR, count=None)
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(20)
        cloud.edit(powerState="Off", stopMode="Hard")
        await cloud.settle(5)
        assert cloud.reason() == ("False", "SnapshotUnderWay")
        await wake_often(cloud, "Snapshot", "snap", LONG)
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.condition("Snapshot", "shop/snap", "DeletionBlocked") == ("True", "HypervisorUnavailable")
        assert "vireo.dev/force-delete" in text(cloud)
        assert tree(cloud) == {"snap": None}
        cloud.datacentre.heal()
        await cloud.settle(300)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert tree(cloud) == {}

    play(story)


def test_a_hypervisor_that_says_busy_is_waited_for_as_long_as_a_copy_may_take() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        cloud.datacentre.fail("volumes.snapshot_volume", FaultKind.ERROR, count=None, error="Busy")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(1800)
        assert ready(cloud) == ("False", "HypervisorBusy")
        cloud.datacentre.heal()
        await cloud.settle(10)
        assert (ready(cloud), kept(cloud)) == (("True", "Ready"), ["snap"])
        cloud.datacentre.fail("volumes.snapshot_volume", FaultKind.ERROR, count=None, error="Busy")
        cloud.apply(snapshot("second", of="volume: data"))
        await cloud.settle(3700)
        assert ready(cloud, "second") == ("False", "SnapshotFailed")
        assert volume_ready(cloud) == ("True", "Ready")

    play(story)


def test_what_nobody_knows_the_outcome_of_is_not_given_up() -> None:
    """The answer is lost each time, and the snapshot is not there: it may still be being taken."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm())
        write(cloud, "old")
        plain = cloud.datacentre.service.execute

        def execute(session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
            if method == "snapshots.create_snapshot":
                raise Transient("the connection was lost", outcome_unknown=True)
            return plain(session, method, args, faults)

        cloud.datacentre.service.execute = execute  # type: ignore[method-assign]
        cloud.apply(snapshot())
        await cloud.settle(3600)
        assert status(cloud)["state"] == "Creating"
        assert calls(cloud, "create_snapshot") > TRIES
        cloud.datacentre.service.execute = plain  # type: ignore[method-assign]
        await cloud.settle(320)
        assert ready(cloud) == ("True", "Ready")

    play(story)
