"""Snapshots of Volumes: contents of their own, which outlive the volume and become other volumes."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Capability
from tests.support.snapshots import job, jobs, kept, ready, runs, snapshot, status, store, stored, text, versions
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import made, mounted, volume
from tests.support.volumes import ready as volume_ready

SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3))
BOTH = pytest.mark.parametrize("settings", [None, SLOW], ids=["at once", "by tasks"])
OF = "volume: data"


async def begin(cloud: VMCloud, *, attached: bool = False, hosts: int = 1) -> None:
    cloud.apply(site(hosts))
    cloud.apply(volume())
    if attached:
        cloud.apply(vm(extra=mounted("data")))
    await cloud.settle(90)
    assert volume_ready(cloud) == ("True", "Ready")
    store(cloud, "old")


@BOTH
@pytest.mark.parametrize("attached", [False, True])
def test_taken_once(settings: Settings | None, attached: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=attached, hosts=2)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(60)
        found = status(cloud)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        assert (found["state"], found["size"], found["memory"]) == ("BackedUp", "5Gi", False)
        assert found["pool"] == cloud.status("Volume", "shop/data")["pool"]
        assert found["sourceID"] == cloud.status("Volume", "shop/data")["volumeID"]
        if attached:
            assert found["host"] == cloud.vm()["host"]
            assert runs(cloud)
            assert cloud.reason() == ("True", "Running")
        assert job(cloud) == ("CreateSnapshot", "Succeeded")
        assert [(each.content, each.made) for each in cloud.datacentre.census.snapshots] == [("old", 1)]
        first = next(raw for raw in versions(cloud, "Snapshot", "snap") if raw.get("status", {}).get("job"))
        assert (first["status"]["pool"], first["metadata"].get("finalizers")) == (found["pool"], None)

    play(story, settings=settings)


def test_order_does_not_matter() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(snapshot(of=OF))
        await cloud.settle(5)
        assert ready(cloud) == ("False", "VolumeNotFound")
        cloud.apply(volume())
        await cloud.settle(5)
        assert ready(cloud) == ("False", "VolumeNotReady")
        cloud.apply(site())
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready")

    play(story)


@BOTH
def test_it_outlives_its_volume_and_becomes_another(settings: Settings | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert not cloud.exists("Volume", "shop/data")
        assert ready(cloud) == ("True", "Ready")
        await cloud.restart()
        cloud.apply(volume("copy", extra="source: {snapshot: {name: snap}}"))
        await cloud.settle(60)
        assert volume_ready(cloud, "copy") == ("True", "Ready")
        assert stored(cloud, "copy") == "old"
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(60)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert ("DeleteSnapshot", "InProgress") in jobs(cloud, "Snapshot", "snap")
        assert kept(cloud) == []
        assert stored(cloud, "copy") == "old"

    play(story, settings=settings)


def test_a_snapshot_that_a_volume_is_being_made_from_stays_until_then() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        cloud.apply(volume("copy", extra="source: {snapshot: {name: snap}}"))
        await asyncio.sleep(1)
        cloud.delete("Snapshot", "shop/snap")
        await asyncio.sleep(1)
        assert cloud.condition("Snapshot", "shop/snap", "InUse") is not None
        await cloud.settle(60)
        assert stored(cloud, "copy") == "old"
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story, settings=SLOW)


@pytest.mark.parametrize("volume_too", [False, True])
def test_all_status_lost(volume_too: bool) -> None:
    """Found in the pools, with its volume or without."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        if volume_too:
            cloud.delete("Volume", "shop/data")
            await cloud.settle(30)
        before = status(cloud)
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        now = status(cloud)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        assert [now[name] for name in ("pool", "snapshotID", "size", "state")] == [
            before[name] for name in ("pool", "snapshotID", "size", "state")
        ]
        assert now["createdAt"] == cloud.raw("Snapshot", "shop/snap")["metadata"]["creationTimestamp"]
        assert [each.made for each in cloud.datacentre.census.snapshots] == [1]
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(30)
        assert kept(cloud) == []

    play(story)


def test_a_volume_that_goes_before_it_was_taken() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail("volumes.snapshot_volume", FaultKind.ERROR, count=None)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(5)
        cloud.annotate("Volume", "shop/data", "vireo.dev/force-delete", cloud.raw("Volume", "shop/data")["metadata"]["uid"])
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert ready(cloud) == ("False", "SourceGone")
        assert job(cloud)[1] == "Failed"
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(30)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story)


def test_the_volume_is_left_alone_meanwhile() -> None:
    """Deleted and grown while its content is copied: both come after that."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await asyncio.sleep(1)
        cloud.delete("Volume", "shop/data")
        await asyncio.sleep(1)
        assert volume_ready(cloud) == ("False", "SnapshotUnderWay")
        assert "data" in made(cloud)
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert kept(cloud) == ["snap"]
        assert not made(cloud)

    play(story, settings=SLOW)


def test_its_vm_is_left_alone_meanwhile() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=True)
        cloud.apply(snapshot(of=OF))
        await asyncio.sleep(1)
        cloud.edit(volumes=[])
        await asyncio.sleep(1)
        assert cloud.reason() == ("False", "SnapshotUnderWay")
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert cloud.reason() == ("True", "Running")
        assert not cloud.datacentre.vm().volumes

    play(story, settings=SLOW)


def test_of_running_vms_only_where_the_hypervisor_can() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=True)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        assert ready(cloud) == ("False", "VirtualMachineRunning")
        assert "stop VM web first" in text(cloud)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")

    lacking = frozenset(Capability) - {Capability.VOLUME_SNAPSHOT_LIVE}
    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, capabilities=lacking))


def test_a_hypervisor_without_volume_snapshots() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        assert ready(cloud) == ("False", "SnapshotsUnsupported")
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(5)
        assert not cloud.exists("Snapshot", "shop/snap")

    lacking = frozenset(Capability) - {Capability.VOLUME_SNAPSHOTS}
    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, capabilities=lacking))


def test_deleted_in_the_pool() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(30)
        for pool in cloud.datacentre.service.dc.pools.values():
            pool.snapshots.clear()
        await cloud.settle(1300)
        assert ready(cloud) == ("False", "SnapshotMissing")
        assert kept(cloud) == []

    play(story)


@pytest.mark.parametrize(
    "kind", [FaultKind.ERROR, FaultKind.LOSE_REPLY, FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.HANG]
)
@pytest.mark.parametrize("method", ["volumes.snapshot_volume", "volumes.delete_volume_snapshot"])
def test_a_call_that_goes_wrong_once(kind: FaultKind, method: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail(method, kind)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(4000)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        assert [each.made for each in cloud.datacentre.census.snapshots] == [1]
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(4000)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert kept(cloud) == []
        assert volume_ready(cloud) == ("True", "Ready")

    play(story, settings=SLOW)


def test_at_rest_it_costs_no_write() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, attached=True)
        cloud.apply(snapshot(of=OF))
        await cloud.settle(400)
        before = len(cloud.api.history)
        await cloud.settle(3600)
        assert len(cloud.api.history) == before

    play(story)
