"""What a VM's disks can't have: room that the pool lacks, changes that a snapshot forbids."""

from __future__ import annotations

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.support.vms import GIB, VMCloud, play, vm
from tests.support.volumes import begin, edit, has, mounted, mounts, ready, status, volume

SMALL = Settings(hosts=2, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, boot=1, shutdown=1)
SNAPSHOT = """
kind: Snapshot
metadata: {name: before, namespace: shop}
spec: {virtualMachine: web}
"""


def root(cloud: VMCloud, name: str = "web") -> int:
    return next(disk.size for disk in cloud.datacentre.census.disks if disk.instance == cloud.datacentre.vm(name).instance)


def test_a_root_disk_grows_once_its_pool_has_the_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(), volume("a", "18Gi"), volume("b", "17Gi"))
        cloud.edit(rootDisk={"size": "12Gi"}, offering="large")
        await cloud.settle(10)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        assert "storage pool s1 lacks" in cloud.text()
        assert (root(cloud), cloud.datacentre.vm().cpus) == (2 * GIB, 4), "the rest of the spec takes effect"
        held = cloud.controller.parts.placements.size(cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"])
        assert held is not None
        assert held.disk == 2 * GIB
        cloud.delete("Volume", "shop/a")
        await cloud.settle(60)
        assert (cloud.reason(), root(cloud)) == (("True", "Running"), 12 * GIB)

    play(story, settings=SMALL)


def test_snapshots_hold_up_changes_of_disks_without_a_storm() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume("old"), volume("new"), vm(extra=mounted("old")), SNAPSHOT)
        assert cloud.condition("Snapshot", "shop/before", "Ready") == ("True", "Ready")
        cloud.edit(volumes=mounts("new"), rootDisk={"size": "8Gi"}, offering="large")
        edit(cloud, "old", size="9Gi")
        await cloud.settle(30)
        assert cloud.reason() == ("False", "SnapshotsExist")
        assert "spec.rootDisk.size, spec.volumes[new], spec.volumes[old]" in cloud.text()
        assert ready(cloud, "old") == ("False", "SnapshotsExist")
        assert (has(cloud), cloud.datacentre.vm().cpus) == (["old"], 4)
        cloud.points.clear()
        await cloud.settle(600)
        assert not cloud.points["before apply"]
        assert not cloud.points["before grow_volume"]
        assert not cloud.points["after status of VirtualMachine"]
        cloud.delete("Snapshot", "shop/before")
        await cloud.settle(60)
        assert (cloud.reason(), has(cloud), root(cloud)) == (("True", "Running"), ["new"], 8 * GIB)
        assert status(cloud, "old")["size"] == "9Gi"

    play(story)


def test_volumes_changed_by_hand_are_reported_by_default() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")))
        cloud.datacentre.act(Act.DETACH_VOLUME, "web", status(cloud)["volumeID"])
        await cloud.settle(20)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert "volumes" in cloud.text()
        assert (has(cloud), cloud.datacentre.vm().power) == ([], Power.ON)
        cloud.edit(driftPolicy="Correct")
        await cloud.settle(10)
        assert (has(cloud), cloud.reason()) == (["data"], ("True", "Running"))

    play(story)


def test_disks_of_others_are_left_alone() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")))
        cloud.datacentre.act(Act.ADD_DEVICE, "web", "sdz")
        await cloud.settle(20)
        cloud.edit(volumes=[])
        await cloud.settle(20)
        assert has(cloud) == []
        assert cloud.datacentre.vm().foreign == ("sdz",)
        assert cloud.reason(type="InSync") == ("False", "ForeignDevices")

    play(story)
