"""Endpoints are opened a few at a time, and none that hangs keeps the others out."""

from __future__ import annotations

import asyncio

import pytest

from controller.inventory.entry import PATIENCE, PLACES, Entry
from controller.runtime.keys import Key
from tests.support.hypervisors import Hang, Hypervisor, host
from tests.unit.runtime.virtual import run

from .builders import Bench, play


class Door:
    """Blocks that stay inside for some seconds each."""

    def __init__(self) -> None:
        self.entry = Entry()
        self.inside = 0
        self.most = 0
        self.came: list[int] = []

    async def go(self, number: int, seconds: float) -> None:
        async with self.entry.place():
            self.came.append(number)
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await asyncio.sleep(seconds)
            finally:
                self.inside -= 1

    async def all(self, seconds: list[float]) -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(self.go(number, each) for number, each in enumerate(seconds)))
        return asyncio.get_running_loop().time() - began


def test_so_many_at_once_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        door = Door()
        took = await door.all([0.1] * (10 * PLACES))
        assert took == pytest.approx(1.0)
        assert door.most == PLACES
        assert door.came == list(range(10 * PLACES))
        await door.all([0.1] * (10 * PLACES))
        assert door.most == PLACES, "no place is given back twice"

    run(main())


def test_those_that_hang_hold_their_place_no_longer_than_our_patience() -> None:
    async def main() -> None:
        door = Door()
        hung = asyncio.create_task(door.all([1000.0] * (3 * PLACES)))
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await door.go(-1, 0.0)
        assert loop.time() - began == pytest.approx(3 * PATIENCE, abs=0.02)
        assert not hung.done()
        await hung
        door.most = 0
        await door.all([0.1] * (4 * PLACES))
        assert door.most == PLACES, "those that came late gave nothing back a second time"

    run(main())


def test_one_that_is_cancelled_leaves_its_place_or_its_turn() -> None:
    async def main() -> None:
        door = Door()
        tasks = [asyncio.create_task(door.go(number, 0.3)) for number in range(2 * PLACES)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        door.most = 0
        assert await door.all([0.1] * PLACES) == pytest.approx(0.1)
        assert door.most == PLACES

    run(main())


def test_all_endpoints_of_an_inventory_share_the_places() -> None:
    async def story(bench: Bench) -> None:
        hung = [bench.serve(f"hung{number}", Hypervisor(host())) for number in range(PLACES)]
        for number, hypervisor in enumerate(hung):
            hypervisor.faults["connect"] = Hang()
            bench.attach(f"x{number}", f"hung{number}")
        bench.serve("well", Hypervisor(host()))
        link = bench.attach("h1", "well")
        assert Key("Host", "", "h1") not in await bench.pass_time(PATIENCE - 0.1)
        assert not link.up
        assert Key("Host", "", "h1") in await bench.pass_time(0.5)
        assert link.up

    play(story)


def test_it_is_idle_when_nobody_waits_and_no_place_is_taken() -> None:
    async def main() -> None:
        door = Door()
        assert door.entry.idle
        tasks = [asyncio.create_task(door.go(number, 0.1)) for number in range(2 * PLACES)]
        await asyncio.sleep(0)
        assert not door.entry.idle
        for task in tasks[PLACES::2]:  # some of those that wait
            task.cancel()
        tasks[0].cancel()
        await asyncio.sleep(0.15)
        assert not door.entry.idle
        await asyncio.gather(*tasks, return_exceptions=True)
        assert door.entry.idle
        hung = asyncio.create_task(door.go(0, 1000.0))
        await asyncio.sleep(PATIENCE + 0.1)
        assert door.entry.idle, "one that hangs has lost its place"
        await hung
        assert door.entry.idle

    run(main())


def test_an_inventory_is_settled_once_all_hosts_are_served_and_those_that_answer_have_answered() -> None:
    async def story(bench: Bench) -> None:
        hosts = ["h1", "h2", "hung", "odd"]
        assert bench.inventory.settled([])
        assert not bench.inventory.settled(hosts)
        bench.serve("hung", Hypervisor(host())).faults["connect"] = Hang()
        for name in ("h1", "h2", "hung"):
            bench.serve(name, bench.hypervisors.get(name) or Hypervisor(host()))
            bench.attach(name, name)
        await bench.pass_time(0.1)
        bench.inventory.pass_over("odd")
        assert not bench.inventory.settled(hosts), "one has not answered yet, and not for long"
        await bench.pass_time(PATIENCE)
        assert bench.inventory.settled(hosts)
        assert not bench.inventory.settled([*hosts, "new"])

    play(story)
