"""Volumes and VMs in pools of type LVM: made, and what can't be done with them is said before it is tried."""

from __future__ import annotations

from typing import Any

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.settings import Settings
from tests.support import volumes
from tests.support.vms import GIB, VMCloud, play, vm
from tests.support.volumes import SNAPSHOT, edit, has, mounted, ready, status, text, volume

POOL = """
kind: StoragePool
metadata: {name: fast}
spec:
  zone: z1
  scope: Host
  host: h1
  type: LVM
  lvm: {volumeGroup: vg-1}
  path: /var/lib/vireo-fast
  tags: [fast]
"""
ROOT = "rootDisk: {{size: {size}, tags: [fast]}}"


def data(size: str = "5Gi") -> str:
    return volume("data", size, "pool: fast")


def change(cloud: VMCloud, **spec: Any) -> None:
    """Change the spec of the VM."""
    cloud.api.edit(Key("VirtualMachine", "shop", "web"), **spec)


async def begin(cloud: VMCloud, *texts: str) -> None:
    await volumes.begin(cloud, *texts, pool=POOL, hosts=1)
    await cloud.settle(30)


def test_a_vm_and_a_volume_are_there_with_all_their_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, data(), vm(extra=f"{ROOT.format(size='8Gi')}, {mounted('data')}"))
        assert (ready(cloud), cloud.reason(), has(cloud)) == (("True", "Ready"), ("True", "Running"), ["data"]), text(cloud)
        assert [disk["pool"] for disk in cloud.vm()["disks"]] == ["fast"]
        [disk] = [each for each in cloud.datacentre.census.disks if each.path == "lvm://vg-1"]
        assert disk.size == 8 * GIB

    play(story)


@pytest.mark.parametrize(
    ("of", "extra"), [("volume: data", ""), ("virtualMachine: web", ""), ("virtualMachine: web", ROOT.format(size="8Gi"))]
)
def test_snapshots_are_refused_before_they_are_tried(of: str, extra: str) -> None:
    """Of the volume, of a VM that has it, and of a VM with its root disk there."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, data(), vm(extra=extra or mounted("data")))
        cloud.apply(SNAPSHOT.format(of=of))
        await cloud.settle(30)
        assert cloud.condition("Snapshot", "shop/before", "Ready") == ("False", "SnapshotsUnsupported")
        assert "storage pool fast" in cloud.message("Snapshot", "shop/before", "Ready")
        assert cloud.condition("Snapshot", "shop/before", "Stalled") is not None
        assert not cloud.points["before create_snapshot"] + cloud.points["before snapshot_volume"], "nothing was tried"

    play(story)


def test_a_volume_grows_once_no_vm_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, data(), vm(extra=mounted("data")))
        edit(cloud, size="6Gi")
        await cloud.settle(60)
        assert ready(cloud) == ("False", "GrowNotPossible")
        assert status(cloud)["size"] == "5Gi"
        change(cloud, volumes=[])
        await cloud.settle(90)
        assert (ready(cloud), status(cloud)["size"]) == (("True", "Ready"), "6Gi")

    play(story)


@pytest.mark.parametrize("power", ["On", "Off"])
def test_a_root_disk_is_larger_in_a_new_vm_only_and_the_vm_goes_on(power: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(extra=ROOT.format(size="8Gi")))
        change(cloud, rootDisk={"size": "9Gi", "tags": ["fast"]}, powerState=power)
        await cloud.settle(120)
        [pending] = cloud.vm()["pendingChanges"]
        assert (pending["field"], pending["needs"]) == ("spec.rootDisk.size", "Recreate")
        assert cloud.reason(type="RestartRequired") is None, "a restart would not bring it"
        change(cloud, powerState="On")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert [disk.size for disk in cloud.datacentre.census.disks] == [8 * GIB]

    play(story)


def test_a_pool_that_has_no_room_for_all_of_it_is_not_taken() -> None:
    """A directory may be promised twice; a volume group can't."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        assert cloud.status("StoragePool", "fast")["capacity"]["total"] == "10Ti"
        cloud.apply(data("8Ti"))
        cloud.apply(volume("more", "5Ti", "pool: fast"))
        await cloud.settle(60)
        states = {name: cloud.condition("Volume", f"shop/{name}", "Ready") for name in ("data", "more")}
        assert sorted(states.values(), key=str) == [("False", "InsufficientStorage"), ("True", "Ready")]

    play(story)


def sized(capacity: int) -> Settings:
    """Hosts whose volume groups have so many GiB."""
    return Settings(hosts=1, cpus=8, memory=32 * GIB, pool_capacity=capacity * GIB, durations={"volumes.grow_volume": 4.0})


def test_a_volume_grows_only_where_its_larger_copy_fits_beside_it() -> None:
    """12 GiB are enough for 8 in place of 5, and not for 8 beside 5; what is lacking is said before anything is tried."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, data(), volume("other", "4Gi", "pool: fast"))
        edit(cloud, size="8Gi")
        await cloud.settle(60)
        assert ready(cloud) == ("False", "InsufficientStorage")
        assert text(cloud) == "storage pool fast lacks 5Gi for 8Gi, a copy beside the present 5Gi"
        assert not cloud.points["before grow_volume"], "nothing was tried"
        cloud.delete("Volume", "shop/other")
        await cloud.settle(90)
        assert ready(cloud) == ("False", "InsufficientStorage")
        edit(cloud, size="7Gi")
        await cloud.settle(90)
        assert (ready(cloud), status(cloud)["size"]) == (("True", "Ready"), "7Gi"), text(cloud)

    play(story, settings=sized(12))


def test_while_it_is_copied_nobody_is_given_the_room_of_both() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, data())
        edit(cloud, size="8Gi")
        await cloud.settle(2)
        assert status(cloud)["job"]["status"] == "InProgress"
        cloud.apply(volume("other", "8Gi", "pool: fast"))
        await cloud.settle(1)
        assert ready(cloud, "other") == ("False", "InsufficientStorage")
        await cloud.settle(90)
        assert (ready(cloud), status(cloud)["size"]) == (("True", "Ready"), "8Gi")
        assert ready(cloud, "other") == ("True", "Ready"), "the old content is gone"

    play(story, settings=sized(20))
