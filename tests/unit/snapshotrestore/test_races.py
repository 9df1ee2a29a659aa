"""Restores whose mark is written slowly: whatever begins meanwhile, nobody loses what they write, and no two work at once."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from drivers.errors import Unanswered
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.model import Volume
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import job, reads, ready, restore, runs, snapshot, status, store, stored, text, write
from tests.support.vms import GIB, PointedApi, VMCloud, play, site, vm
from tests.support.volumes import mounts, volume
from tests.support.volumes import status as volume_status

SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 3))


def write_slowly(cloud: VMCloud, edit: dict[str, object] | None = None, times: int = 1) -> None:
    """The first writes of a restore's status take seconds; `edit` goes into the VM's spec at their beginning."""
    api, slow = cast("PointedApi", cloud.api), list[str]()
    plain = api._point

    async def point(name: str) -> None:
        if name == "before status of SnapshotRestore" and len(slow) < times:
            slow.append(name)
            if edit:
                cloud.edit("web", **edit)
            await asyncio.sleep(4)
        await plain(name)

    api._point = point


def test_a_volume_that_a_vm_got_meanwhile_is_not_overwritten_until_it_is_free_again() -> None:
    """Nothing had been called yet: the restore waits, like one of a volume that was attached before."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(vm(extra="placement: {host: h2}"))
        cloud.apply(volume())
        await cloud.settle(40)
        store(cloud, "old")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        write_slowly(cloud, {"volumes": mounts("data")})
        cloud.apply(restore())
        await cloud.settle(60)
        assert ready(cloud, "back", "SnapshotRestore") == ("False", "VolumeAttached")
        assert "web" in text(cloud, "back", "SnapshotRestore")
        assert job(cloud, "back", "SnapshotRestore")[1] == "Cancelled"
        assert status(cloud, "back", "SnapshotRestore")["state"] == "Pending"
        assert stored(cloud) == "new"
        assert volume_status(cloud)["attachedTo"]["virtualMachine"] == "web"
        cloud.edit(volumes=[])
        await cloud.settle(60)
        assert ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
        assert job(cloud, "back", "SnapshotRestore")[1] == "Succeeded"
        assert stored(cloud) == "old"

    play(story)


def content_of(cloud: VMCloud) -> Volume:
    """The only volume, as its pool has it."""
    [found] = [each for pool in cloud.datacentre.service.dc.pools.values() for each in pool.volumes.values()]
    return found


def test_a_volume_that_a_vm_got_after_a_call_that_may_have_had_an_effect_is_never_overwritten() -> None:
    """Nobody knows whether its content is back already, and the VM has written to it since."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        cloud.apply(volume())
        await cloud.settle(60)
        store(cloud, "old")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        plain, lost = cloud.datacentre.service.execute, list[str]()

        def execute(session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
            if method == "volumes.restore_volume" and not lost:
                lost.append(method)
                dc, holder = cloud.datacentre.service.dc, cloud.datacentre.vm()
                dc.attach(holder, "data", content_of(cloud))
                dc.vm_changed(holder)
                raise Unanswered("the connection was lost", outcome_unknown=True)
            return plain(session, method, args, faults)

        cloud.datacentre.service.execute = execute  # type: ignore[method-assign]
        cloud.apply(restore())
        await cloud.settle(120)
        assert lost
        assert (ready(cloud, "back", "SnapshotRestore"), stored(cloud)) == (("False", "VolumeAttached"), "new")
        assert status(cloud, "back", "SnapshotRestore")["state"] == "Failed"
        assert job(cloud, "back", "SnapshotRestore")[1] == "Failed"
        cloud.datacentre.service.dc.detach(cloud.datacentre.vm(), content_of(cloud).volume)
        await cloud.settle(120)
        assert (status(cloud, "back", "SnapshotRestore")["state"], stored(cloud)) == ("Failed", "new")

    play(story)


def test_a_vm_that_somebody_switches_on_just_before_the_call_is_restored_when_it_is_off_again() -> None:
    """It is declared off, so that it will be stopped; the hypervisor refused before it had changed anything."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        write(cloud, "old")
        cloud.apply(snapshot())
        await cloud.settle(20)
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        write(cloud, "new")
        plain, refused = cloud.datacentre.service.execute, list[str]()

        def execute(session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
            if method == "snapshots.restore" and not refused:
                refused.append(method)
                cloud.datacentre.act(Act.POWER_ON, "web")
            return plain(session, method, args, faults)

        cloud.datacentre.service.execute = execute  # type: ignore[method-assign]
        cloud.apply(restore())
        await cloud.settle(120)
        assert refused
        assert ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
        assert job(cloud, "back", "SnapshotRestore") == ("RevertToVMSnapshot", "Succeeded")
        assert (reads(cloud), runs(cloud)) == ("old", False)
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.datacentre.vm().restores == 1

    play(story)


def test_two_restores_of_a_vm_run_one_after_the_other() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        for name in ("s1", "s2"):
            cloud.apply(snapshot(name))
            await cloud.settle(20)
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        running: list[list[str]] = []
        plain = cloud.datacentre.service.execute

        def execute(session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
            if method == "snapshots.restore":
                jobs = {name: status(cloud, name, "SnapshotRestore").get("job", {}).get("status") for name in ("r1", "r2")}
                running.append([name for name, state in jobs.items() if state == "InProgress"])
            return plain(session, method, args, faults)

        cloud.datacentre.service.execute = execute  # type: ignore[method-assign]
        write_slowly(cloud, times=2)
        cloud.apply(restore("r1", "s1"))
        cloud.apply(restore("r2", "s2"))
        await cloud.settle(120)
        assert sorted({name for names in running for name in names}) == ["r1", "r2"]
        assert [len(names) for names in running] == [1] * len(running), "at each call nobody else is at work"
        for name in ("r1", "r2"):
            assert ready(cloud, name, "SnapshotRestore") == ("True", "Completed")
        ended = [status(cloud, name, "SnapshotRestore")["completedAt"] for name in ("r1", "r2")]
        assert ended[0] != ended[1]
        assert cloud.datacentre.vm().restores == 2

    play(story, settings=SLOW)


def test_the_task_is_followed_on_the_host_that_runs_it() -> None:
    """The host that the volume was made through is silent: another one that has the pool does the work."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(volume())
        await cloud.settle(40)
        store(cloud, "old")
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        made_through = volume_status(cloud)["host"]
        cloud.datacentre.act(Act.CUT_HOST, f"host-0000{made_through[-1]}")
        await cloud.settle(120)
        cloud.apply(restore())
        await cloud.settle(120)
        assert ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
        assert status(cloud, "back", "SnapshotRestore")["host"] != made_through
        assert stored(cloud) == "old"

    play(story, settings=SLOW)
