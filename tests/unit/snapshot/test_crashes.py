"""The controller dies before or after any write or call in the lives of snapshots and restores: each happens once all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.crashes import PARTS, Step, failing, killed_at_each_point, watch
from tests.support.snapshots import kept, reads, ready, restore, runs, snapshot, store, stored, tree, write
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import made, volume
from tests.support.volumes import ready as volume_ready
from tests.unit.runtime.fakes import Fault

QUICK = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 1.5))
"""Every call becomes a native task."""


def apply(text: str) -> Step:
    return lambda cloud: cloud.apply(text)


def delete(kind: str, name: str) -> Step:
    return lambda cloud: cloud.delete(kind, f"shop/{name}")


@dataclass(frozen=True)
class Life:
    """What is there before, what users do one after another, what must be there after it, and the calls that it consists of."""

    before: Sequence[Step]
    steps: Sequence[Step]
    check: Step
    calls: set[str]


def check_vm(cloud: VMCloud) -> None:
    found = cloud.datacentre.vm()
    assert tree(cloud) == {"two": None}, "one is gone, and two continues from what it continued from"
    assert all(cloud.datacentre.service.dc.made[each] == 1 for each in found.snapshots)
    assert (reads(cloud), found.restores, runs(cloud)) == ("old", 1, True)
    assert ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
    assert ready(cloud, "two") == ("True", "Ready")
    assert not cloud.exists("Snapshot", "shop/one")
    assert cloud.reason() == ("True", "Running")


OF_VM = Life(
    before=[apply(site()), apply(vm())],
    steps=[
        lambda cloud: write(cloud, "old"),
        apply(snapshot("one")),
        lambda cloud: write(cloud, "new"),
        apply(snapshot("two", extra="includeMemory: true")),
        lambda cloud: cloud.edit(powerState="Off", stopMode="Hard"),
        apply(restore("back", "one")),
        lambda cloud: cloud.edit(powerState="On"),
        delete("Snapshot", "one"),
    ],
    check=check_vm,
    calls={"create_snapshot", "restore", "delete_snapshot"},
)


def check_volume(cloud: VMCloud) -> None:
    assert kept(cloud) == []
    assert {name: (stored(cloud, name), each.made) for name, each in made(cloud).items()} == {
        "data": ("old", 1),
        "copy": ("old", 1),
    }
    assert ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
    assert not cloud.exists("Snapshot", "shop/snap")
    assert volume_ready(cloud) == volume_ready(cloud, "copy") == ("True", "Ready")


OF_VOLUME = Life(
    before=[apply(site()), apply(volume())],
    steps=[
        lambda cloud: store(cloud, "old"),
        apply(snapshot(of="volume: data")),
        lambda cloud: store(cloud, "new"),
        apply(restore()),
        apply(volume("copy", extra="source: {snapshot: {name: snap}}")),
        delete("Snapshot", "snap"),
    ],
    check=check_volume,
    calls={"snapshot_volume", "restore_volume", "delete_volume_snapshot", "create_volume"},
)


async def live(cloud: VMCloud, life: Life) -> None:
    """Take the steps; when the world stops meanwhile, start another controller, and go on."""
    for step in life.steps:
        step(cloud)
        await watch(cloud, 8)
        await cloud.settle(12)
    await cloud.settle(40)
    life.check(cloud)
    for key, raw in cloud.api.objects.items():
        assert raw.get("status", {}).get("job", {}).get("status") != "InProgress", key


def whole_life(life: Life, settings: Settings, disturb: Step) -> VMCloud:
    async def story(cloud: VMCloud) -> None:
        for step in life.before:
            step(cloud)
        await cloud.settle(60)
        cloud.points.clear()
        disturb(cloud)
        await live(cloud, life)

    return play(story, settings=settings)


LIVES = pytest.mark.parametrize("life", [OF_VM, OF_VOLUME], ids=["VM", "Volume"])


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])
@LIVES
def test_killed_before_or_after_any_write_or_call(life: Life, settings: Settings, part: int) -> None:
    """Every point of a life is tried, a quarter of them here; up to the kill, each life is the same."""
    steps = {f"{when} {call}" for when in ("before", "after") for call in life.calls}
    among = {*steps, "before status of Snapshot", "after metadata of SnapshotRestore"}
    killed_at_each_point(lambda disturb: whole_life(life, settings, disturb), among, part)


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.THROTTLED, Fault.UNAVAILABLE, Fault.LOST])
@pytest.mark.parametrize("kind", ["Snapshot", "SnapshotRestore"])
@LIVES
def test_each_write_of_a_life_fails_once(life: Life, kind: str, fault: Fault) -> None:
    """The first, second, … write to an object of the kind goes wrong, each in a life of its own."""

    for which in range(1, 9 if kind == "Snapshot" else 4):
        whole_life(life, QUICK, failing(which, fault, lambda part, key: part in ("status", "metadata") and key.kind == kind))
