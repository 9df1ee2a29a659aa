"""Restores of VMs that are deleted, given up, refused or go wrong on the way."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.faults import FaultKind
from tests.support.snapshots import reads, restore, status, text, tree
from tests.support.vms import VMCloud, play

from .begun import SLOW, back, begin, why


def test_a_snapshot_being_read_is_not_deleted() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.delete("Snapshot", "shop/snap")
        await asyncio.sleep(1)
        assert cloud.condition("Snapshot", "shop/snap", "InUse") is not None
        assert "back" in text(cloud)
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert reads(cloud) == "old"
        assert not cloud.exists("Snapshot", "shop/snap")
        assert tree(cloud) == {}

    play(story, settings=SLOW)


def test_deleted_meanwhile_it_is_followed_to_its_end() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.delete("SnapshotRestore", "shop/back")
        await asyncio.sleep(1)
        assert cloud.exists("SnapshotRestore", "shop/back")
        await cloud.settle(60)
        assert not cloud.exists("SnapshotRestore", "shop/back")
        assert reads(cloud) == "old"
        assert cloud.reason() == ("True", "Stopped")

    play(story, settings=SLOW)


def test_deleted_before_it_began_it_does_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(restore())
        await cloud.settle(10)
        cloud.delete("SnapshotRestore", "shop/back")
        await cloud.settle(5)
        assert not cloud.exists("SnapshotRestore", "shop/back")
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        assert reads(cloud) == "new"

    play(story)


def test_the_vm_is_gone() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        cloud.apply(restore())
        await cloud.settle(10)
        assert back(cloud) == ("False", "SnapshotNotReady")
        assert cloud.condition("SnapshotRestore", "shop/back", "Stalled") is not None

    play(story)


def test_a_vm_deleted_meanwhile_goes_when_it_is_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert not cloud.datacentre.vms
        assert status(cloud, "back", "SnapshotRestore")["state"] in ("Completed", "Failed")

    play(story, settings=SLOW)


def test_a_vm_given_up_is_not_waited_for() -> None:
    """The host hangs in the middle: force-delete ends it all the same."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.datacentre.fail("*", FaultKind.HANG, count=None)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "Restoring")
        for kind, name in (("VirtualMachine", "web"), ("SnapshotRestore", "back")):
            if kind == "SnapshotRestore":
                cloud.delete(kind, f"shop/{name}")
            uid = cloud.raw(kind, f"shop/{name}")["metadata"]["uid"]
            cloud.annotate(kind, f"shop/{name}", "vireo.dev/force-delete", uid)
            await cloud.settle(60)
            assert not cloud.exists(kind, f"shop/{name}")

    play(story, settings=SLOW)


@pytest.mark.parametrize(
    "kind", [FaultKind.LOSE_REPLY, FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.HANG, FaultKind.ERROR]
)
def test_a_call_that_goes_wrong_once(kind: FaultKind) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.datacentre.fail("snapshots.restore", kind)
        cloud.apply(restore())
        await cloud.settle(4000)
        assert back(cloud) == ("True", "Completed"), why(cloud)
        assert (reads(cloud), cloud.datacentre.vm().restores) == ("old", 1)
        assert cloud.reason() == ("True", "Stopped")

    play(story, settings=SLOW)


def test_what_the_hypervisor_refuses_is_the_end() -> None:
    """A disk was taken out by hand: nothing was changed, and nothing is tried on another day."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.datacentre.fail("snapshots.restore", FaultKind.ERROR, error="Conflict")
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("False", "HypervisorConflict")
        found = status(cloud, "back", "SnapshotRestore")
        assert (found["state"], found["job"]["status"]) == ("Failed", "Failed")
        assert cloud.reason() == ("True", "Stopped")
        await cloud.restart()
        await cloud.settle(120)
        assert back(cloud) == ("False", "HypervisorConflict")
        assert reads(cloud) == "new"

    play(story)
