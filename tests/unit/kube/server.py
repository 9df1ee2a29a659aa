"""An HTTP server that answers as a script says: for what the edge makes of answers, good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import CollectorRegistry

from controller.kube.http import Http
from controller.kube.kinds import ApiKind, Kinds
from controller.kube.metrics import ApiMetrics

GROUP = "example.com"
WIDGETS = ApiKind("Widget", GROUP, "v1", "widgets", True)
ZONES = ApiKind("Zone", GROUP, "v1", "zones", False)
NAMESPACES = ApiKind("Namespace", "", "v1", "namespaces", False)
KINDS = Kinds([WIDGETS, ZONES, NAMESPACES])


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What to answer: an object as JSON, or raw text; `drop` closes the connection instead."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def status(code: int, message: str = "", **headers: str) -> Answer:
    """A metav1.Status."""
    content = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Answer(code, content, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Server:
    """Requests seen so far, and how the next ones are answered."""

    answer: Callable[[Request], Answer]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        seen = Request(
            request.method,
            request.raw_path.partition("?")[0],
            dict(request.query),
            dict(request.headers),
            json.loads(text or "null"),
        )
        self.requests.append(seen)
        answer = self.answer(seen)
        if answer.drop and request.transport is not None:
            request.transport.abort()
            await asyncio.sleep(0)
        text = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
        return web.Response(status=answer.status, text=text, headers=answer.headers, content_type="application/json")


@contextlib.asynccontextmanager
async def serving(answer: Callable[[Request], Answer]) -> AsyncIterator[tuple[Server, Http]]:
    """The server, and a client of it with a bearer token."""
    server = Server(answer)
    async with listening(server.handle) as server.url:
        configuration = Configuration(host=server.url)
        configuration.api_key["BearerToken"] = "Bearer s3cret"
        http = Http(configuration, ApiMetrics(server.registry))
        try:
            yield server, http
        finally:
            await http.close()


@contextlib.asynccontextmanager
async def listening(handle: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """Serve every path by one function; yields the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def raw(name: str = "a", version: str = "5", uid: str = "u1", **more: Any) -> dict[str, Any]:
    """One Widget as the API server sends it."""
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version, "generation": 1}
    return {"apiVersion": WIDGETS.api_version, "kind": "Widget", "metadata": metadata, "spec": {}, **more}


async def until(condition: Callable[[], Any]) -> None:
    """Poll until the condition holds; fail after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
