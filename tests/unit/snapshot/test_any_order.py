"""Whatever users do with snapshots and restores, however often the controller dies: the tree is what is declared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support import kstatus
from tests.support.snapshots import ready, restore, runs, snapshot, status, tree
from tests.support.vms import GIB, Stop, VMCloud, play, site, vm

Step = Callable[[VMCloud], None]
SNAPSHOTS, RESTORES = ("a", "b", "c"), ("r", "s")
QUICK = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 1.5))


def take(name: str, memory: bool) -> Step:
    def step(cloud: VMCloud) -> None:
        if not cloud.exists("Snapshot", f"shop/{name}"):
            cloud.apply(snapshot(name, extra=f"includeMemory: {str(memory).lower()}"))

    return step


def bring_back(name: str, to: str) -> Step:
    def step(cloud: VMCloud) -> None:
        if not cloud.exists("SnapshotRestore", f"shop/{name}"):
            cloud.apply(restore(name, to))

    return step


def drop(kind: str, name: str) -> Step:
    def step(cloud: VMCloud) -> None:
        if cloud.exists(kind, f"shop/{name}"):
            cloud.delete(kind, f"shop/{name}")

    return step


def switch(power: str) -> Step:
    def step(cloud: VMCloud) -> None:
        if cloud.exists("VirtualMachine", "shop/web"):
            cloud.edit(powerState=power)

    return step


STEPS = st.one_of(
    st.builds(take, st.sampled_from(SNAPSHOTS), st.booleans()),
    st.builds(bring_back, st.sampled_from(RESTORES), st.sampled_from(SNAPSHOTS)),
    st.builds(drop, st.just("Snapshot"), st.sampled_from(SNAPSHOTS)),
    st.builds(drop, st.just("SnapshotRestore"), st.sampled_from(RESTORES)),
    st.builds(switch, st.sampled_from(["On", "Off"])),
)


def check(cloud: VMCloud) -> None:
    """What is Ready is there, once; what is there is declared; nobody holds the VM any longer, and it is as declared."""
    there = tree(cloud)
    for name in SNAPSHOTS:
        if not cloud.exists("Snapshot", f"shop/{name}"):
            assert name not in there
            continue
        taken = ready(cloud, name) == ("True", "Ready")
        assert taken == (name in there)
        assert not taken or status(cloud, name).get("parent") == there[name]
        assert taken or ready(cloud, name) == ("False", "VirtualMachineStopped")
    made = cloud.datacentre.service.dc.made
    assert all(made[each] == 1 for each in cloud.datacentre.vm().snapshots)
    declared = cloud.raw("VirtualMachine", "shop/web")["spec"].get("powerState", "On")
    assert cloud.reason() == ("True", "Running" if declared == "On" else "Stopped"), cloud.text()
    assert runs(cloud) == (declared == "On")
    completed = {raw["metadata"]["uid"] for raw in cloud.api.history if raw.get("status", {}).get("state") == "Completed"}
    assert cloud.datacentre.vm().restores >= len(completed)
    for key, raw in cloud.api.objects.items():
        assert raw.get("status", {}).get("job", {}).get("status") != "InProgress", key
        assert not raw["metadata"].get("deletionTimestamp"), key
        settled = kstatus.compute(raw) in (kstatus.CURRENT, kstatus.FAILED)
        assert settled or (ready(cloud, key.name, key.kind) or ("", ""))[1] in ("SnapshotNotFound", "SnapshotNotReady"), raw


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.tuples(STEPS, st.integers(0, 6)), max_size=10),
    stops=st.lists(st.integers(1, 40), max_size=3),
    slow=st.booleans(),
)
def test_any_steps_with_any_kills(steps: list[tuple[Step, int]], stops: list[int], slow: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm(extra="stopMode: Hard"))
        await cloud.settle(60)
        left = list(stops)
        for step, seconds in steps:
            if left and cloud.stop is None:
                cloud.stop = Stop(left.pop())
            step(cloud)
            for _ in range(seconds):
                await asyncio.sleep(1)
                await revive(cloud)
        for _ in range(20):
            await asyncio.sleep(1)
            await revive(cloud)
        cloud.stop = None
        await cloud.settle(120)
        check(cloud)

    play(story, settings=SLOW if slow else QUICK)


async def revive(cloud: VMCloud) -> None:
    """Start another controller where one died."""
    if cloud.stopped.is_set():
        cloud.stopped.clear()
        cloud.stop = None
        await cloud.restart()
