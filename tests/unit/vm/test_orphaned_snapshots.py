"""Snapshots of Vireo's that a VM has in the hypervisor and no object declares: told of, and left."""

from __future__ import annotations

import pytest

from controller.ipam import snapshot_id
from drivers.simulator.engine.actions import Act
from drivers.types import DesiredSnapshot, Endpoint, Owner, SnapshotID
from tests.support.snapshots import ready, snapshot, tree, versions
from tests.support.vms import VMCloud, play, site, vm

OLD = Owner("uid-of-old", "shop", "old")
AS_DECLARED = ("True", "AsDeclared")
ORPHANED = ("False", "OrphanedSnapshots")


async def begin(cloud: VMCloud, extra: str = "") -> None:
    cloud.apply(site())
    cloud.apply(vm(extra=extra))
    await cloud.settle(60)


def take(cloud: VMCloud, owner: Owner = OLD) -> SnapshotID:
    """What a leader asks for that slept until its Snapshot was deleted, or one whose Snapshot is in no backup."""
    connection = cloud.datacentre.connect(Endpoint("simulator://dc/"))
    found, identity = cloud.datacentre.vm(), snapshot_id(owner.uid)
    connection.snapshots.create_snapshot(found.host, found.instance, DesiredSnapshot(identity, f"shop-{owner.name}", owner))
    connection.close()
    return identity


def in_sync(cloud: VMCloud) -> tuple[str, str] | None:
    return cloud.reason(type="InSync")


@pytest.mark.parametrize("power", ["On", "Off"])
def test_it_is_told_until_it_is_gone_and_the_vm_is_ready_all_the_same(power: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, f'powerState: "{power}"')
        assert in_sync(cloud) == AS_DECLARED
        stray = take(cloud)
        await cloud.settle(60)
        assert in_sync(cloud) == ORPHANED
        assert stray in cloud.text(type="InSync")
        assert cloud.reason() == ("True", "Running" if power == "On" else "Stopped")
        await cloud.settle(2000)
        assert tree(cloud) == {"old": None}, "whoever declares it may come back"
        cloud.datacentre.act(Act.DELETE_SNAPSHOT, "web", stray)
        await cloud.settle(60)
        assert in_sync(cloud) == AS_DECLARED

    play(story)


def test_those_that_are_declared_are_none_of_them() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(60)
        assert (ready(cloud), in_sync(cloud)) == (("True", "Ready"), AS_DECLARED)
        stray = take(cloud)
        await cloud.settle(60)
        assert cloud.text(type="InSync").endswith(f"declares: {stray}")
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(60)
        assert tree(cloud) == {"old": None}
        assert cloud.text(type="InSync").endswith(f"declares: {stray}")

    play(story)


def test_a_snapshot_that_comes_and_goes_is_never_told() -> None:
    """Also while the hypervisor shows it and its object is going."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for name in ("one", "two"):
            cloud.apply(snapshot(name))
            await cloud.settle(60)
        for name in ("one", "two"):
            cloud.delete("Snapshot", f"shop/{name}")
        await cloud.settle(120)
        assert tree(cloud) == {}
        told = [each for raw in versions(cloud, "VirtualMachine", "web") for each in raw.get("status", {}).get("conditions", ())]
        assert "OrphanedSnapshots" not in {each["reason"] for each in told}

    play(story)


def test_what_was_done_by_hand_is_told_beside_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, "driftPolicy: Report")
        stray = take(cloud)
        cloud.datacentre.act(Act.SET_CPUS, "web", "7")
        await cloud.settle(60)
        assert in_sync(cloud) == ("False", "Drift")
        assert "CPUs" in cloud.text(type="InSync")
        assert stray in cloud.text(type="InSync")

    play(story)
