"""A guest that was frozen for a snapshot is thawed, whatever happens to the call, to the controller or to the user's mind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from drivers.errors import Transient
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support import cloud as base
from tests.support.snapshots import job, ready, snapshot, status, text, tree
from tests.support.vms import GIB, VMCloud, site, vm

QUICK = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 2))
BOTH = pytest.mark.parametrize("settings", [QUICK, SLOW], ids=["at once", "by tasks"])


class Guest:
    """Freezes with each call to take a quiesced snapshot; only one that ends well, or one that fails for good, has thawed it.

    The next `silent` calls take the snapshot and end without an answer from the agent.
    """

    def __init__(self, cloud: VMCloud) -> None:
        self.frozen, self.silent, self.calls = False, 0, 0
        self.order: list[str] = []
        service = cloud.datacentre.service
        self._plain = service.execute
        service.execute = self._execute  # type: ignore[method-assign]

    def _execute(self, session: str, method: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
        if method in ("snapshots.create_snapshot", "snapshots.delete_snapshot"):
            self.order.append(method.partition(".")[2])
        if method != "snapshots.create_snapshot" or not args[2].quiesce:
            return self._plain(session, method, args, faults)
        self.frozen, self.calls = True, self.calls + 1
        result = self._plain(session, method, args, faults)
        if self.silent:
            self.silent -= 1
            raise Transient("the agent did not confirm that the filesystems are thawed", outcome_unknown=True)
        self.frozen = False
        return result


class GuestCloud(VMCloud):
    guest: Guest
    seconds = 0.0
    """How long a call to take a snapshot waits for the agent."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.guest = Guest(self)

    async def point(self, name: str) -> None:
        if name == "before create_snapshot":
            await asyncio.sleep(self.seconds)
        await super().point(name)


def tell(story: Callable[[GuestCloud], Any], settings: Settings = QUICK) -> None:
    base.play_in(lambda: GuestCloud(settings), story)


async def begin(cloud: GuestCloud) -> None:
    cloud.apply(site())
    cloud.apply(vm())
    await cloud.settle(60)


def ask(cloud: GuestCloud) -> None:
    cloud.apply(snapshot(extra="quiesce: true"))


@BOTH
def test_one_call_is_enough_when_it_ends_well(settings: Settings) -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        ask(cloud)
        await cloud.settle(30)
        assert ready(cloud) == ("True", "Ready")
        assert (cloud.guest.calls, cloud.guest.frozen) == (1, False)

    tell(story, settings)


@pytest.mark.parametrize("silent", [1, 3])
def test_one_that_was_taken_counts_only_when_the_guest_is_thawed(silent: int) -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = silent
        ask(cloud)
        await asyncio.sleep(0.5)
        assert tree(cloud) == {"snap": None}
        assert ready(cloud) != ("True", "Ready")
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert (cloud.guest.calls, cloud.guest.frozen) == (silent + 1, False)
        assert cloud.datacentre.service.dc.made[status(cloud)["snapshotID"]] == 1

    tell(story)


def test_a_controller_that_dies_with_the_answer_leaves_the_thaw_to_the_next() -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 1
        ask(cloud)
        await asyncio.sleep(0.5)
        await cloud.restart()
        assert cloud.guest.frozen
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert (cloud.guest.calls, cloud.guest.frozen) == (2, False)

    tell(story)


def test_a_controller_that_dies_and_a_status_that_is_lost() -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 1
        ask(cloud)
        await asyncio.sleep(0.5)
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready"), text(cloud)
        assert not cloud.guest.frozen

    tell(story)


@pytest.mark.parametrize("restarted", [False, True])
def test_one_that_is_deleted_before_the_guest_answered_thaws_it_first(restarted: bool) -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 2
        ask(cloud)
        await asyncio.sleep(0.5)
        cloud.delete("Snapshot", "shop/snap")
        if restarted:
            await cloud.restart()
        await cloud.settle(60)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert (cloud.guest.frozen, tree(cloud)) == (False, {})
        assert cloud.guest.order == ["create_snapshot"] * 3 + ["delete_snapshot"]

    tell(story)


def test_a_guest_that_was_powered_off_needs_no_thaw() -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 1
        ask(cloud)
        await asyncio.sleep(0.5)
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await cloud.settle(60)
        assert ready(cloud) == ("True", "Ready")
        assert cloud.guest.calls == 1

    tell(story)


def test_an_agent_that_never_answers_holds_nobody_for_ever() -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 1000
        ask(cloud)
        await asyncio.sleep(1)
        cloud.edit(powerState="Off", stopMode="Hard")
        await asyncio.sleep(60)
        assert cloud.reason() == ("False", "SnapshotUnderWay")
        await cloud.settle(300)
        assert ready(cloud) == ("False", "SnapshotFailed")
        assert status(cloud)["state"] == "Error"
        assert job(cloud) == ("CreateVMSnapshot", "Failed")
        for words in ("did not confirm", "given up after 8 tries", "may be frozen", "restart its agent, or the VM"):
            assert words in text(cloud)
        assert cloud.guest.calls == 8
        assert cloud.reason() == ("True", "Stopped")
        cloud.guest.silent = 0
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(30)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert tree(cloud) == {}

    tell(story)


def test_nor_does_one_whose_silence_outlasts_the_reconcile() -> None:
    """libvirt waits for the agent three times five seconds, so the call ends in the background."""

    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent, cloud.seconds = 1000, 15.0
        ask(cloud)
        await cloud.settle(600)
        assert ready(cloud) == ("False", "SnapshotFailed")
        assert "given up after 8 tries" in text(cloud)
        assert cloud.guest.calls == 8
        assert cloud.reason() == ("True", "Running")

    tell(story)


def test_one_that_is_deleted_while_the_agent_never_answers_goes_all_the_same() -> None:
    async def story(cloud: GuestCloud) -> None:
        await begin(cloud)
        cloud.guest.silent = 1000
        ask(cloud)
        await asyncio.sleep(1)
        cloud.delete("Snapshot", "shop/snap")
        await cloud.settle(1200)
        assert not cloud.exists("Snapshot", "shop/snap")
        assert tree(cloud) == {}
        assert cloud.guest.calls <= 10

    tell(story)
