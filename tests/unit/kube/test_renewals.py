"""The Leases of a process that shares its work: what hangs on the way to one of them keeps no other from being renewed."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry

from controller.kube.kinds import Kinds
from controller.kube.run import Settings, connect
from controller.runtime.clock import SystemClock
from controller.runtime.lease import LeaseTimes

from .server import listening

QUIET = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
NEVER_LATE = LeaseTimes(duration=600, deadline=590.0, period=0.01)


class Leases:
    """An API server that knows Leases; requests of some kinds about some of them get no answer."""

    def __init__(self, *hang: tuple[str, str]) -> None:
        self.hang = set(hang)
        self.stored: dict[str, dict[str, Any]] = {}
        self.hung: set[tuple[str, str]] = set()
        self.writes: list[str] = []
        self._versions = itertools.count(1)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        name = body.get("metadata", {}).get("name") or request.path.rpartition("/")[2]
        if (request.method, name) in self.hang:
            self.hung.add((request.method, name))
            await asyncio.Event().wait()
        if request.method == "GET":
            return web.json_response(self.stored[name]) if name in self.stored else web.json_response({}, status=404)
        known = self.stored.get(name, {}).get("metadata", {}).get("resourceVersion")
        if body["metadata"].get("resourceVersion") != known:
            return web.json_response({}, status=409)
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        self.stored[name] = body
        self.writes.append(name)
        return web.json_response(body)


def kubeconfig(directory: Path, url: str) -> Path:
    path = directory / "config"
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


async def until(leases: Leases, name: str, writes: int) -> None:
    """Until a Lease was written so many times."""
    async with asyncio.timeout(120):
        while leases.writes.count(name) < writes:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("shards", "hang"),
    [
        (2, [("GET", "l-shard-1")]),
        (3, [("PUT", "l-shard-1"), ("GET", "l-shard-2")]),
        (3, [("PUT", "l-shard-1"), ("PUT", "l-shard-2")]),
    ],
)
async def test_a_lease_is_renewed_whatever_hangs(tmp_path: Path, shards: int, hang: list[tuple[str, str]]) -> None:
    """It holds shard 0 and those whose renewal hangs; a look at any other hangs too."""
    leases = Leases(*hang)
    async with listening(leases.handle) as url:
        settings = Settings(kubeconfig(tmp_path, url), "me", "ns", "l", "127.0.0.1", 0, NEVER_LATE, shards)
        own = [0, *(int(name[-1]) for method, name in hang if method == "PUT")]
        opening = connect(Kinds([]), settings, clock=SystemClock(), random=random.random, registry=CollectorRegistry(), log=QUIET)
        async with opening as connection:
            electors = [connection.elector._electors[number] for number in own]
            assert [await each.attempt() for each in electors] == [True] * len(own)
            others = [each for number, each in enumerate(connection.elector._electors) if number not in own]
            tasks = [asyncio.create_task(each.hold()) for each in electors]
            tasks += [asyncio.create_task(each.look()) for each in others]
            async with asyncio.timeout(120):
                while leases.hung != set(hang):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await until(leases, "l", leases.writes.count("l") + 5)
            assert all(each.is_leader for each in electors)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
