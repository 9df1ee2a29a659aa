"""Snapshots of VMs: taken once, shown, found again, removed, and refused with a reason."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Capability
from tests.support.snapshots import job, jobs, key, ready, runs, snapshot, status, text, tree, versions
from tests.support.vms import GIB, VMCloud, play, site, vm

SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3))


def without(*lacking: Capability) -> Settings:
    return Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, capabilities=frozenset(Capability) - set(lacking))


async def begin(cloud: VMCloud, extra: str = "") -> None:
    cloud.apply(site())
    cloud.apply(vm(extra=extra))
    await cloud.settle(60)


@pytest.mark.parametrize("settings", [None, SLOW], ids=["at once", "by tasks"])
@pytest.mark.parametrize("memory", [False, True])
def test_a_running_vm(settings: Settings | None, memory: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(extra=f"includeMemory: {str(memory).lower()}"))
        await cloud.settle(30)
        found = status(cloud)
        assert ready(cloud) == ("True", "Ready")
        assert (found["state"], found["memory"], found["host"]) == ("Ready", memory, "h1")
        assert found["sourceID"] == cloud.vm()["instanceID"]
        assert found["createdAt"].startswith("1970-01-12T")  # the hypervisor's own clock
        assert "parent" not in found
        assert job(cloud) == ("CreateVMSnapshot", "Succeeded")
        assert tree(cloud) == {"snap": None}
        assert runs(cloud)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=settings)


def test_the_intent_is_written_before_the_finalizer_and_both_before_the_call() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(10)
        first = next(raw for raw in versions(cloud, "Snapshot", "snap") if raw.get("status", {}).get("job"))
        assert first["status"]["job"]["status"] == "InProgress"
        assert first["status"]["state"] == "Creating"
        assert not first["metadata"].get("finalizers")

    play(story)


def test_order_does_not_matter() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(snapshot())
        await cloud.settle(10)
        assert ready(cloud) == ("False", "VirtualMachineNotFound")
        cloud.apply(vm())
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert cloud.vm()["job"]["status"] == "Succeeded"

    play(story)


def test_a_tree() -> None:
    """Each continues from the one before; without the middle one, the third continues from the first."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for name in ("one", "two", "three"):
            cloud.apply(snapshot(name))
            await cloud.settle(10)
        assert [status(cloud, name).get("parent") for name in ("one", "two", "three")] == [None, "one", "two"]
        cloud.delete("Snapshot", "shop/two")
        await cloud.settle(10)
        assert not cloud.exists("Snapshot", "shop/two")
        assert ("DeleteVMSnapshot", "InProgress") in jobs(cloud, "Snapshot", "two")
        assert "Expunging" in {raw.get("status", {}).get("state") for raw in versions(cloud, "Snapshot", "two")}
        assert tree(cloud) == {"one": None, "three": "one"}
        assert status(cloud, "three")["parent"] == "one"
        cloud.delete("Snapshot", "shop/one")
        await cloud.settle(10)
        assert "parent" not in status(cloud, "three")

    play(story)


def test_many_at_once_are_taken_one_after_another() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for number in range(5):
            cloud.apply(snapshot(f"s{number}"))
        await cloud.settle(120)
        assert sorted(tree(cloud)) == [f"s{number}" for number in range(5)]
        assert len([parent for parent in tree(cloud).values() if parent is None]) == 1
        assert all(cloud.datacentre.service.dc.made[each] == 1 for each in cloud.datacentre.vm().snapshots)
        assert all(ready(cloud, f"s{number}") == ("True", "Ready") for number in range(5))

    play(story, settings=SLOW)


