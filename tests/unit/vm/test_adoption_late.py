"""A call that marks a VM may take effect long after nobody waits for it any more: no VM stays marked for an object that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from controller.inventory import Lanes
from controller.runtime.lanes import CallTimeout, Lane
from drivers.errors import DriverError
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.support import cloud as base
from tests.support.adoption import ID, IP, adopting, foreign, like, phase, ready, there
from tests.support.vms import GIB, PointedLane, Stop, VMCloud

LATE = 300.0
"""Seconds that a call takes to have its effect, while a lane waits for 60."""


class LateLane(PointedLane):
    """The next call that marks a VM is given up, and takes effect all the same."""

    def __init__(self, cloud: LateCloud) -> None:
        super().__init__(cloud.point)
        self._cloud = cloud

    async def call(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        if getattr(function, "__name__", "") != "adopt" or not self._cloud.late:
            return await super().call(function, *args, timeout=timeout)
        self._cloud.late, loop = False, asyncio.get_running_loop()
        loop.call_later(LATE, self._effect, function, args)
        await asyncio.sleep(timeout)
        raise CallTimeout("no answer")

    def _effect(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        with suppress(DriverError):
            function(*args)
        self._cloud.took_effect = True


class LateCloud(VMCloud):
    """A cloud with such a call in it, after a VM of somebody else was found."""

    late = True
    took_effect = False

    def lanes(self, name: str = "") -> Lanes:
        return replace(super().lanes(name), work=cast("Lane", LateLane(self)))


def play(story: Callable[[LateCloud], Awaitable[None]], settings: Settings | None = None) -> None:
    base.play_in(lambda: LateCloud(settings), story)


async def hung(cloud: LateCloud, extra: str = "") -> None:
    """The call was made, and is about to be given up; it has had no effect so far."""
    await ready(cloud)
    foreign(cloud, like(cloud))
    cloud.apply(adopting(mode="Adopt", extra=extra))
    await cloud.settle(50)
    assert (cloud.late, cloud.took_effect, there(cloud).owner) == (False, False, None)


@pytest.mark.parametrize("policy", ["", "deletionPolicy: Retain", "deletionPolicy: Delete"], ids=["default", "Retain", "Delete"])
def test_a_deleted_object_stays_until_the_call_has_returned_and_its_mark_is_off(policy: str) -> None:
    async def story(cloud: LateCloud) -> None:
        await hung(cloud, policy)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.condition("VirtualMachine", "shop/web", "DeletionBlocked") == ("True", "AdoptionUnderWay")
        await cloud.settle(LATE)
        assert cloud.took_effect
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert [vm.owner for vm in cloud.datacentre.vms] == ([] if "Delete" in policy else [None])
        assert cloud.status("Host", "h1").get("orphans", []) == []
        held = [str(ip) for ip, _ in cloud.controller.parts.addresses.records("shop/front")]
        assert held == ([] if "Delete" in policy else [IP])

    play(story)


def test_a_deleted_object_goes_as_soon_as_the_vm_is_known_to_be_gone() -> None:
    async def story(cloud: LateCloud) -> None:
        await hung(cloud)
        cloud.datacentre.act(Act.DELETE_VM, f"host-00001/{ID}")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(LATE + 60)
        assert not cloud.exists("VirtualMachine", "shop/web")

    play(story)


def test_whoever_gives_it_up_gets_rid_of_the_object_at_once() -> None:
    async def story(cloud: LateCloud) -> None:
        await hung(cloud)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        raw = cloud.raw("VirtualMachine", "shop/web")
        cloud.annotate("VirtualMachine", "shop/web", "vireo.dev/force-delete", raw["metadata"]["uid"])
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")

    play(story)


def test_nothing_else_is_tried_meanwhile_and_the_mark_counts_when_it_comes() -> None:
    """Not even a refusal: what was booked for the VM would be free, and its mark would come after all."""

    async def story(cloud: LateCloud) -> None:
        await hung(cloud)
        cloud.edit(firmware="UEFI")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "Adopting")
        assert "has not answered yet" in cloud.text()
        assert [owner.name for _, owner in cloud.controller.parts.addresses.records("shop/front")] == ["shop/web"]
        assert cloud.points["before adopt"] <= 1
        writes = cloud.writes
        await cloud.settle(60)
        assert cloud.writes == writes
        await cloud.settle(LATE)
        assert (cloud.took_effect, phase(cloud)) == (True, "Adopted")
        assert (there(cloud).owner is not None, there(cloud).power) == (True, Power.ON)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert (cloud.exists("VirtualMachine", "shop/web"), there(cloud).owner) == (False, None)

    play(story)


TASKS = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5, durations={"adoption.adopt": 40.0})
"""Marking a VM is a native task of 40 seconds."""


@pytest.mark.parametrize("point", ["after adopt", "after status of VirtualMachine", None], ids=["not noted", "noted", "no crash"])
def test_a_task_that_goes_on_when_its_object_is_deleted(point: str | None) -> None:
    """Also if the controller died before it could write down that there is one."""

    async def story(cloud: LateCloud) -> None:
        cloud.late = False
        await ready(cloud)
        foreign(cloud, like(cloud))
        if point is not None:
            cloud.at = point
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(5)
        if point is not None:
            assert cloud.stopped.is_set(), cloud.points
            await cloud.restart()
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(10)
        assert there(cloud).owner is None
        await cloud.settle(120)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert there(cloud).owner is None
        assert cloud.status("Host", "h1").get("orphans", []) == []

    base.play_in(lambda: Dying(TASKS), story)


class Dying(LateCloud):
    """The controller stops for good at the first point of the name `at` after the VM is about to be marked."""

    at = ""

    async def point(self, name: str) -> None:
        if self.at == name and self.points["before adopt"]:
            self.at, self.stop = "", Stop(1)
        await super().point(name)
