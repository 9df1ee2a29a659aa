"""The watch feed: kopf's watch streams, one per kind, into the event loop of the controller.

The streams run in a thread and an event loop of their own.  Whatever ends one of them (any watch error but 410) ends the feed and
nothing else: it is started anew, and what was missed meanwhile is found by a list.  kopf's operator is passed over: its workers
and handlers cost several times what reading an event does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import kopf
from kopf._cogs.clients.auth import vault_var
from kopf._cogs.clients.errors import APINotFoundError
from kopf._cogs.clients.watching import Bookmark, WatchingError, infinite_watch, watch_objs
from kopf._cogs.structs.credentials import Vault
from kopf._cogs.structs.references import Resource
from structlog.typing import FilteringBoundLogger

from controller.kube.kinds import ApiKind, Kinds
from controller.kube.metrics import ApiMetrics
from controller.runtime.intake import Intake

_CHUNK = 50  # objects of a list in memory at once
_RETRIES = (0.5, 1, 2, 4, 8)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_STEADY = 60.0  # seconds after which a feed that ends counts as one that worked
_BATCH = 20  # events between which others get their turn
_BACKLOG = 200  # events that may lie between the threads; a list of thousands waits
_BACKLOG_LOOKS = 0.01
_CANCEL_AGAIN = 1.0


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
        listed: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`login` returns the access to use, fresh each time; it is awaited in the streams' loop.

        `listed` tells the version at which a kind was listed before the first run, which starts from there, "" if it was not.
        """
        self._kinds = kinds
        self._login = login
        self._intake = intake
        self._on_gap = on_gap
        self._metrics = metrics
        self._log = log
        self._listed = listed

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
            self._listed = lambda _: ""  # what ended the feed may be that a version is no longer known
            for kind in self._kinds:
                self._on_gap(kind.kind)

    async def _run_once(self, loop: asyncio.AbstractEventLoop) -> str:
        """Run the streams until one ends; return why it did."""
        ended: asyncio.Future[str] = loop.create_future()
        inner, stop = asyncio.new_event_loop(), asyncio.Event()

        def serve() -> None:
            try:
                with asyncio.Runner(loop_factory=lambda: inner) as runner:
                    runner.run(self._stream(loop, stop))
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

    async def _stream(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        """Follow all kinds until `stop` is set or one of the streams fails, and raise what it raised."""
        vault, settings, over = Vault(), _settings(), _Handover(loop, self._take, self._log)
        vault_var.set(vault)
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait()), asyncio.create_task(self._keep_logged_in(vault))]
        tasks += [asyncio.create_task(_follow(kind, self._listed(kind.kind), settings, over)) for kind in self._kinds]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(tasks)
            await vault.close()
        for task in done:
            task.result()

    async def _keep_logged_in(self, vault: Vault) -> None:
        """Log in whenever the streams have no access that works, as at the start and after a 401."""
        while True:
            await vault.wait_for_emptiness()
            await vault.populate({"vireo": await self._login()})

    def _take(self, kind: ApiKind, type: str | None, raw: Mapping[str, Any]) -> None:
        """Take in one event, in the controller's loop; kopf marks what it listed itself with type None."""
        self._metrics.feed_events.labels(kind.kind).inc()
        if type == "DELETED":
            self._intake.deleted(raw)
            return
        self._intake.upsert(raw)
        if type is None:
            self._on_gap(kind.kind)


class _Handover:
    """Carries events from the streams' thread into the controller's loop, which is woken once for all that lie there."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[ApiKind, str | None, Mapping[str, Any]], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._loop = loop
        self._take = take
        self._log = log
        self._events: deque[tuple[ApiKind, str | None, Mapping[str, Any]]] = deque()
        self._woken = False

    async def put(self, kind: ApiKind, type: str | None, raw: Mapping[str, Any]) -> None:
        """Leave an event, in the streams' thread, once there is room."""
        while len(self._events) >= _BACKLOG:  # noqa: ASYNC110 - an Event of one loop can't be set in another
            await asyncio.sleep(_BACKLOG_LOOKS)
        self._events.append((kind, type, raw))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._fetch)

    def _fetch(self) -> None:
        """Take what lies there, in the controller's loop; what comes after the mark is taken off wakes it again."""
        self._woken = False
        for _ in range(min(_BATCH, len(self._events))):
            kind, type, raw = self._events.popleft()
            try:
                self._take(kind, type, raw)
            except Exception as error:  # one that fails does not hold up the others
                self._log.error("watch event not taken in", kind=kind.kind, exc_info=error)
        if self._events:
            self._woken = True
            self._loop.call_soon(self._fetch)


async def _follow(kind: ApiKind, version: str, settings: kopf.OperatorSettings, over: _Handover) -> None:
    """Hand over what happens to objects of a kind, until something but a restart of the stream is needed; raises what.

    It begins after `version`; without one, or once the server has forgotten it, kopf lists the kind itself.
    """
    resource = Resource(kind.group, kind.version, kind.plural, kind=kind.kind, namespaced=kind.namespaced)
    if version:
        with contextlib.suppress(APINotFoundError):
            async for event in _after(version, resource, settings):
                await over.put(kind, event["type"], _needed(kind, event["object"]))
    while True:
        with contextlib.suppress(APINotFoundError):  # its CRD was removed: the other kinds go on
            async for event in infinite_watch(settings=settings, resource=resource, namespace=None):
                if not isinstance(event, Bookmark) and event["type"] != "BOOKMARK":
                    await over.put(kind, event["type"], _needed(kind, event["object"]))
        await asyncio.sleep(_LONGEST_PAUSE)


async def _after(version: str, resource: Resource, settings: kopf.OperatorSettings) -> AsyncIterator[Any]:
    """The events after a version, until the server no longer has them all; raises what else ends the stream for good."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    while True:
        async for event in watch_objs(
            settings=settings, resource=resource, namespace=None, since=version, operator_pause_waiter=never
        ):
            found: Any = event["object"]
            if event["type"] == "ERROR":
                if found["code"] == HTTPStatus.GONE:
                    return
                raise WatchingError(f"Error in the watch-stream: {found}")
            version = found["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                yield event


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks until all have ended: a stream that fails just then loses its cancellation."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_AGAIN)


def _needed(kind: ApiKind, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the Store reads of an object; who manages which field is half of it."""
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {"kind": kind.kind, "metadata": metadata, "spec": raw.get("spec"), "status": raw.get("status")}


def _set(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)


def _settings() -> kopf.OperatorSettings:
    logging.getLogger("kopf").setLevel(logging.CRITICAL)  # what ends the feed is logged by the feed
    settings = kopf.OperatorSettings()
    settings.watching.chunk_size = _CHUNK
    settings.networking.error_backoffs = _RETRIES
    return settings
