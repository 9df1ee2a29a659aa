"""A VM and somebody who works on all of it, begun at the same moment: one of the two steps back before anything is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.simulator.engine.settings import Settings
from tests.support.snapshots import restore, runs, snapshot
from tests.support.vms import GIB, VMCloud, play, site, vm

SLOW = Settings(
    hosts=1,
    cpus=8,
    memory=32 * GIB,
    boot=1,
    shutdown=1,
    durations=dict.fromkeys(("snapshots.create_snapshot", "snapshots.restore"), 10),
)
CHANGES = {"snapshots.create_snapshot", "snapshots.restore", "power.start", "power.stop", "compute.apply", "compute.delete"}


def watch(cloud: VMCloud) -> list[tuple[str, list[str]]]:
    """For each call that changes the VM, the jobs that the API shows under way at that moment."""
    execute, seen = cloud.datacentre.service.execute, []

    def spy(session: str, method: str, args: tuple[Any, ...], faults: Any) -> Any:
        if method in CHANGES:
            found = ((key.kind, raw.get("status", {}).get("job", {})) for key, raw in cloud.api.objects.items())
            seen.append((method, [kind for kind, job in found if job.get("status") == "InProgress"]))
        return execute(session, method, args, faults)

    cloud.datacentre.service.execute = spy  # type: ignore[method-assign]
    return seen


def late(cloud: VMCloud, kind: str, then: Any) -> None:
    """While the next status of this kind is being written, `then` happens, and the write takes four seconds."""
    original, done = cloud.api._point, []

    async def point(name: str) -> None:
        if name == f"before status of {kind}" and not done:
            done.append(True)
            then()
            await asyncio.sleep(4)
        await original(name)

    cloud.api._point = point


async def begin(cloud: VMCloud) -> None:
    cloud.apply(site())
    cloud.apply(vm())
    await cloud.settle(60)


@pytest.mark.parametrize("deed", ["stop", "scale", "delete"])
def test_a_snapshot_begun_while_the_job_of_the_vm_is_written(deed: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        calls = watch(cloud)
        late(cloud, "VirtualMachine", lambda: cloud.apply(snapshot()))
        if deed == "delete":
            cloud.delete("VirtualMachine", "shop/web")
        else:
            cloud.edit("web", **({"powerState": "Off"} if deed == "stop" else {"offering": "large"}))
        await cloud.settle(120)
        assert calls
        assert all(len(working) == 1 for _, working in calls), calls
        if deed == "stop":
            assert not runs(cloud)
        if deed == "delete":
            assert not cloud.exists("VirtualMachine", "shop/web")

    play(story, settings=SLOW)


def test_a_start_gives_way_to_a_restore() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(20)
        cloud.edit("web", powerState="Off")
        await cloud.settle(30)
        calls = watch(cloud)
        late(cloud, "VirtualMachine", lambda: cloud.apply(restore()))
        cloud.edit("web", powerState="On")
        await cloud.settle(120)
        assert calls
        assert all(len(working) == 1 for _, working in calls), calls
        assert runs(cloud)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=SLOW)
