"""Volumes that are LUNs of an iSCSI target: found, kept for one, let go."""

from __future__ import annotations

import copy

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from tests.support import volumes
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import SNAPSHOT, edit, has, mounted, mounts, ready, status, text, volume

TARGET = "iqn.2026-01.org.example:data@san.example.org:3260"
POOL = """
kind: StoragePool
metadata: {name: san}
spec:
  zone: z1
  scope: Zone
  type: ISCSI
  iscsi: {server: san.example.org, target: "iqn.2026-01.org.example:data"}
"""


def lun(cloud: VMCloud, number: int = 1, size: int | None = 8 * GIB) -> None:
    """The storage server's administrator makes, grows or removes a LUN."""
    cloud.datacentre.act(Act.SET_LUN, f"{TARGET}/{number}", "" if size is None else str(size))


def named(name: str = "data", number: int = 1, size: str = "5Gi", extra: str = "") -> str:
    return volume(name, size, f"pool: san, lun: {number}" + (f", {extra}" if extra else ""))


async def begin(cloud: VMCloud, *texts: str) -> None:
    """Two hosts, a target with two LUNs, and then, all at once, what users declare."""
    for number in (1, 2):
        lun(cloud, number)
    await volumes.begin(cloud, *texts, pool=POOL)


def test_a_lun_is_a_volume_as_large_as_it_is() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named())
        await cloud.settle(30)
        found = status(cloud)
        assert (ready(cloud), found["state"], found["pool"]) == (("True", "Ready"), "Ready", "san"), text(cloud)
        assert found["size"] == "8Gi"
        assert cloud.raw("Volume", "shop/data")["metadata"]["finalizers"]
        pool = cloud.status("StoragePool", "san")
        assert (pool["state"], pool["hostsMounted"], pool["capacity"]["total"]) == ("Up", 2, "16Gi")
        assert pool["capacity"]["allocated"] == "8Gi"

    play(story)


def test_it_goes_from_vm_to_vm_and_stays_when_its_object_goes() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")), vm(name="other"))
        assert cloud.reason() == ("True", "Running")
        assert (has(cloud), status(cloud)["attachedTo"]["virtualMachine"]) == (["data"], "web")
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        assert ready(cloud, type="DeletionBlocked") == ("True", "InUse")
        cloud.edit(volumes=[])
        await cloud.settle(60)
        assert not cloud.exists("Volume", "shop/data")
        cloud.apply(named())
        cloud.edit("other", volumes=mounts("data"))
        await cloud.settle(60)
        assert (has(cloud, "web"), has(cloud, "other")) == ([], ["data"])
        assert cloud.reason("other") == ("True", "Running")
        assert "LetGo" in cloud.events("data")

    play(story)


def test_a_lun_has_one_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named("first"))
        cloud.apply(named("second"))
        cloud.apply(named("third", 2))
        await cloud.settle(30)
        assert [ready(cloud, name) for name in ("first", "second", "third")] == [
            ("True", "Ready"),
            ("False", "LUNInUse"),
            ("True", "Ready"),
        ]
        assert "shop/first" in text(cloud, "second")
        assert not cloud.raw("Volume", "shop/second")["metadata"].get("finalizers"), "nothing keeps it"
        cloud.delete("Volume", "shop/first")
        await cloud.settle(60)
        assert ready(cloud, "second") == ("True", "Ready")

    play(story)


def test_of_two_that_come_at_once_one_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named("one"), named("two"))
        assert sorted(ready(cloud, name) or ("", "") for name in ("one", "two")) == [("False", "LUNInUse"), ("True", "Ready")]

    play(story)


