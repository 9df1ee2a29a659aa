"""How many guests are asked at once, and when each: agents that are slow or silent hold up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from controller.inventory import HostLink
from controller.runtime.context import Context
from controller.vm.guests import MOST_AT_ONCE, PERIOD, Guests
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.errors import Transient
from drivers.types import GuestInfo, InstanceID, ObservedVM, Power
from tests.unit.runtime.virtual import LoopClock, run
from tests.unit.vm.things import as_made, wanted

TOLD = replace(as_made(wanted()), guest=GuestInfo(True, "web", ("10.0.0.5",)))
UIDS = [f"uid-{n}" for n in range(400)]


@dataclass
class Link:
    """A host whose agents take their time; `most` is how many were ever asked at once."""

    name: str = "h1"
    tells_guests: bool = False
    takes: float = 5.0
    fails: bool = False
    asking: int = 0
    most: int = 0
    asked: int = 0

    async def observe(self, instance: InstanceID, *, fresh: bool) -> ObservedVM:
        assert fresh
        self.asked += 1
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(self.takes)
        self.asking -= 1
        if self.fails:
            raise Transient("the host did not answer")
        return TOLD


def one(uid: str, *addresses: str, told: bool = True) -> Context[VirtualMachine]:
    guest = SimpleNamespace(addresses=list(addresses)) if told else None
    vm = SimpleNamespace(status=SimpleNamespace(guest=guest, job=None, state="Running"))
    return cast(
        "Context[VirtualMachine]", SimpleNamespace(uid=uid, clock=LoopClock(), object=vm, log=structlog.testing.CapturingLogger())
    )


async def look(guests: Guests, uid: str, link: Link, have: ObservedVM = TOLD) -> tuple[bool, float | None]:
    """A reconcile of a VM that has nothing to do: whether there was news, and when it is looked at again."""
    ctx, host = one(uid, "10.0.0.5"), cast("HostLink", link)
    return await guests.news(ctx, host, have), guests.again(ctx, host, have)


async def keep_looking(guests: Guests, uid: str, link: Link) -> None:
    while True:
        _, again = await look(guests, uid, link)
        assert again, "0 would be taken for none"
        await asyncio.sleep(again)


def for_a_while(seconds: float, *looks: Callable[[], Awaitable[None]]) -> None:
    async def story() -> None:
        tasks = [asyncio.ensure_future(each()) for each in looks]
        await asyncio.sleep(seconds)
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert failed == []

    run(story())


def looks_at(guests: Guests, link: Link, uids: list[str]) -> list[Callable[[], Awaitable[None]]]:
    return [lambda uid=uid: keep_looking(guests, uid, link) for uid in uids]  # type: ignore[misc]


@pytest.mark.parametrize("fails", [False, True])
def test_of_one_host_never_two_are_asked_at_once_and_each_gets_its_turn(fails: bool) -> None:
    guests, link = Guests(), Link(fails=fails)
    for_a_while(4 * PERIOD, *looks_at(guests, link, UIDS[:60]))
    assert link.most == 1
    assert 2 * 60 < link.asked <= 4 * 60


def test_of_many_hosts_a_few_are_asked_at_once() -> None:
    guests, links = Guests(), [Link(f"h{n}", takes=100) for n in range(100)]
    asking: list[int] = []

    async def count() -> None:
        while True:
            asking.append(sum(link.asking for link in links))
            await asyncio.sleep(5)

    looks = [each for link, uid in zip(links, UIDS, strict=False) for each in looks_at(guests, link, [uid])]
    for_a_while(2 * PERIOD, count, *looks)
    assert max(asking) == MOST_AT_ONCE


def test_those_that_are_due_together_do_not_stay_together() -> None:
    """As of a host that was out of reach for long, or of a shard that is led again: else one is asked at each turn, or a few."""

    async def story() -> None:
        guests, link = Guests(), Link(takes=0.1)
        for uid in UIDS[:60]:
            await look(guests, uid, link)
        await asyncio.sleep(3 * PERIOD)
        looks = [asyncio.ensure_future(each()) for each in looks_at(guests, link, UIDS[:60])]
        asked: list[int] = []
        for _ in range(20):
            before = link.asked
            await asyncio.sleep(PERIOD / 5)
            asked.append(link.asked - before)
        for each in looks:
            each.cancel()
        assert (asked[0], link.most) == (60, 1)
        assert all(0 < each <= 24 for each in asked[10:]), f"each fifth of a period has its share, or twice that: {asked}"

    run(story())


def test_first_questions_are_spread_over_a_period_and_none_comes_at_once() -> None:
    async def story() -> None:
        guests = Guests()
        first = sorted([(await look(guests, uid, Link()))[1] or 0 for uid in UIDS])
        assert first[0] >= 0.5 * PERIOD
        assert first[-1] <= 1.5 * PERIOD
        parts = [sum(n / 10 <= (each / PERIOD - 0.5) < (n + 1) / 10 for each in first) for n in range(10)]
        assert min(parts) > len(UIDS) / 20, "each tenth of the period has its share, or half of it"

    run(story())


def test_looks_for_other_reasons_neither_hasten_nor_put_off_a_question() -> None:
    async def story() -> None:
        guests, link = Guests(), Link(takes=0)
        _, first = await look(guests, "u", link)
        assert first is not None
        for _ in range(10):
            await asyncio.sleep(first / 20)
            await look(guests, "u", link)
        assert link.asked == 0
        await asyncio.sleep(first / 2)
        assert await look(guests, "u", link) == (False, pytest.approx(PERIOD))
        assert link.asked == 1

    run(story())


@pytest.mark.parametrize(
    ("link", "have"),
    [(Link(tells_guests=True), TOLD), (Link(), replace(TOLD, power=Power.OFF)), (Link(), replace(TOLD, guest=GuestInfo()))],
    ids=["told by all looks", "off", "no agent"],
)
def test_who_is_not_asked(link: Link, have: ObservedVM) -> None:
    async def story() -> None:
        guests = Guests()
        await look(guests, "u", Link())
        await asyncio.sleep(2 * PERIOD)
        assert (await guests.news(one("u", "10.0.0.5"), cast("HostLink", link), have)) is False
        assert link.asked == 0

    run(story())


@pytest.mark.parametrize(
    ("told", "tells_guests"), [(True, False), (False, False), (False, True)], ids=["no address", "nothing", "nothing, in looks too"]
)
def test_one_that_has_told_no_address_is_asked_before_its_period_is_over(told: bool, tells_guests: bool) -> None:
    async def story() -> None:
        guests, link = Guests(), cast("HostLink", Link(tells_guests=tells_guests))
        untold: Any = one("u", told=told)
        untold.object.status.job = SimpleNamespace(completed_at=SimpleNamespace(datetime=untold.clock.now()))
        assert guests.again(untold, link, TOLD) == pytest.approx(5)
        await asyncio.sleep(100)
        assert guests.again(untold, link, TOLD) == pytest.approx(1), "overdue: the next reconcile asks"
        await guests.news(untold, link, TOLD)
        assert guests.again(untold, link, TOLD) == pytest.approx(10.5)

    run(story())


def test_what_is_forgotten_begins_anew() -> None:
    async def story() -> None:
        guests, link = Guests(), Link(takes=0)
        await look(guests, "u", link)
        await asyncio.sleep(2 * PERIOD)
        guests.forget("u")
        await look(guests, "u", link)
        assert link.asked == 0

    run(story())
