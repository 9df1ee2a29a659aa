"""One call about a pool for all who ask at the same time, and never an answer from before the question."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from controller.inventory import HostLink
from controller.inventory.contents import ContentsReader
from drivers.errors import Transient
from drivers.types import PoolContents, PoolSpec, VMDisk
from tests.unit.runtime.virtual import LoopClock, run

POOL = PoolSpec("p1", "/p1")


class Host:
    """A link whose pool has one more disk at each call; a call takes a second."""

    def __init__(self) -> None:
        self.volumes = self
        self.calls = 0
        self.error: Exception | None = None

    async def contents(self, pool: PoolSpec) -> PoolContents:
        self.calls += 1
        seen = self.calls
        await asyncio.sleep(1)
        if self.error:
            raise self.error
        return PoolContents(disks=tuple(cast("VMDisk", number) for number in range(seen)))


def play(story: Any) -> None:
    async def told() -> None:
        host, reader = Host(), ContentsReader(LoopClock().monotonic)
        await story(host, reader, lambda **more: reader.read(cast("HostLink", host), POOL, **more))
        await reader.close()

    run(told())


def test_those_who_come_meanwhile_share_the_next_call() -> None:
    async def story(host: Host, _: ContentsReader, read: Any) -> None:
        first = asyncio.create_task(read())
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(read()) for _ in range(20)]
        assert len((await first).disks) == 1
        assert {len(each.disks) for each in await asyncio.gather(*others)} == {2}
        assert host.calls == 2

    play(story)


@pytest.mark.parametrize(("older_than", "pause", "calls"), [(0, 0, 2), (5, 9, 2), (60, 9, 1), (60, 70, 2)])
def test_an_old_answer_will_do_for_those_who_say_so(older_than: float, pause: float, calls: int) -> None:
    async def story(host: Host, _: ContentsReader, read: Any) -> None:
        await read()
        await asyncio.sleep(pause)
        await read(older_than=older_than)
        assert host.calls == calls

    play(story)


def test_a_failure_is_everybodys_and_forgotten() -> None:
    async def story(host: Host, _: ContentsReader, read: Any) -> None:
        host.error = Transient("cut")
        outcomes = await asyncio.gather(read(), read(), return_exceptions=True)
        assert all(isinstance(each, Transient) for each in outcomes)
        host.error = None
        assert len((await read(older_than=60)).disks) == host.calls

    play(story)


def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    async def story(host: Host, _: ContentsReader, read: Any) -> None:
        impatient, patient = asyncio.create_task(read()), asyncio.create_task(read())
        await asyncio.sleep(0.5)
        impatient.cancel()
        assert len((await patient).disks) == 1

    play(story)


def test_nothing_is_kept_for_ever() -> None:
    async def story(host: Host, reader: ContentsReader, read: Any) -> None:
        await asyncio.gather(read(), read(), return_exceptions=True)
        await asyncio.sleep(100)
        await reader.read(cast("HostLink", host), PoolSpec("p2", "/p2"))
        assert list(reader._last) == ["p2"]
        assert (reader._running, reader._next) == ({}, {})

    play(story)
