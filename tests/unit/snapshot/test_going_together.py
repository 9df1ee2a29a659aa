"""A VM and its Snapshot deleted while the hypervisor works on the snapshot; and how often its progress is written."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import snapshot, versions
from tests.support.vms import GIB, VMCloud, play, site, vm


def lasting(seconds: int) -> Settings:
    return Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, seconds))


@pytest.mark.parametrize("first", ["Snapshot", "VirtualMachine"])
@pytest.mark.parametrize("removed", [False, True], ids=["being taken", "being removed"])
def test_neither_waits_for_the_other(first: str, removed: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.apply(snapshot())
        await cloud.settle(20 if removed else 1)
        if removed:
            cloud.delete("Snapshot", "shop/snap")
            await asyncio.sleep(1)
            cloud.delete("VirtualMachine", "shop/web")
        else:
            names = {"Snapshot": "shop/snap", "VirtualMachine": "shop/web"}
            for kind in sorted(names, key=lambda kind: kind != first):
                cloud.delete(kind, names[kind])
        await cloud.settle(120)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert not cloud.datacentre.vms

    play(story, settings=lasting(3))


def test_progress_is_written_in_steps() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(4000)
        cloud.apply(snapshot())
        await cloud.settle(150)
        assert len(versions(cloud, "Snapshot", "snap")) <= 16

    play(story, settings=lasting(100))
