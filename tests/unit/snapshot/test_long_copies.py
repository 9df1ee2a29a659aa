"""Copies that take longer than a reconcile may: each is made once, to its end, while others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from controller.runtime.attempt import Options
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from tests.support import cloud as base
from tests.support.snapshots import job, kept, reads, ready, restore, snapshot, status, store, stored, tree, write
from tests.support.vms import VMCloud, site, vm
from tests.support.volumes import made, mounted, volume
from tests.support.volumes import ready as volume_ready

COPY = 1200.0
"""Virtual seconds that a copy takes."""
OF = "volume: data"

Step = Callable[[VMCloud], None]


def apply(text: str) -> Step:
    return lambda cloud: cloud.apply(text)


@dataclass(frozen=True)
class Copy:
    """What users want after `before`, the call that it takes, its condition Ready at the end, and what must be true then."""

    call: str
    before: Sequence[Step]
    act: Step
    key: tuple[str, str]
    reason: str
    check: Callable[[VMCloud], bool]


SNAPSHOT = ("Snapshot", "shop/snap")
RESTORE = ("SnapshotRestore", "shop/back")
TAKEN_OF_VM: Sequence[Step] = (
    lambda cloud: write(cloud, "old"),
    apply(snapshot()),
    lambda cloud: write(cloud, "new"),
    lambda cloud: cloud.edit(powerState="Off", stopMode="Hard"),
)
TAKEN_OF_VOLUME: Sequence[Step] = (
    lambda cloud: store(cloud, "old"),
    apply(snapshot(of=OF)),
    lambda cloud: store(cloud, "new"),
)
FREE = apply(volume())
OFF = apply(vm(extra="powerState: 'Off'"))
COPIES = [
    Copy("snapshot_volume", [FREE], apply(snapshot(of=OF)), SNAPSHOT, "Ready", lambda cloud: kept(cloud) == ["snap"]),
    Copy(
        "snapshot_volume",
        [FREE, apply(vm(extra=mounted("data")))],
        apply(snapshot(of=OF)),
        SNAPSHOT,
        "Ready",
        lambda cloud: kept(cloud) == ["snap"],
    ),
    Copy("restore_volume", [FREE, *TAKEN_OF_VOLUME], apply(restore()), RESTORE, "Completed", lambda cloud: stored(cloud) == "old"),
    Copy(
        "create_volume",
        [FREE, *TAKEN_OF_VOLUME],
        apply(volume("copy", extra="source: {snapshot: {name: snap}}")),
        ("Volume", "shop/copy"),
        "Ready",
        lambda cloud: "copy" in made(cloud) and (stored(cloud, "copy"), made(cloud)["copy"].made) == ("old", 1),
    ),
    Copy("create_snapshot", [OFF], apply(snapshot()), SNAPSHOT, "Ready", lambda cloud: tree(cloud) == {"snap": None}),
    Copy(
        "restore",
        [apply(vm()), *TAKEN_OF_VM],
        apply(restore()),
        RESTORE,
        "Completed",
        lambda cloud: (reads(cloud), cloud.datacentre.vm().restores) == ("old", 1),
    ),
]
EACH = pytest.mark.parametrize("copy", COPIES, ids=[f"{number}-{each.call}" for number, each in enumerate(COPIES)])


class SlowCloud(VMCloud):
    """One kind of call takes very long, once it is slow; its effect comes at its end. `begun` and `ended` count them."""

    slow = ""
    begun = ended = 0

    async def point(self, name: str) -> None:
        if self.slow and name == f"before {self.slow}":
            self.begun += 1
            await asyncio.sleep(COPY)
            self.ended += 1
        await super().point(name)


def tell(story: Callable[[SlowCloud], object]) -> None:
    base.play_in(SlowCloud, story)  # type: ignore[arg-type]


async def begin(cloud: SlowCloud, copy: Copy) -> None:
    cloud.apply(site())
    await cloud.settle(30)
    for step in copy.before:
        step(cloud)
        await cloud.settle(30)
    cloud.slow = copy.call
    copy.act(cloud)


def test_a_copy_is_longer_than_a_reconcile() -> None:
    assert 3 * Options("", "").timeout < COPY


@EACH
def test_it_is_made_once_to_its_end(copy: Copy) -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, copy)
        await cloud.settle(COPY - 100)
        assert not copy.check(cloud)
        assert cloud.status(*copy.key)["job"]["status"] == "InProgress"
        assert cloud.condition(*copy.key, "Ready")[0] == "False"  # type: ignore[index]
        await cloud.settle(200)
        assert cloud.condition(*copy.key, "Ready") == ("True", copy.reason)
        assert copy.check(cloud)
        assert cloud.status(*copy.key)["job"]["status"] == "Succeeded"
        assert cloud.begun == 1

    tell(story)


@EACH
def test_others_are_reconciled_meanwhile_and_the_volume_or_vm_is_left_alone(copy: Copy) -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, copy)
        await cloud.settle(5)
        cloud.apply(volume("other"))
        await cloud.settle(30)
        assert volume_ready(cloud, "other") == ("True", "Ready") or copy.call == "create_volume"
        await cloud.settle(60)
        writes = cloud.writes
        await cloud.settle(COPY - 300)
        assert cloud.writes == writes, "nothing is written while nothing is known"
        await cloud.settle(2 * COPY)
        assert cloud.condition(*copy.key, "Ready") == ("True", copy.reason)

    tell(story)


@EACH
@pytest.mark.parametrize("after", [3.0, 700.0])
def test_a_controller_that_dies_meanwhile_leaves_it_to_the_next(copy: Copy, after: float) -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, copy)
        await cloud.settle(after)
        assert cloud.begun == 1
        await cloud.restart()
        await cloud.settle(2.5 * COPY)
        assert cloud.condition(*copy.key, "Ready") == ("True", copy.reason)
        assert copy.check(cloud)
        assert cloud.status(*copy.key)["job"]["status"] == "Succeeded"

    tell(story)


def test_what_is_deleted_meanwhile_goes_after_that() -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, COPIES[0])
        await cloud.settle(100)
        cloud.delete("Snapshot", "shop/snap")
        cloud.delete("Volume", "shop/data")
        await cloud.settle(COPY - 200)
        assert cloud.exists("Snapshot", "shop/snap")
        assert "data" in made(cloud)
        await cloud.settle(300)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert (kept(cloud), made(cloud)) == ([], {})
        assert cloud.ended == 1

    tell(story)


def test_one_that_is_given_up_by_its_user_disturbs_nobody() -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, COPIES[0])
        await cloud.settle(100)
        uid = cloud.raw(*SNAPSHOT)["metadata"]["uid"]
        cloud.annotate(*SNAPSHOT, "vireo.dev/force-delete", uid)
        cloud.delete(*SNAPSHOT)
        await cloud.settle(20)
        assert not cloud.exists(*SNAPSHOT)
        await cloud.settle(COPY)
        assert cloud.ended == 1
        assert volume_ready(cloud) == ("True", "Ready")

    tell(story)


def test_one_that_fails_at_last_is_made_again() -> None:
    async def story(cloud: SlowCloud) -> None:
        cloud.datacentre.fail("volumes.snapshot_volume", FaultKind.ERROR)
        await begin(cloud, COPIES[0])
        await cloud.settle(COPY + 100)
        assert cloud.condition(*SNAPSHOT, "Ready") == ("False", "Creating")
        assert cloud.begun == 2
        await cloud.settle(COPY)
        assert cloud.condition(*SNAPSHOT, "Ready") == ("True", "Ready")
        assert job(cloud) == ("CreateSnapshot", "Succeeded")

    tell(story)


def test_no_answer_is_awaited_from_a_connection_that_was_replaced() -> None:
    async def story(cloud: SlowCloud) -> None:
        await begin(cloud, COPIES[0])
        await cloud.settle(10)
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(150)
        assert ready(cloud) == ("False", "HostDown")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(60)
        assert cloud.begun == 2
        await cloud.settle(COPY)
        assert ready(cloud) == ("True", "Ready")
        assert status(cloud)["size"] == "5Gi"

    tell(story)
