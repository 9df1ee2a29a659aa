"""Volumes in a pool of a Ceph cluster: made where they name it, and refused what the pool cannot do."""

from __future__ import annotations

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.faults import FaultKind
from tests.support import volumes
from tests.support.vms import GIB, VMCloud, play, vm
from tests.support.volumes import SNAPSHOT, edit, has, made, mounted, mounts, ready, status, text, volume

POOL = """
kind: StoragePool
metadata: {name: ceph}
spec:
  zone: z1
  scope: Zone
  type: RBD
  rbd: {monitors: [mon1.example.org], pool: vms, user: vireo, secretRef: {namespace: vireo-system, name: ceph}}
"""


def named(name: str = "data", size: str = "5Gi", extra: str = "") -> str:
    return volume(name, size, "pool: ceph" + (f", {extra}" if extra else ""))


async def begin(cloud: VMCloud, *texts: str) -> None:
    """Two hosts, a Ceph pool with its key, and then, all at once, what users declare."""
    cloud.set_secret("vireo-system", "ceph", key="c2VjcmV0")
    await volumes.begin(cloud, *texts, pool=POOL)


def test_a_volume_goes_from_vm_to_vm_and_is_removed() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")), vm(name="other"))
        assert (ready(cloud), status(cloud)["pool"]) == (("True", "Ready"), "ceph"), text(cloud)
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), ["data"])
        await cloud.settle(30)
        pool = cloud.status("StoragePool", "ceph")
        assert (pool["state"], pool["hostsMounted"], pool["capacity"]["allocated"]) == ("Up", 2, "5Gi")
        edit(cloud, size="7Gi")
        await cloud.settle(30)
        assert (ready(cloud), made(cloud)["data"].size) == (("True", "Ready"), 7 * GIB)
        cloud.edit(volumes=[])
        await cloud.settle(60)
        cloud.edit("other", volumes=mounts("data"))
        await cloud.settle(60)
        assert (has(cloud, "web"), has(cloud, "other")) == ([], ["data"])
        cloud.edit("other", volumes=[])
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert (cloud.exists("Volume", "shop/data"), made(cloud)) == (False, {})
        cloud.delete("StoragePool", "ceph")
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "ceph")

    play(story)


def test_nothing_goes_there_that_does_not_name_it() -> None:
    """Not in the only pool of the zone."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        assert (status(cloud)["pool"], cloud.vm()["disks"][0]["pool"]) == ("s1", "s1")
        cloud.api.edit(Key("StoragePool", "", "s1"), allocationState="Disabled")
        await cloud.settle(10)
        cloud.apply(volume("late"))
        cloud.apply(vm(name="late"))
        await cloud.settle(30)
        assert (ready(cloud, "late"), cloud.reason("late")) == (("False", "WaitForFirstConsumer"), ("False", "NoFittingHost"))

    play(story)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (named(extra="source: {template: {name: debian}}"), "SourceNotPossible"),
        (named(extra="lun: 1"), "PoolHasNoLUNs"),
    ],
)
def test_what_the_pool_cannot_do_is_said_at_once(declared: str, reason: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(), declared)
        await cloud.settle(60)
        assert ready(cloud) == ("False", reason), text(cloud)
        assert ready(cloud, type="Stalled") is not None
        assert not cloud.points["before create_volume"], "nothing was tried"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        assert not cloud.exists("Volume", "shop/data"), "nothing keeps it"

    play(story)


@pytest.mark.parametrize("of", ["volume: data", "virtualMachine: web"])
def test_snapshots_of_it_are_refused(of: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        cloud.apply(SNAPSHOT.format(of=of))
        await cloud.settle(30)
        assert cloud.condition("Snapshot", "shop/before", "Ready") == ("False", "SnapshotsUnsupported")
        assert "storage pool ceph" in cloud.message("Snapshot", "shop/before", "Ready")
        assert cloud.condition("Snapshot", "shop/before", "Stalled") is not None
        assert not cloud.points["before create_snapshot"] + cloud.points["before snapshot_volume"], "nothing was tried"

    play(story)


def test_a_cluster_that_is_away_holds_up_nothing_else() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        cloud.datacentre.fail("volumes.contents", FaultKind.ERROR, count=None)
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, object="ceph")
        cloud.apply(vm(name="other"))
        await cloud.settle(1500)
        assert cloud.condition("StoragePool", "ceph", "Ready") != ("True", "Up")
        assert (status(cloud)["state"], cloud.reason(), cloud.reason("other")) == (
            "Ready",
            ("True", "Running"),
            ("True", "Running"),
        )
        cloud.datacentre.heal()
        await cloud.settle(120)
        assert (cloud.condition("StoragePool", "ceph", "Ready"), ready(cloud)) == (("True", "Up"), ("True", "Ready"))

    play(story)


def test_lost_statuses_are_found_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert (ready(cloud), status(cloud)["pool"], has(cloud)) == (("True", "Ready"), "ceph", ["data"])

    play(story)
