"""Whatever order requests are answered in: in the end everybody who read a Secret has what it holds now."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from unittest import mock

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.inventory.secrets import KEPT, SecretCache
from controller.kube import secrets as module
from controller.kube.http import Http
from controller.kube.secrets import Secrets
from controller.runtime.ports import Gone, Unavailable

STEPS = st.one_of(
    st.tuples(st.just("reconcile"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["write", "delete", "expire"]), st.just(0)),
    st.tuples(st.sampled_from(["answer", "deliver", "lose"]), st.integers(0, 5)),
)
"""What happens next, and to whom: a reader, or one of the requests under way."""


@dataclass
class Request:
    """Answered by the server at one moment, delivered at a later one."""

    metadata_only: bool
    content: dict[str, Any] | Exception | None = None
    delivered: asyncio.Event = field(default_factory=asyncio.Event)


class Server:
    """One Secret, whose every write is a version of its own. `open`: requests are answered and delivered at once."""

    def __init__(self) -> None:
        self.version = 1
        self.exists = True
        self.open = False
        self.looks = 0
        self.pending: list[Request] = []

    async def get(self, _path: str, _names: Mapping[str, str], accept: str = "") -> dict[str, Any]:
        request = Request("PartialObjectMetadata" in accept)
        self.looks += request.metadata_only
        self.pending.append(request)
        if self.open:
            self.answer(request)
            self.deliver(request)
            await asyncio.sleep(0)
        await request.delivered.wait()
        if isinstance(request.content, Exception):
            raise request.content
        assert request.content is not None
        return request.content

    def answer(self, request: Request) -> None:
        """With what the Secret is now; the first answer counts."""
        if request.content is not None:
            return
        if not self.exists:
            request.content = Gone("no such Secret")
            return
        request.content = {"metadata": {"resourceVersion": str(self.version)}}
        if not request.metadata_only:
            request.content["data"] = {"k": base64.b64encode(str(self.version).encode()).decode()}

    def deliver(self, request: Request) -> None:
        """Let the caller have the answer, or say that the connection broke."""
        if request.content is None:
            request.content = Unavailable("connection lost")
        self.pending.remove(request)
        request.delivered.set()

    @property
    def holds(self) -> Mapping[str, bytes] | None:
        return {"k": str(self.version).encode()} if self.exists else None


class Reader:
    """As a reconciler: reads when it is woken, again when it is woken meanwhile, and again when a read fails."""

    def __init__(self, cache: SecretCache) -> None:
        self._cache = cache
        self._woken = asyncio.Event()
        self.has: Mapping[str, bytes] | None = None
        self.began = False

    def wake(self) -> None:
        self.began = True
        self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                self.has = await self._cache.read("ns", "s")
            except Unavailable:
                self._woken.set()


class World:
    """Readers of one Secret, each through the same cache, and the watch that wakes them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.server = Server()
        self.source = Secrets(cast("Http", self.server), lambda: 0.0, structlog.wrap_logger(None, processors=[_dropped]))
        self.cache = SecretCache(self.source, lambda: self.now)
        self.readers = [Reader(self.cache) for _ in range(3)]

    def changed(self, namespace: str, name: str) -> None:
        self.cache.changed(namespace, name)
        for reader in self.readers:
            if reader.began:
                reader.wake()

    async def take(self, step: tuple[str, int]) -> None:
        match step:
            case ("reconcile", number):
                self.readers[number].wake()
            case ("write", _):
                self.server.version, self.server.exists = self.server.version + 1, True
            case ("delete", _):
                self.server.exists = False
            case ("expire", _):
                self.now += KEPT
            case (what, number) if self.server.pending:
                request = self.server.pending[number % len(self.server.pending)]
                if what != "lose":
                    self.server.answer(request)
                if what != "answer":
                    self.server.deliver(request)
        await quiet()

    async def rest(self) -> None:
        """Nothing changes any more, and everything is answered, until the watch has looked six times more."""
        self.server.open = True
        for request in list(self.server.pending):
            self.server.answer(request)
            self.server.deliver(request)
        seen = self.server.looks
        while any(reader.began for reader in self.readers) and self.server.looks < seen + 6:
            await quiet()


def _dropped(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


async def quiet() -> None:
    """Let everything go on that can."""
    for _ in range(12):
        await asyncio.sleep(0)


async def play(steps: list[tuple[str, int]]) -> World:
    world = World()
    tasks = [asyncio.create_task(reader.run()) for reader in world.readers]
    tasks.append(asyncio.create_task(world.source.watch(world.changed)))
    try:
        for step in steps:
            await world.take(step)
        await world.rest()
        assert not any(task.done() for task in tasks), "nobody stopped"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return world


def check(steps: list[tuple[str, int]]) -> None:
    with mock.patch.object(module, "_PERIOD", 0.0), mock.patch.object(module, "_GAP", 0.0):
        world = asyncio.run(play(steps))
    for reader in world.readers:
        assert not reader.began or reader.has == world.server.holds


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_everybody_has_what_the_secret_holds_in_the_end(steps: list[tuple[str, int]]) -> None:
    check(steps)


def test_one_who_read_the_new_content_first_does_not_keep_it_from_the_others() -> None:
    """What the cache kept has expired for one of them just when the Secret changed."""
    read = [("reconcile", 0), ("answer", -1), ("deliver", -1)]  # the latest request, while the watch's own is under way
    check([*read, ("reconcile", 1), ("expire", 0), ("write", 0), *read])


def test_an_answer_that_was_overtaken_by_the_news_is_not_kept() -> None:
    """It was on its way when the watch told of the change."""
    world = World()

    async def story() -> None:
        reading = asyncio.create_task(world.cache.read("ns", "s"))
        await quiet()
        [request] = world.server.pending
        world.server.answer(request)
        world.server.version = 2
        world.cache.changed("ns", "s")
        world.server.deliver(request)
        assert await reading == {"k": b"1"}
        world.server.open = True
        assert await world.cache.read("ns", "s") == {"k": b"2"}

    asyncio.run(story())