def test_the_vm_is_left_alone_meanwhile() -> None:
    """Stopped as soon as the snapshot is there, not while it is taken."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await asyncio.sleep(1)
        cloud.edit(powerState="Off", stopMode="Hard")
        await asyncio.sleep(1)
        assert cloud.reason() == ("False", "SnapshotUnderWay")
        assert "Snapshot snap" in cloud.text()
        await cloud.settle(60)
        assert tree(cloud) == {"snap": None}
        assert not runs(cloud)
        assert cloud.reason() == ("True", "Stopped")

    play(story, settings=SLOW)


def test_a_vm_at_work_is_waited_for() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.edit(restartedAt="2026-11-20T11:00:00Z")
        await asyncio.sleep(1)
        cloud.apply(snapshot())
        await asyncio.sleep(1)
        assert ready(cloud) == ("False", "VirtualMachineBusy")
        assert "RebootVirtualMachine" in text(cloud)
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert cloud.reason() == ("True", "Running")

    play(story, settings=SLOW)


REFUSED = [
    (without(Capability.SNAPSHOTS), "", "SnapshotsUnsupported"),
    (without(Capability.SNAPSHOT_MEMORY), "includeMemory: true", "SnapshotsUnsupported"),
    (without(Capability.SNAPSHOT_QUIESCE), "quiesce: true", "SnapshotsUnsupported"),
    (without(Capability.SNAPSHOT_RUNNING), "", "VirtualMachineRunning"),
]


@pytest.mark.parametrize(("settings", "extra", "reason"), REFUSED)
def test_what_the_hypervisor_cannot_do_is_said(settings: Settings, extra: str, reason: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(extra=extra))
        await cloud.settle(30)
        assert ready(cloud) == ("False", reason)
        assert cloud.condition("Snapshot", "shop/snap", "Stalled") == ("True", reason)
        assert status(cloud)["state"] == "Allocated"
        assert "job" not in status(cloud)
        assert cloud.reason() == ("True", "Running")
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(5)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story, settings=settings)


def test_a_stopped_vm_goes_where_running_ones_do_not() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, extra='powerState: "Off"')
        cloud.apply(snapshot(extra="quiesce: true"))
        await cloud.settle(30)
        assert ready(cloud) == ("True", "Ready"), text(cloud)

    play(story, settings=without(Capability.SNAPSHOT_RUNNING))


def test_the_memory_of_a_stopped_vm_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, extra='powerState: "Off"')
        cloud.apply(snapshot(extra="includeMemory: true"))
        await cloud.settle(30)
        assert ready(cloud) == ("False", "VirtualMachineStopped")
        assert "no memory" in text(cloud)
        assert cloud.condition("Snapshot", "shop/snap", "Stalled") is not None
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert ready(cloud) == ("True", "Ready")

    play(story)


def test_a_silent_agent_is_waited_for() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.edit(restartedAt="2026-11-20T11:00:00Z")
        await asyncio.sleep(12)
        cloud.apply(snapshot(extra="quiesce: true"))
        await asyncio.sleep(1)
        assert ready(cloud) == ("False", "AgentSilent")
        await cloud.settle(90)
        assert ready(cloud) == ("True", "Ready")

    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, boot=30, shutdown=2))


def test_deleted_on_the_hypervisor() -> None:
    """Not taken again: it would hold something else."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(10)
        cloud.datacentre.act(Act.DELETE_SNAPSHOT, "web", status(cloud)["snapshotID"])
        await cloud.settle(700)
        assert ready(cloud) == ("False", "SnapshotMissing")
        assert status(cloud)["state"] == "Error"
        assert tree(cloud) == {}
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(5)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story)


def test_it_goes_with_the_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(10)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.datacentre.vms
        assert ready(cloud) == ("False", "SourceGone")
        cloud.apply(vm())
        await cloud.settle(60)
        assert ready(cloud) == ("False", "SourceGone"), "another VM of that name is not the one it was taken of"
        assert tree(cloud) == {}
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(5)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story)


def test_both_deleted_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(20)
        cloud.delete("Snapshot", "shop/snap")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert not cloud.datacentre.vms

    play(story, settings=SLOW)


def test_an_unreachable_host_blocks_deletion_until_it_is_given_up() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(20)
        cloud.datacentre.fail("*", FaultKind.HANG, count=None)
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready"), "what nobody can be asked about stays as it was"
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(20)
        assert ready(cloud) == ("False", "DeletionBlocked")
        assert "force-delete" in text(cloud)
        cloud.annotate("Snapshot", "shop/snap", "vireo.dev/force-delete", cloud.raw("Snapshot", "shop/snap")["metadata"]["uid"])
        await cloud.settle(20)
        assert not cloud.exists("Snapshot", "shop/snap")

    play(story)


@pytest.mark.parametrize("settings", [None, SLOW], ids=["at once", "by tasks"])
def test_all_status_lost(settings: Settings | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for name in ("one", "two"):
            cloud.apply(snapshot(name))
            await cloud.settle(20)
        before = {name: status(cloud, name) for name in ("one", "two")}
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(60)
        for name, old in before.items():
            now = status(cloud, name)
            assert {k: v for k, v in now.items() if k not in ("job", "conditions")} == {
                k: v for k, v in old.items() if k not in ("job", "conditions")
            }
            assert ready(cloud, name) == ("True", "Ready")
        assert tree(cloud) == {"one": None, "two": "one"}
        assert all(cloud.datacentre.service.dc.made[each] == 1 for each in cloud.datacentre.vm().snapshots)

    play(story, settings=settings)


@pytest.mark.parametrize(
    "kind", [FaultKind.ERROR, FaultKind.LOSE_REPLY, FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.HANG]
)
@pytest.mark.parametrize("method", ["snapshots.create_snapshot", "snapshots.delete_snapshot"])
def test_a_call_that_goes_wrong_once(kind: FaultKind, method: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.datacentre.fail(method, kind)
        cloud.apply(snapshot())
        await cloud.settle(4000)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        [made] = cloud.datacentre.vm().snapshots
        assert cloud.datacentre.service.dc.made[made] == 1
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(4000)  # a removal may take the hour that merging disks may take
        assert not cloud.exists("Snapshot", "shop/snap")
        assert tree(cloud) == {}
        assert cloud.reason() == ("True", "Running")

    play(story, settings=SLOW)


def test_a_paused_one_is_left_alone() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        cloud.annotate("Snapshot", "shop/snap", "vireo.dev/paused", "true")
        await cloud.settle(20)
        assert tree(cloud) == {}
        cloud.api.annotate(key("Snapshot", "snap"), "vireo.dev/paused", "false")
        await cloud.settle(20)
        assert tree(cloud) == {"snap": None}

    play(story)


def test_a_cloud_with_snapshots_at_rest_costs_no_write() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(400)
        before = len(cloud.api.history)
        await cloud.settle(3600)
        assert len(cloud.api.history) == before

    play(story)