def test_lost_statuses_give_it_to_nobody_else() -> None:
    """Also when the one that has it is the younger, and its VM is nowhere to be seen."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named("zzz"))
        cloud.apply(named("aaa"))
        await cloud.settle(30)
        assert ready(cloud, "aaa") == ("False", "LUNInUse")
        await cloud.controller.kill()
        older = copy.deepcopy(cloud.raw("Volume", "shop/aaa"))
        older["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
        cloud.api._store(Key("Volume", "shop", "aaa"), older, "MODIFIED")
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(60)
        assert (ready(cloud, "zzz"), ready(cloud, "aaa")) == (("True", "Ready"), ("False", "LUNInUse"))
        assert status(cloud, "zzz")["size"] == "8Gi"

    play(story)


def test_growing_follows_the_lun() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        edit(cloud, size="10Gi")
        await cloud.settle(30)
        assert ready(cloud) == ("False", "LUNTooSmall")
        assert "8Gi" in text(cloud)
        assert (status(cloud)["state"], cloud.reason()) == ("Ready", ("True", "Running")), "its VM goes on"
        lun(cloud, 1, 12 * GIB)
        await cloud.settle(60)
        assert (ready(cloud), status(cloud)["size"]) == (("True", "Ready"), "12Gi")
        [seen] = cloud.datacentre.census.vms
        assert [each.size for each in seen.volumes] == [12 * GIB], "its VM knows"

    play(story)


def test_a_lun_that_went_is_told_and_comes_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), named("absent", 7))
        assert ready(cloud, "absent") == ("False", "LUNNotFound")
        assert "it has 1, 2" in text(cloud, "absent")
        lun(cloud, 1, None)
        lun(cloud, 7)
        await cloud.settle(700)
        assert (ready(cloud), status(cloud)["state"]) == (("False", "LUNMissing"), "Error")
        assert ready(cloud, "absent") == ("True", "Ready")
        lun(cloud, 1)
        await cloud.settle(60)
        assert (ready(cloud), status(cloud)["state"]) == (("True", "Ready"), "Ready")

    play(story)


@pytest.mark.parametrize(
    ("declared", "reason", "stalled"),
    [
        (named(size="9Gi"), "LUNTooSmall", False),
        (volume(extra="pool: san"), "LUNNotNamed", True),
        (volume(extra="pool: s1, lun: 1"), "PoolHasNoLUNs", True),
        (volume(extra="pool: none, lun: 1"), "PoolNotFound", False),
    ],
)
def test_what_cannot_be(declared: str, reason: str, stalled: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, declared)
        assert ready(cloud) == ("False", reason)
        assert (ready(cloud, type="Stalled") is not None) == stalled
        assert status(cloud)["state"] == "Allocated"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        assert not cloud.exists("Volume", "shop/data"), "nothing keeps it"

    play(story)


def test_nothing_else_is_placed_there() -> None:
    """Not in the emptiest pool of the zone, and not in the only one."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        assert (status(cloud)["pool"], cloud.vm()["disks"][0]["pool"]) == ("s1", "s1")
        cloud.api.edit(Key("StoragePool", "", "s1"), allocationState="Disabled")
        await cloud.settle(10)
        cloud.apply(volume("late"))
        cloud.apply(vm(name="late"))
        await cloud.settle(30)
        assert (ready(cloud, "late"), cloud.reason("late")) == (("False", "WaitForFirstConsumer"), ("False", "NoFittingHost"))
        assert "NoStoragePool" in cloud.text("late")
        assert "LUNs only" not in cloud.text("late"), "there is a pool for it, which is disabled"

    play(story)


def test_a_zone_with_luns_only_says_so_to_what_needs_another_pool() -> None:
    async def story(cloud: VMCloud) -> None:
        lun(cloud)
        files = next(each for each in site(1).split("\n---\n") if "kind: StoragePool" in each)
        cloud.apply(site(1).replace(files, POOL))
        await cloud.settle(30)
        cloud.apply(vm())
        cloud.apply(volume("late"))
        await cloud.settle(30)
        words = "the storage pools of zone z1 have LUNs only (san)"
        report = cloud.vm()["placementReport"]
        assert report["rejected"] == {"NoStoragePool": 1}
        assert all(words in said for said in (report["message"], cloud.text(), cloud.text(type="Placed"), text(cloud, "late")))
        cloud.apply(files)
        await cloud.settle(120)
        assert (cloud.reason(), ready(cloud, "late")) == (("True", "Running"), ("True", "Ready"))

    play(story)


def test_a_server_that_is_away_holds_up_nothing_else() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        cloud.apply(POOL)
        cloud.apply(named())
        cloud.apply(vm())
        await cloud.settle(60)
        assert cloud.condition("StoragePool", "san", "Ready") == ("False", "StorageUnavailable")
        assert (ready(cloud), cloud.reason()) == (("False", "PoolNotReady"), ("True", "Running"))
        lun(cloud)
        await cloud.settle(60)
        assert (cloud.condition("StoragePool", "san", "Ready"), ready(cloud)) == (("True", "Up"), ("True", "Ready"))
        cloud.datacentre.fail("volumes.contents", FaultKind.ERROR, count=None)
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, object="san")
        await cloud.settle(1500)
        assert (status(cloud)["state"], cloud.reason()) == ("Ready", ("True", "Running")), "what was there stays"
        cloud.datacentre.heal()
        cloud.delete("Volume", "shop/data")
        cloud.datacentre.fail("storage.ensure_pool", FaultKind.ERROR, count=None, object="san")
        cloud.delete("StoragePool", "san")
        await cloud.settle(60)
        assert not cloud.exists("StoragePool", "san"), "there is nothing to remove from it"

    play(story)


@pytest.mark.parametrize("of", ["volume: data", "virtualMachine: web"])
def test_snapshots_of_it_are_refused(of: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        cloud.apply(SNAPSHOT.format(of=of))
        await cloud.settle(30)
        assert cloud.condition("Snapshot", "shop/before", "Ready") == ("False", "SnapshotsUnsupported")
        assert "LUN" in cloud.message("Snapshot", "shop/before", "Ready")
        assert cloud.condition("Snapshot", "shop/before", "Stalled") is not None
        assert not cloud.points["before create_snapshot"] + cloud.points["before snapshot_volume"], "nothing was tried"
        [seen] = cloud.datacentre.census.vms
        assert (seen.snapshots, cloud.datacentre.census.snapshots) == ((), ())

    play(story)


def test_a_vm_that_was_lost_gets_its_lun_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), vm(extra=mounted("data")))
        assert has(cloud) == ["data"]
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(60)
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), ["data"])

    play(story)


def test_at_rest_nothing_is_written_and_a_restart_writes_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, named(), named("other", 2), vm(extra=mounted("data")))
        await cloud.settle(120)
        written = cloud.points["after status of Volume"]
        await cloud.settle(3600)
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.points["after status of Volume"] == written

    play(story)
