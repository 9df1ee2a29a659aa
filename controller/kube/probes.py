"""Liveness, readiness and metrics over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


@asynccontextmanager
async def serve(host: str, port: int, registry: CollectorRegistry, missing: Callable[[], Sequence[str]]) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics while the context is open; yields the port, which is chosen when 0 is asked for.

    `missing` says what the process still waits for: it is ready when that is nothing.  Raises OSError when the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting = missing()
        text = f"waiting for {', '.join(waiting)}\n" if waiting else "ok\n"
        return web.Response(text=text, status=503 if waiting else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
