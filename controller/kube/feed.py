"""The watch feed: kopf's watch streams, one per kind, into the event loop of the controller.

kopf runs in a thread and an event loop of its own.  Whatever ends it (it gives up on any watch error but 410, and cancels every
task of its loop when it does) ends nothing else: it is started anew, and what was missed meanwhile is found by a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from structlog.typing import FilteringBoundLogger

from controller.kube.kinds import ApiKind, Kinds
from controller.kube.metrics import ApiMetrics
from controller.runtime.intake import Intake
from controller.runtime.keys import Key

_CHUNK = 500
_IDLE = 0.01  # seconds; kopf keeps a task and the last version of each object for so long: at its 5 s, 25 KB each at every start
_RETRIES = (0.5, 1, 2, 4, 8)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_LOOK = 1.0  # seconds between two looks at whether kopf still watches everything
_LAST_WORDS = 3.0  # seconds for kopf to end by itself and say why
_STEADY = 60.0  # seconds after which a feed that ends counts as one that worked
_FINALIZER = "vireo.dev/never-set"  # kopf takes its finalizer off whatever carries it


class _NoDiff(kopf.DiffBaseStorage):
    """Keeps no "last handled" state: nothing is written, and no diff is computed for each event."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class _NoMemories(ResourceMemories):
    """Remembers nothing of any object: it is for daemons, indexes and retries, none of which there are."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        """Return a memory that is kept by nobody."""
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class Feed:
    """Watches every kind and hands each event to `intake`; `on_gap(kind)` when events may have been missed."""

    def __init__(
        self,
        kinds: Kinds,
        login: Callable[[], Awaitable[kopf.ConnectionInfo]],
        intake: Intake,
        on_gap: Callable[[str], None],
        metrics: ApiMetrics,
        log: FilteringBoundLogger,
    ) -> None:
        """`login` returns the access to use, fresh each time; it is awaited in kopf's loop."""
        self._kinds = kinds
        self._login = login
        self._intake = intake
        self._on_gap = on_gap
        self._metrics = metrics
        self._log = log

    async def run(self) -> None:
        """Watch until cancelled, whatever happens to the connection."""
        loop = asyncio.get_running_loop()
        pause = _SHORTEST_PAUSE
        while True:
            started = loop.time()
            self._log.info("watch feed starts")
            error = await self._run_once(loop)
            if loop.time() - started > _STEADY:
                pause = _SHORTEST_PAUSE
            self._metrics.feed_restarts.inc()
            self._log.warning("watch feed ended, starting anew", error=error, retry_after=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            for kind in self._kinds:
                self._on_gap(kind.kind)

    async def _run_once(self, loop: asyncio.AbstractEventLoop) -> str:
        """Run kopf until it ends; return why it did."""
        ended: asyncio.Future[str] = loop.create_future()
        inner, stop = asyncio.new_event_loop(), asyncio.Event()
        inner.set_exception_handler(lambda *_: None)  # tasks that kopf leaves behind when it ends

        def serve() -> None:
            try:
                with asyncio.Runner(loop_factory=lambda: inner) as runner:
                    runner.run(self._operate(loop, stop))
                reason = "stopped"
            except BaseException as error:
                reason = f"{type(error).__name__}: {error}"
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(_set, ended, reason)

        threading.Thread(target=serve, name="watch-feed", daemon=True).start()
        try:
            return await ended
        finally:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                inner.call_soon_threadsafe(stop.set)

    async def _operate(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._kopf_login)
        over = _Handover(loop, self._take)
        for kind in self._kinds:
            self._watch(registry, kind, over)
        # kopf's own stop flag makes it wait five seconds when it ends by itself
        stopping = asyncio.create_task(stop.wait())
        ending = asyncio.create_task(_until_a_watcher_ends())
        operator = kopf.operator(registry=registry, settings=_settings(), memories=_NoMemories(), clusterwide=True, standalone=True)
        operating = asyncio.create_task(operator)
        await asyncio.wait([stopping, ending, operating], return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            await asyncio.wait([operating], timeout=_LAST_WORDS)
        stopping.cancel()
        ending.cancel()
        await _end(operating)

    async def _kopf_login(self, **_: Any) -> kopf.ConnectionInfo:
        return await self._login()

    def _watch(self, registry: kopf.OperatorRegistry, kind: ApiKind, over: _Handover) -> None:
        def on_event(event: Mapping[str, Any], **_: Any) -> bool:
            raw = {name: event["object"].get(name) for name in ("metadata", "spec", "status")}
            over.put(kind, event["type"], {**raw, "kind": kind.kind})
            return False

        # taken where kopf asks whether the handler wants the event: calling a handler costs more than all else that kopf does
        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, when=on_event)(_never)

    def _take(self, kind: ApiKind, type: str | None, raw: Mapping[str, Any]) -> None:
        """Take in one event, in the controller's loop; kopf marks what it listed itself with type None."""
        self._metrics.feed_events.labels(kind.kind).inc()
        metadata = raw["metadata"]
        if type == "DELETED":
            key = Key(kind.kind, metadata.get("namespace") or "", metadata["name"])
            self._intake.delete(key, metadata["resourceVersion"])
            return
        self._intake.upsert(raw)
        if type is None:
            self._on_gap(kind.kind)


class _Handover:
    """Carries events from kopf's thread into the controller's loop, which is woken once for all that lie there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[ApiKind, str | None, Mapping[str, Any]], None]) -> None:
        self._loop = loop
        self._take = take
        self._events: deque[tuple[ApiKind, str | None, Mapping[str, Any]]] = deque()
        self._woken = False

    def put(self, kind: ApiKind, type: str | None, raw: Mapping[str, Any]) -> None:
        """Leave an event, in kopf's thread."""
        self._events.append((kind, type, raw))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._fetch)

    def _fetch(self) -> None:
        """Take what lies there, in the controller's loop; what comes after the mark is taken off wakes it again."""
        self._woken = False
        for _ in range(len(self._events)):
            self._loop.call_soon(self._take, *self._events.popleft())  # one that fails does not hold up the others


async def _until_a_watcher_ends() -> None:
    """Return when kopf watches less than it did: it is about to end."""
    most = 0
    while (watchers := sum(task.get_name().startswith("watcher for ") for task in asyncio.all_tasks())) >= most:
        most = watchers
        await asyncio.sleep(_LOOK)


async def _end(operating: asyncio.Task[None]) -> None:
    """Cancel kopf until it has ended, and raise what it did.

    When watchers end at the same time, as after refused lists, some lose their cancellation, and kopf would wait for them for ever.
    """
    while not operating.done():
        operating.cancel()
        await asyncio.wait([operating], timeout=_LOOK)
    await operating


async def _never(**_: Any) -> None:
    raise AssertionError("the filter lets nothing through")


def _set(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)


def _settings() -> kopf.OperatorSettings:
    logging.getLogger("kopf").setLevel(logging.CRITICAL)  # what ends the feed is logged by the feed
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = _CHUNK
    settings.queueing.idle_timeout = _IDLE
    settings.networking.error_backoffs = _RETRIES
    settings.process.ultimate_exiting_timeout = None
    settings.persistence.finalizer = _FINALIZER
    settings.persistence.diffbase_storage = _NoDiff()
    return settings
