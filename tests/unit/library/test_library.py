"""Images on their way: downloaded once, copied once into each pool, again when they are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
import structlog

from controller.images import ImageCache, ImageError
from controller.images.errors import Reason
from controller.inventory import HostLink
from controller.runtime.keys import Key
from controller.shared.errands import Broken, Finished, Working
from controller.shared.library import Library, image_name
from crds.v1alpha1.template import Template
from drivers.errors import AuthFailed, Busy, DriverError, InvalidSpec, Transient, Unsupported
from drivers.types import Done, Failed, ImageFile, OpRef, PoolSpec, Progress, Running, Started, Succeeded
from tests.support.images import SHA, FakeImages
from tests.unit.runtime.virtual import LoopClock, run

URL = "https://images.example/debian.qcow2"
POOL, OTHER = PoolSpec("s1", "/srv/a"), PoolSpec("s2", "/srv/b")
A, B = Key("VirtualMachine", "shop", "a"), Key("VirtualMachine", "shop", "b")
TEMPLATE_KEY = Key("Template", "shop", "debian")


def template(uid: str = "t1", checksum: str = SHA) -> Template:
    metadata = {"name": "debian", "namespace": "shop", "uid": uid, "resourceVersion": "1", "generation": 1}
    status = {"state": "Downloaded", "checksum": f"sha256:{checksum}"}
    return Template.model_validate({"metadata": metadata, "spec": {"source": {"url": URL}}, "status": status})


class Host:
    """A link as far as the library uses it."""

    def __init__(self) -> None:
        self.images: set[tuple[str, str]] = set()
        self.puts = 0
        self.errors: list[DriverError] = []
        self.outcome: Done | Started = Done()
        self.progress: list[Progress] = []

    async def has_image(self, pool: PoolSpec, image: str) -> bool:
        return (pool.name, image) in self.images

    async def put_image(self, pool: PoolSpec, image: ImageFile) -> Done | Started:
        self.puts += 1
        await asyncio.sleep(1)
        if self.errors:
            raise self.errors.pop(0)
        self.images.add((pool.name, image.name))
        return self.outcome

    async def poll(self, op: OpRef) -> Progress:
        return self.progress.pop(0)


class World:
    def __init__(self) -> None:
        self.images, self.host, self.woken = FakeImages(), Host(), list[Key]()
        log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
        self.library = Library(cast("ImageCache", self.images), 1 << 40, self.woken.append, LoopClock(), log)

    def ensure(self, pool: PoolSpec = POOL, waiter: Key = A, of: Template | None = None) -> Finished[None] | Working | Broken:
        return self.library.ensure(of or template(), pool, cast("HostLink", self.host), waiter)


def play(story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        world = World()
        await story(world)
        await world.library.close()

    run(told())


def test_copied_once_for_all_who_ask_and_from_one_download() -> None:
    async def story(world: World) -> None:
        assert isinstance(world.ensure(), Working)
        world.ensure(waiter=B)
        world.ensure(OTHER)
        assert sorted(world.library.pools(template())) == ["s1", "s2"]
        await asyncio.sleep(10)
        assert world.ensure() == world.ensure(OTHER) == Finished(None)
        assert world.host.puts == 2
        assert world.host.images == {("s1", f"qcow2-{SHA}"), ("s2", f"qcow2-{SHA}")}
        assert set(world.woken) == {A, B, TEMPLATE_KEY}

    play(story)


def test_image_that_is_there_is_not_copied() -> None:
    async def story(world: World) -> None:
        world.host.images.add(("s1", image_name(template())))
        world.ensure()
        await asyncio.sleep(5)
        assert world.ensure() == Finished(None)
        assert (world.host.puts, world.images.downloads) == (0, [])

    play(story)


def test_templates_of_one_content_share_the_copy_and_others_do_not() -> None:
    async def story(world: World) -> None:
        world.ensure()
        await asyncio.sleep(5)
        assert world.ensure(of=template("t2")) == Finished(None)
        assert isinstance(world.ensure(of=template("t3", "cd" * 32)), Working)

    play(story)


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (Transient("gone"), 15),
        (Busy("at work"), 15),
        (InvalidSpec("full"), 60),
        (AuthFailed("refused"), 60),
        (Unsupported("no storage"), 60),
    ],
)
def test_copy_that_fails_is_tried_again_in_its_time(error: DriverError, pause: float) -> None:
    async def story(world: World) -> None:
        world.host.errors.append(error)
        world.ensure()
        await asyncio.sleep(3)
        found = world.ensure()
        assert isinstance(found, Broken)
        assert (found.reason, found.message, found.terminal) == (error.reason, str(error), False)
        await asyncio.sleep(pause - 5)
        assert isinstance(world.ensure(), Broken)
        await asyncio.sleep(5)
        assert isinstance(world.ensure(), Working)
        await asyncio.sleep(3)
        assert world.ensure() == Finished(None)

    play(story)


def test_native_task_is_followed_to_its_end() -> None:
    async def story(world: World) -> None:
        world.host.outcome = Started(OpRef("t"))
        world.host.progress = [Running(), Running(60), Succeeded()]
        world.ensure()
        await asyncio.sleep(3.5)
        assert world.ensure() == Working("Copying", 60)
        await asyncio.sleep(3)
        assert world.ensure() == Finished(None)
        world.host.progress = [Failed("disk full", retryable=False)]
        world.ensure(OTHER)
        await asyncio.sleep(3)
        found = world.ensure(OTHER)
        assert isinstance(found, Broken)
        assert (found.reason, found.message) == ("CopyFailed", "disk full")

    play(story)


def test_lost_image_is_copied_again() -> None:
    async def story(world: World) -> None:
        world.ensure()
        await asyncio.sleep(5)
        world.host.images.clear()
        assert world.ensure() == Finished(None)
        world.library.lost(template(), "s1")
        assert world.library.copies(template(), "s1") is None
        assert isinstance(world.ensure(), Working)
        await asyncio.sleep(5)
        assert world.host.puts == 2

    play(story)


def test_source_with_other_content_now_is_terminal() -> None:
    async def story(world: World) -> None:
        world.images.checksums[URL] = "ef" * 32
        world.ensure()
        await asyncio.sleep(5)
        found = world.ensure()
        assert isinstance(found, Broken)
        assert (found.reason, found.terminal) == ("SourceChanged", True)
        assert world.host.puts == 0

    play(story)


@pytest.mark.parametrize(("reason", "terminal"), [(Reason.CHECKSUM_MISMATCH, True), (Reason.DOWNLOAD_TIMEOUT, False)])
def test_failed_download(reason: Reason, terminal: bool) -> None:
    async def story(world: World) -> None:
        world.images.errors[URL] = ImageError(reason, "it did not work", retry_after=40)
        world.library.download(template())
        await asyncio.sleep(5)
        found = world.library.download(template())
        assert isinstance(found, Broken)
        assert (found.reason, found.message, found.terminal) == (reason, "it did not work", terminal)
        world.images.errors.clear()
        await asyncio.sleep(40)
        assert isinstance(world.library.download(template()), Broken if terminal else Working)

    play(story)


def test_image_being_copied_is_not_evicted() -> None:
    async def story(world: World) -> None:
        kept: list[set[str]] = []
        world.images.evict = lambda size, in_use: kept.append(set(in_use)) or []  # type: ignore[method-assign,func-returns-value]
        world.host.outcome = Started(OpRef("t"))
        world.host.progress = [Running()] * 100
        world.ensure()
        await asyncio.sleep(5)
        world.library.download(template("t2"))
        await asyncio.sleep(5)
        assert image_name(template()) in kept[-1]

    play(story)
