"""As much of an API server as a watch needs: lists, and watch streams that can be broken in every way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import kopf
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from controller.kube.feed import Feed
from controller.kube.kinds import ApiKind, Kinds
from controller.kube.metrics import ApiMetrics
from controller.runtime.clock import SystemClock
from controller.runtime.intake import Intake
from controller.runtime.store import Change, Store
from controller.runtime.unfinished import Unfinished
from tests.unit.runtime.models import Widget

from .server import GROUP, WIDGETS, listening


class WatchServer:
    """Widgets that can be changed, streams of their events, and faults to order."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        self.streams: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self.lists = 0
        self.patches = 0
        self.refuse = False
        self.unauthorized = 0
        self.missed: Counter[str] = Counter()

    def put(self, name: str, **spec: Any) -> None:
        self.version += 1
        type = "MODIFIED" if name in self.objects else "ADDED"
        metadata = {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": str(self.version),
            "generation": self.version,
        }
        self.objects[name] = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": metadata, "spec": spec}
        self.send({"type": type, "object": self.objects[name]})

    def remove(self, name: str) -> None:
        self.version += 1
        raw = self.objects.pop(name)
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.send({"type": "DELETED", "object": raw})

    def send(self, event: dict[str, Any] | None) -> None:
        """Send an event to every watch, now or when it comes back for it; None ends them."""
        if event is not None and event["type"] != "ERROR":
            self.history.append(event := json.loads(json.dumps(event)))
        for stream in self.streams:
            stream.put_nowait(event)

    def error(self, code: int) -> None:
        self.send({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "ordered"}})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.refuse:
            return web.Response(status=500)
        if self.unauthorized:
            self.unauthorized -= 1
            return web.Response(status=401)
        if request.method != "GET":
            self.patches += 1
        if request.query.get("watch"):
            return await self._watch(request)
        answers: Mapping[str, Any] = {
            WIDGETS.path: {"metadata": {"resourceVersion": str(self.version)}, "items": list(self.objects.values())},
        }
        self.lists += request.path == WIDGETS.path
        if request.path not in answers:
            self.missed[request.path] += 1
            return web.json_response({"kind": "Status", "code": 404, "message": request.path}, status=404)
        return web.json_response(answers[request.path])

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        stream: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        for event in self.history:
            if int(event["object"]["metadata"]["resourceVersion"]) > int(request.query["resourceVersion"]):
                stream.put_nowait(event)
        self.streams.add(stream)
        try:
            while (event := await stream.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.streams.discard(stream)
        return response


class Watched:
    """A feed on such a server, and what came through it."""

    def __init__(self, server: WatchServer, url: str, kinds: Sequence[ApiKind], listed: str = "") -> None:
        self.server = server
        self.registry = CollectorRegistry()
        self.store = Store()
        self.store.register(Widget)
        self.changes: list[Change] = []
        self.gaps: list[str] = []
        self.logins = 0
        log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])

        async def login() -> kopf.ConnectionInfo:
            self.logins += 1
            return kopf.ConnectionInfo(server=url, token=f"token-{self.logins}")

        self.feed = Feed(
            Kinds(kinds),
            login,
            Intake(self.store, lambda change, own: self.changes.append(change), Unfinished("test.dev/finalizer", SystemClock())),
            self.gaps.append,
            ApiMetrics(self.registry),
            log,
            lambda kind: listed,
        )

    def sizes(self) -> dict[str, int]:
        return {widget.metadata.name: widget.spec.size for widget in self.store.list(Widget)}

    @property
    def restarts(self) -> float:
        return self.registry.get_sample_value("vireo_feed_restarts_total") or 0.0


@asynccontextmanager
async def watched(server: WatchServer, kinds: Sequence[ApiKind] = (WIDGETS,), listed: str = "") -> AsyncIterator[Watched]:
    """`listed`: the version at which all kinds were listed before."""
    async with listening(server.handle) as url:
        made = Watched(server, url, kinds, listed)
        running = asyncio.create_task(made.feed.run())
        try:
            yield made
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            server.send(None)
