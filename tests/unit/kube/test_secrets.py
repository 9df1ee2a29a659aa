"""Secrets: read when asked for, looked at afterwards, kept by nobody."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
import structlog

from controller.kube import secrets as module
from controller.kube.http import Http
from controller.kube.secrets import Secrets
from controller.runtime.ports import Rejected

from .server import Answer, Request, serving, status, until


class Vault:
    """Secrets by "namespace/name", each with its version."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, dict[str, str]]] = {}
        self.broken = False

    def __call__(self, request: Request) -> Answer:
        if self.broken:
            return status(500, "etcd is away")
        _, _, _, _, namespace, _, name = request.path.split("/")
        if f"{namespace}/{name}" not in self.held:
            return status(404, "not found")
        version, data = self.held[f"{namespace}/{name}"]
        content: dict[str, Any] = {"metadata": {"resourceVersion": str(version)}}
        if "PartialObjectMetadata" not in request.headers["Accept"]:
            content["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return Answer(200, content)


def reader(http: Http) -> Secrets:
    return Secrets(http, time.monotonic, structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[]))


async def test_data_is_decoded() -> None:
    vault = Vault()
    vault.held["ns/s"] = (1, {"user": "root", "password": "s3cret"})
    async with serving(vault) as (server, http):
        made = reader(http)
        assert await made.read("ns", "s") == {"user": b"root", "password": b"s3cret"}
        assert await made.read("ns", "missing") is None
        assert "s3cret" not in repr(made.__dict__)
    assert server.requests[0].path == "/api/v1/namespaces/ns/secrets/s"


async def test_a_secret_without_data_is_empty() -> None:
    async with serving(lambda _: Answer(200, {"metadata": {"resourceVersion": "1"}, "data": None})) as (_, http):
        assert await reader(http).read("ns", "s") == {}


async def test_a_refused_read_says_so() -> None:
    async with serving(lambda _: status(403, "may not read secrets")) as (_, http):
        with pytest.raises(Rejected, match="may not read secrets"):
            await reader(http).read("ns", "s")


async def test_changes_of_what_was_read_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.01)
    monkeypatch.setattr(module, "_GAP", 0.001)
    vault, told = Vault(), asyncio.Queue[tuple[str, str]]()
    vault.held = {"ns/changed": (1, {}), "ns/removed": (1, {}), "ns/same": (1, {}), "ns/never-read": (1, {})}
    async with serving(vault) as (server, http):
        made = reader(http)
        for name in ("changed", "removed", "same", "appears"):
            await made.read("ns", name)
        watching = asyncio.create_task(made.watch(lambda namespace, name: told.put_nowait((namespace, name))))
        vault.held["ns/changed"] = (2, {})
        assert await asyncio.wait_for(told.get(), 120) == ("ns", "changed")
        del vault.held["ns/removed"]
        assert await asyncio.wait_for(told.get(), 120) == ("ns", "removed")
        vault.broken = True
        seen = len(server.requests)
        await until(lambda: len(server.requests) >= seen + 10)
        vault.broken = False
        vault.held["ns/appears"] = (5, {})
        assert await asyncio.wait_for(told.get(), 120) == ("ns", "appears")
        seen = len(server.requests)
        await until(lambda: len(server.requests) >= seen + 12)
        assert told.empty(), "what was told is not told again"
        watching.cancel()
    looks = server.requests[4:]
    assert all("PartialObjectMetadata" in request.headers["Accept"] for request in looks), "no Secret's data is fetched again"
    assert not any("never-read" in request.path for request in looks)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", 3)
    async with serving(Vault()) as (_, http):
        made = reader(http)
        for number in range(10):
            await made.read("ns", str(number))
        assert list(made._seen) == [("ns", "7"), ("ns", "8"), ("ns", "9")]
