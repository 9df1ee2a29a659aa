"""Bringing Volumes back: in place, while no VM has them."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import job, ready, restore, snapshot, status, store, stored, text, wish
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import edit, made, mounted, mounts, volume
from tests.support.volumes import ready as volume_ready
from tests.support.volumes import status as volume_status

from .begun import back

SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3))
BOTH = pytest.mark.parametrize("settings", [None, SLOW], ids=["at once", "by tasks"])
OF = "volume: data"


async def begin(cloud: VMCloud, *, attached: bool = False) -> None:
    """A volume with a snapshot of "old", and "new" in it now."""
    cloud.apply(site())
    cloud.apply(volume())
    if attached:
        cloud.apply(vm(extra=mounted("data")))
    await cloud.settle(90)
    store(cloud, "old")
    cloud.apply(snapshot(of=OF))
    await cloud.settle(30)
    assert ready(cloud) == ("True", "Ready"), text(cloud)
    store(cloud, "new")


@BOTH
def test_in_place(settings: Settings | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        declared = wish(cloud, "Volume", "data")
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("True", "Completed")
        assert job(cloud, "back", "SnapshotRestore") == ("RevertSnapshot", "Succeeded")
        assert wish(cloud, "Volume", "data") == declared, "what Git says is still true"
        assert stored(cloud) == "old"
        assert volume_ready(cloud) == ("True", "Ready")
        assert made(cloud)["data"].made == 1
        store(cloud, "newer")
        await cloud.restart()
        await cloud.settle(60)
        assert stored(cloud) == "newer", "once and never again"

    play(story, settings=settings)


def test_a_volume_that_has_grown_keeps_its_size() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        edit(cloud, size="8Gi")
        await cloud.settle(30)
        cloud.apply(restore())
        await cloud.settle(30)
        assert (stored(cloud), made(cloud)["data"].size) == ("old", 8 * GIB)
        assert volume_status(cloud)["size"] == "8Gi"

    play(story)


def test_not_while_a_vm_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=True)
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("False", "VolumeAttached")
        assert "web" in text(cloud, "back", "SnapshotRestore")
        assert cloud.condition("SnapshotRestore", "shop/back", "Stalled") is not None
        assert stored(cloud) == "new"
        cloud.edit(volumes=[])
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert stored(cloud) == "old"

    play(story)


@pytest.mark.parametrize("by", ["its spec", "its deletion"])
def test_a_vm_that_only_names_it_need_not_get_it_first(by: str) -> None:
    """One that waits for something else has no volumes yet, so no status tells when it no longer wants this one."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(vm("later", extra=mounted("data")).replace("offering: small", "offering: missing"))
        await cloud.settle(20)
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("False", "VolumeAttached")
        assert cloud.reason("later") == ("False", "OfferingNotFound")
        if by == "its spec":
            cloud.edit("later", volumes=[])
        else:
            cloud.delete("VirtualMachine", "shop/later")
        await cloud.settle(30)
        assert (back(cloud), stored(cloud)) == (("True", "Completed"), "old")

    play(story)


def test_nobody_touches_it_meanwhile() -> None:
    """Named by a VM, grown and deleted while its content comes back: all of that comes after."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.edit(volumes=mounts("data"))
        edit(cloud, size="8Gi")
        await asyncio.sleep(1)
        assert volume_ready(cloud) == ("False", "Reverting")
        assert volume_status(cloud)["state"] == "Reverting"
        assert cloud.reason() == ("False", "Restoring")
        await cloud.settle(90)
        assert back(cloud) == ("True", "Completed")
        assert stored(cloud) == "old"
        assert volume_ready(cloud) == ("True", "Ready")
        assert volume_status(cloud)["attachedTo"]["virtualMachine"] == "web"
        assert made(cloud)["data"].size == 8 * GIB

    play(story, settings=SLOW)


def test_deleted_meanwhile_the_volume_goes_after_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert not cloud.exists("Volume", "shop/data")
        assert not made(cloud)
        assert back(cloud) == ("True", "Completed")

    play(story, settings=SLOW)


def test_another_volume_of_that_name_is_not_overwritten() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        cloud.apply(volume())
        await cloud.settle(30)
        store(cloud, "precious")
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("False", "SourceGone")
        assert status(cloud, "back", "SnapshotRestore")["state"] == "Failed"
        assert "source.snapshot" in text(cloud, "back", "SnapshotRestore")
        assert stored(cloud) == "precious"

    play(story)


def test_status_lost_means_not_done_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(restore())
        await cloud.settle(30)
        store(cloud, "newer")
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(60)
        assert back(cloud) == ("False", "StatusLost")
        assert stored(cloud) == "newer"

    play(story)


@pytest.mark.parametrize(
    "kind", [FaultKind.LOSE_REPLY, FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.HANG, FaultKind.ERROR]
)
def test_a_call_that_goes_wrong_once(kind: FaultKind) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail("volumes.restore_volume", kind)
        cloud.apply(restore())
        await cloud.settle(4000)
        assert back(cloud) == ("True", "Completed")
        assert stored(cloud) == "old"
        assert volume_ready(cloud) == ("True", "Ready")

    play(story, settings=SLOW)


def test_a_volume_that_waits_to_grow_is_at_rest_after_the_restore_of_its_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=True)
        cloud.apply(snapshot("whole"))
        await cloud.settle(30)
        edit(cloud, size="8Gi")
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        cloud.apply(restore(to="whole"))
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert volume_ready(cloud) == ("False", "SnapshotsExist")
        assert volume_status(cloud)["state"] == "Ready", "its content is there"
        cloud.apply(snapshot("after", of=OF))
        await cloud.settle(30)
        assert ready(cloud, "after") == ("True", "Ready"), text(cloud, "after")
        cloud.delete("Snapshot", "shop/whole")
        await cloud.settle(60)
        assert volume_ready(cloud) == ("True", "Ready")
        assert volume_status(cloud)["size"] == "8Gi"

    play(story)
