"""Bringing VMs back: in place, once, and only when nothing forbids it."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.settings import Settings
from tests.support.snapshots import job, reads, restore, runs, snapshot, status, store, stored, tree, versions, wish, write
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import has, mounted, mounts, volume
from tests.support.volumes import ready as volume_ready

from .begun import BOTH, SLOW, back, begin, why


@BOTH
def test_a_stopped_vm(settings: Settings | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        declared = wish(cloud, "VirtualMachine", "web")
        cloud.apply(restore())
        await cloud.settle(30)
        found = status(cloud, "back", "SnapshotRestore")
        assert back(cloud) == ("True", "Completed")
        assert (found["state"], job(cloud, "back", "SnapshotRestore")) == ("Completed", ("RevertToVMSnapshot", "Succeeded"))
        assert found["completedAt"]
        assert reads(cloud) == "old"
        assert not runs(cloud)
        assert cloud.reason() == ("True", "Stopped")
        assert tree(cloud) == {"snap": None}, "the snapshot stays"
        assert wish(cloud, "VirtualMachine", "web") == declared, "what Git says is still true"
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert (reads(cloud), runs(cloud)) == ("old", True)
        assert cloud.datacentre.vm().restores == 1

    play(story, settings=settings)


@BOTH
@pytest.mark.parametrize("power", ["On", "Off"])
def test_with_memory_the_vm_runs_on_as_it_ran_then_and_ends_as_declared(settings: Settings | None, power: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, memory=True, power=power)
        starts = cloud.datacentre.vm().starts
        cloud.apply(restore())
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert reads(cloud) == "old"
        assert runs(cloud) == (power == "On")
        assert cloud.datacentre.vm().starts == starts + (power == "Off"), "brought back running, not started"
        assert cloud.reason() == ("True", "Running" if power == "On" else "Stopped")

    play(story, settings=settings)


def test_a_running_vm_is_not_stopped_behind_its_owner_s_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(restore())
        await cloud.settle(30)
        assert back(cloud) == ("False", "VirtualMachineRunning")
        assert "stop VM web first" in why(cloud)
        assert cloud.condition("SnapshotRestore", "shop/back", "Stalled") is not None
        assert status(cloud, "back", "SnapshotRestore")["state"] == "Pending"
        assert (reads(cloud), runs(cloud)) == ("new", True)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert (reads(cloud), runs(cloud)) == ("old", False)

    play(story)


def test_the_vm_is_left_alone_meanwhile() -> None:
    """Declared On while it is brought back: started after that, on the old content."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await asyncio.sleep(1)
        cloud.edit(powerState="On")
        await asyncio.sleep(1)
        assert cloud.reason() == ("False", "Restoring")
        assert cloud.vm()["state"] == "Restoring"
        assert not runs(cloud)
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert (reads(cloud), runs(cloud)) == ("old", True)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=SLOW)


def test_order_does_not_matter() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(restore())
        await cloud.settle(5)
        assert back(cloud) == ("False", "SnapshotNotFound")
        cloud.apply(snapshot())
        await cloud.settle(5)
        assert back(cloud) == ("False", "SnapshotNotReady")
        cloud.apply(site())
        cloud.apply(vm(extra='powerState: "Off"'))
        await cloud.settle(90)
        assert back(cloud) == ("True", "Completed")

    play(story)


