"""Calls that go on without the reconcile that made them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.inventory import HostLink
from controller.runtime.keys import Key
from controller.shared.calls import MOMENT, Calls, Outcome
from drivers.errors import Transient
from drivers.types import Done, OpRef, Started
from tests.unit.runtime.virtual import run

SNAP = Key("Snapshot", "shop", "snap")
LONG = 10 * MOMENT


def link(epoch: int = 1) -> HostLink:
    return cast("HostLink", SimpleNamespace(epoch=epoch))


def answer(seconds: float, outcome: Outcome | Exception) -> Callable[[], Awaitable[Outcome]]:
    async def call() -> Outcome:
        await asyncio.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


class Story:
    """Calls and who was woken by them."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.calls = Calls(self.woken.append)
        self.link = link()

    async def make(self, seconds: float, outcome: Outcome | Exception) -> Outcome | None:
        return await self.calls.make(SNAP, "u", self.link, answer(seconds, outcome))


def tell(story: Callable[[Story], Awaitable[Any]]) -> None:
    async def told() -> None:
        made = Story()
        await story(made)
        await made.calls.close()

    run(told())


@pytest.mark.parametrize("outcome", [Done(), Started(OpRef("t1"))])
def test_a_quick_one_answers_at_once_and_wakes_nobody(outcome: Outcome) -> None:
    async def story(story: Story) -> None:
        assert await story.make(MOMENT / 2, outcome) == outcome
        assert not story.calls.under_way("u")
        assert story.calls.take("u") is None
        await asyncio.sleep(LONG)
        assert story.woken == []

    tell(story)


@pytest.mark.parametrize("outcome", [Done(), Started(OpRef("t1"))])
def test_a_long_one_goes_on_wakes_at_its_end_and_answers_once(outcome: Outcome) -> None:
    async def story(story: Story) -> None:
        begun = asyncio.get_running_loop().time()
        assert await story.make(LONG, outcome) is None
        assert asyncio.get_running_loop().time() - begun == pytest.approx(MOMENT)
        assert story.calls.under_way("u")
        assert story.calls.take("u") is None
        await asyncio.sleep(LONG)
        assert (story.calls.under_way("u"), story.woken) == (False, [SNAP])
        assert story.calls.take("u") == outcome
        assert story.calls.take("u") is None

    tell(story)


@pytest.mark.parametrize("seconds", [0.0, LONG])
def test_an_error_is_told_once(seconds: float) -> None:
    async def story(story: Story) -> None:
        if seconds:
            assert await story.make(seconds, Transient("no")) is None
            await asyncio.sleep(LONG)
            with pytest.raises(Transient):
                story.calls.take("u")
        else:
            with pytest.raises(Transient):
                await story.make(seconds, Transient("no"))
        assert story.calls.take("u") is None

    tell(story)


def test_a_reconcile_that_is_cancelled_leaves_its_call_at_work() -> None:
    async def story(story: Story) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await story.make(LONG, Done())
        assert story.calls.under_way("u")
        await asyncio.sleep(LONG)
        assert (story.woken, story.calls.take("u")) == ([SNAP], Done())

    tell(story)


def test_a_call_belongs_to_the_connection_that_it_was_made_on() -> None:
    async def story(story: Story) -> None:
        await story.make(LONG, Done())
        assert not story.calls.leave("u", story.link)
        assert story.calls.under_way("u")
        cast("Any", story.link).epoch = 2
        assert story.calls.leave("u", story.link)
        assert not story.calls.under_way("u")
        await story.make(LONG, Done())
        assert story.calls.leave("u", link(epoch=2))
        assert not story.calls.under_way("u")
        assert not story.calls.leave("nobody", story.link)

    tell(story)


def test_what_is_forgotten_ends_unseen(caplog: pytest.LogCaptureFixture) -> None:
    async def story(story: Story) -> None:
        await story.make(LONG, Transient("nobody asks"))
        story.calls.forget("u")
        story.calls.forget("u")
        assert not story.calls.under_way("u")
        await asyncio.sleep(LONG)
        assert story.calls.take("u") is None

    gc.collect()
    caplog.clear()  # failures that other tests have left are told when somebody collects them
    tell(story)
    gc.collect()
    assert caplog.records == []


def test_closing_ends_what_goes_on_and_what_was_left() -> None:
    async def story(story: Story) -> None:
        ended: list[str] = []

        async def call(name: str) -> Outcome:
            try:
                await asyncio.sleep(LONG)
            finally:
                ended.append(name)
            return Done()

        await story.calls.make(SNAP, "u", story.link, lambda: call("left"))
        story.calls.forget("u")
        await story.calls.make(SNAP, "u", story.link, lambda: call("going on"))
        await story.calls.close()
        assert sorted(ended) == ["going on", "left"]

    tell(story)
