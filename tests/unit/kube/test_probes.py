"""Liveness, readiness and metrics over real HTTP."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from controller.kube import probes


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_probes_and_metrics() -> None:
    registry, missing = CollectorRegistry(), ["Zone", "Host"]
    Counter("things", "Things.", registry=registry).inc(3)
    async with probes.serve("127.0.0.1", 0, registry, lambda: missing) as port:
        assert await get(port, "/healthz") == (200, "ok\n")
        assert await get(port, "/readyz") == (503, "waiting for Zone, Host\n")
        missing.clear()
        assert await get(port, "/readyz") == (200, "ok\n")
        code, text = await get(port, "/metrics")
        assert code == 200
        assert "things_total 3.0" in text
        assert (await get(port, "/"))[0] == 404
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(port, "/healthz")


async def test_a_port_in_use_is_an_error_at_once() -> None:
    async with probes.serve("127.0.0.1", 0, CollectorRegistry(), list) as port:
        with pytest.raises(OSError, match="in use"):
            async with probes.serve("127.0.0.1", port, CollectorRegistry(), list):
                pass