def test_once_and_never_again() -> None:
    """Not after a restart, not after a change of the VM, not after all statuses were lost."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await cloud.settle(30)
        write(cloud, "newer")
        await cloud.restart()
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert reads(cloud) == "newer"
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert (reads(cloud), cloud.datacentre.vm().restores) == ("newer", 1)

    play(story)


def test_an_older_one_without_status_does_not_undo_a_newer_one() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore("first"))
        await cloud.settle(30)
        cloud.apply(restore("second"))
        await cloud.settle(30)
        write(cloud, "newer")
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(60)
        assert back(cloud, "second") == ("True", "Completed")
        assert back(cloud, "first") == ("True", "Completed")
        assert (reads(cloud), cloud.datacentre.vm().restores) == ("newer", 2)

    play(story)


def test_back_and_forth_through_a_tree() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(snapshot("second"))
        await cloud.settle(20)
        cloud.apply(restore("a", "snap"))
        await cloud.settle(20)
        assert reads(cloud) == "old"
        cloud.apply(snapshot("branch"))
        await cloud.settle(20)
        assert tree(cloud) == {"snap": None, "second": "snap", "branch": "snap"}
        assert status(cloud, "branch")["parent"] == "snap"
        cloud.apply(restore("b", "second"))
        await cloud.settle(20)
        assert reads(cloud) == "new"

    play(story)


def test_two_at_once_come_one_after_the_other() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        for name in ("a", "b", "c"):
            cloud.apply(restore(name))
        await cloud.settle(90)
        assert [back(cloud, name) for name in ("a", "b", "c")] == [("True", "Completed")] * 3
        assert cloud.datacentre.vm().restores == 3

    play(story, settings=SLOW)


def test_states_go_forward_only() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, power="Off")
        cloud.apply(restore())
        await cloud.settle(30)
        states = [raw["status"].get("state") for raw in versions(cloud, "SnapshotRestore", "back") if "status" in raw]
        order = ["Pending", "Reverting", "Completed"]
        seen = [state for state in states if state]
        assert seen == sorted(seen, key=order.index)
        snap = [raw["status"]["state"] for raw in versions(cloud, "Snapshot", "snap") if raw.get("status", {}).get("state")]
        assert snap[0] == "Creating" or snap[0] == "Allocated"
        assert "Reverting" in snap
        assert snap[-1] == "Ready"

    play(story, settings=SLOW)


def test_volumes_come_back_with_the_vm_at_the_same_moment() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(volume())
        cloud.apply(vm(extra=mounted("data")))
        await cloud.settle(90)
        write(cloud, "old")
        store(cloud, "old data")
        cloud.apply(snapshot())
        await cloud.settle(20)
        write(cloud, "new")
        store(cloud, "new data")
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        cloud.apply(restore())
        await asyncio.sleep(1)
        assert volume_ready(cloud) == ("False", "Reverting")
        await cloud.settle(60)
        assert back(cloud) == ("True", "Completed")
        assert (reads(cloud), stored(cloud)) == ("old", "old data")
        assert volume_ready(cloud) == ("True", "Ready")
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert has(cloud) == ["data"]

    play(story, settings=SLOW)


def test_disks_and_volumes_stay_as_they_are_while_there_are_snapshots() -> None:
    """What could not be brought back is not changed; it is done when the last snapshot is gone."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(volume())
        await begin(cloud)
        cloud.edit(volumes=mounts("data"), rootDisk={"size": "20Gi"})
        await cloud.settle(60)
        assert has(cloud) == []
        writes = len(cloud.api.history)
        await cloud.settle(4000)
        assert len(cloud.api.history) - writes < 5, "it waits, it does not try again and again"
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(90)
        assert has(cloud) == ["data"]
        assert cloud.datacentre.vm().disks["root"].size == 20 * GIB
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_interfaces_and_size_go_on_changing_and_hold_after_a_restore_with_memory() -> None:
    """The running state that comes back is that of then, with what the VM had; what is declared now is put right at once."""
    back_nic = {"name": "back", "network": "front"}

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, memory=True)
        then = cloud.datacentre.vm().nics["front"]
        cloud.edit(networks=[back_nic], offering="large")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running"), "snapshots hold up neither"
        now = cloud.datacentre.vm().nics["back"]
        assert (list(cloud.datacentre.vm().nics), cloud.datacentre.vm().running_memory) == (["back"], 8 * GIB)
        assert (now.mac, now.ip) != (then.mac, then.ip)
        cloud.apply(restore())
        await cloud.settle(120)
        assert back(cloud) == ("True", "Completed")
        found = cloud.datacentre.vm()
        assert (reads(cloud), runs(cloud), found.restores) == ("old", True, 1)
        assert list(found.nics.values()) == [now], "the interface of now, with the address and MAC that it was given"
        assert (found.running_cpus, found.running_memory) == (4, 8 * GIB)
        assert [(each["name"], each["mac"], each["ip"]) for each in cloud.vm()["nics"]] == [("back", now.mac, now.ip)]
        assert "pendingChanges" not in cloud.vm()
        assert cloud.reason() == ("True", "Running")

    play(story)
