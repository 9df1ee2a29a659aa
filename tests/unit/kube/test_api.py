"""The runtime's ports on HTTP: paths, preconditions, chunks, Events, Leases."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import CollectorRegistry

from controller.kube.api import KubeApi
from controller.kube.http import Http
from controller.kube.leases import KubeLease
from controller.kube.metrics import ApiMetrics
from controller.runtime.keys import Key
from controller.runtime.lease import LeaseRecord
from controller.runtime.ports import Conflict, EventRecord, Gone, Page

from .server import KINDS, NAMESPACES, WIDGETS, ZONES, Answer, Request, listening, raw, serving, status, until

KEY = Key("Widget", "ns", "a")
AT = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "key", "all_of_them", "one", "values"),
    [
        (
            WIDGETS,
            KEY,
            "/apis/example.com/v1/widgets",
            "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}",
            {"namespace": "ns", "name": "a"},
        ),
        (ZONES, Key("Zone", "", "z"), "/apis/example.com/v1/zones", "/apis/example.com/v1/zones/{name}", {"name": "z"}),
        (NAMESPACES, Key("Namespace", "", "n"), "/api/v1/namespaces", "/api/v1/namespaces/{name}", {"name": "n"}),
    ],
)
def test_paths(kind: Any, key: Key, all_of_them: str, one: str, values: dict[str, str]) -> None:
    assert kind.path == all_of_them
    assert kind.path_of(key) == (one, values)


def test_api_versions() -> None:
    assert WIDGETS.api_version == "example.com/v1"
    assert NAMESPACES.api_version == "v1"


async def test_a_status_patch_carries_its_preconditions() -> None:
    async with serving(lambda _: Answer(200, raw())) as (server, http):
        await KubeApi(http, KINDS, "me").patch_status(KEY, "u1", "4", {"size": 1, "note": None})
    (request,) = server.requests
    assert request.path == "/apis/example.com/v1/namespaces/ns/widgets/a/status"
    assert request.body == {"metadata": {"uid": "u1", "resourceVersion": "4"}, "status": {"size": 1, "note": None}}


async def test_a_metadata_patch_cannot_lose_its_preconditions() -> None:
    async with serving(lambda _: Answer(200, raw())) as (server, http):
        await KubeApi(http, KINDS, "me").patch_metadata(KEY, "u1", "4", {"finalizers": ["f"], "resourceVersion": "1"})
    (request,) = server.requests
    assert request.path == "/apis/example.com/v1/namespaces/ns/widgets/a"
    assert request.body == {"metadata": {"finalizers": ["f"], "uid": "u1", "resourceVersion": "4"}}


async def test_a_reply_about_another_object_is_gone() -> None:
    async with serving(lambda _: Answer(200, raw(uid="u2"))) as (_, http):
        with pytest.raises(Gone):
            await KubeApi(http, KINDS, "me").patch_status(KEY, "u1", "4", {})


async def test_a_list_follows_its_chunks() -> None:
    pages = {
        "": {"metadata": {"resourceVersion": "9", "continue": "t1"}, "items": [raw("a"), raw("b")]},
        "t1": {"metadata": {"resourceVersion": "9", "continue": "t2"}, "items": [raw("c")]},
        "t2": {"metadata": {"resourceVersion": "9"}, "items": []},
    }
    async with serving(lambda request: Answer(200, pages[request.query.get("continue", "")])) as (server, http):
        found = [page async for page in KubeApi(http, KINDS, "me").list("Widget")]
    assert [[item["metadata"]["name"] for item in page.items] for page in found] == [["a", "b"], ["c"], []]
    assert [page.resource_version for page in found] == ["9", "9", "9"]
    assert {request.query["limit"] for request in server.requests} == {"50"}


async def test_items_of_a_built_in_kind_are_given_their_kind() -> None:
    answer = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "n"}}]}
    async with serving(lambda _: Answer(200, answer)) as (_, http):
        (page,) = [page async for page in KubeApi(http, KINDS, "me").list("Namespace")]
    assert page.items == [{"metadata": {"name": "n"}, "kind": "Namespace", "apiVersion": "v1"}]


async def test_an_expired_list_is_a_conflict() -> None:
    def answer(request: Request) -> Answer:
        if "continue" in request.query:
            return status(410, "The provided continue parameter is too old")
        return Answer(200, {"metadata": {"resourceVersion": "9", "continue": "t1"}, "items": [raw()]})

    async with serving(answer) as (_, http):
        pages = KubeApi(http, KINDS, "me").list("Widget")
        await anext(pages)
        with pytest.raises(Conflict):
            await anext(pages)


def _first(request: Request) -> Answer:
    """A list of two chunks, of which only the first is there."""
    if "continue" in request.query:
        return status(410, "The provided continue parameter is too old")
    return Answer(200, {"metadata": {"resourceVersion": "9", "continue": "t1"}, "items": [raw()]})


async def test_the_next_chunk_is_on_its_way_while_one_is_worked_on() -> None:
    async with serving(_first) as (server, http):
        pages = KubeApi(http, KINDS, "me").list("Widget")
        await anext(pages)
        await until(lambda: len(server.requests) == 2)  # nobody has asked for more yet
        await pages.aclose()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_list_that_nobody_goes_on_with_leaves_nothing_behind(answered: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a request under way, nor a failure that nobody has looked at."""
    gc.collect()
    caplog.clear()  # failures that other tests have left are told when somebody collects them
    async with serving(_first) as (server, http):
        pages = KubeApi(http, KINDS, "me").list("Widget")
        await anext(pages)
        if answered:
            await until(lambda: len(server.requests) == 2 and all(task.done() for task in _chunks()))
        await pages.aclose()
        assert not _chunks()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_list_that_is_cancelled_while_it_waits_ends() -> None:
    came, never = asyncio.Event(), asyncio.Event()

    async def stall(_: Any) -> None:
        came.set()
        await never.wait()

    async with listening(stall) as url:
        http = Http(Configuration(host=url), ApiMetrics(CollectorRegistry()))
        waiting = asyncio.create_task(_all(KubeApi(http, KINDS, "me").list("Widget")))
        await came.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not _chunks()
        await http.close()


def _chunks() -> list[asyncio.Task[Any]]:
    """Requests for a chunk of a list that are under way."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_chunk"]


async def _all(pages: AsyncIterator[Page]) -> list[Page]:
    return [page async for page in pages]


@pytest.mark.parametrize(
    ("key", "namespace", "regarding"),
    [
        (KEY, "ns", {"apiVersion": "example.com/v1", "kind": "Widget", "name": "a", "uid": "u1", "namespace": "ns"}),
        (Key("Zone", "", "z"), "default", {"apiVersion": "example.com/v1", "kind": "Zone", "name": "z", "uid": "u1"}),
    ],
)
async def test_events(key: Key, namespace: str, regarding: dict[str, str]) -> None:
    async with serving(lambda _: Answer(201, {})) as (server, http):
        event = EventRecord(key, "u1", "Warning", "Stopped", "by hand", AT)
        await KubeApi(http, KINDS, "i" * 300).create_event(event)
        await KubeApi(http, KINDS, "me").create_event(event)
    first, second = server.requests
    assert first.path == f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    assert first.body["regarding"] == regarding
    assert (first.body["type"], first.body["reason"], first.body["note"]) == ("Warning", "Stopped", "by hand")
    assert first.body["eventTime"] == "2026-11-20T10:00:00.123456Z"
    assert len(first.body["reportingInstance"]) == 128
    assert first.body["metadata"]["name"] != second.body["metadata"]["name"]


async def test_an_event_about_a_long_name_has_a_name_that_fits() -> None:
    async with serving(lambda _: Answer(201, {})) as (server, http):
        long = "a" * 199 + ".b" * 27
        await KubeApi(http, KINDS, "me").create_event(EventRecord(Key("Widget", "ns", long), "u1", "Normal", "R", "", AT))
    name = server.requests[0].body["metadata"]["name"]
    assert len(name) <= 253
    assert ".." not in name


async def test_a_lease_is_read_and_written() -> None:
    stored = {
        "metadata": {"resourceVersion": "7"},
        "spec": {
            "holderIdentity": "other",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-11-20T10:00:00.000000Z",
            "renewTime": "2026-11-20T10:00:00.123456Z",
            "leaseTransitions": 3,
        },
    }
    async with serving(lambda _: Answer(200, stored)) as (server, http):
        lease = KubeLease(http, "vireo-system", "controller")
        found = await lease.get()
        await lease.update(found)
        await lease.create(LeaseRecord("me", 15, AT, AT, 0, ""))
    assert (found.holder, found.duration, found.transitions, found.resource_version) == ("other", 15, 3, "7")
    assert found.renewed_at == AT
    get, put, post = server.requests
    assert get.path == put.path == "/apis/coordination.k8s.io/v1/namespaces/vireo-system/leases/controller"
    assert put.body["spec"] == stored["spec"]
    assert put.body["metadata"]["resourceVersion"] == "7"
    assert (post.method, post.path) == ("POST", "/apis/coordination.k8s.io/v1/namespaces/vireo-system/leases")
    assert "resourceVersion" not in post.body["metadata"]


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None}])
async def test_an_empty_lease_is_free(spec: dict[str, Any] | None) -> None:
    async with serving(lambda _: Answer(200, {"metadata": {"resourceVersion": "1"}, "spec": spec})) as (_, http):
        found = await KubeLease(http, "ns", "l").get()
    assert found == LeaseRecord("", 1, None, None, 0, "1")


@pytest.mark.parametrize(
    ("record", "annotations"),
    [
        (LeaseRecord("me", 15, AT, AT, 0, "7"), None),
        (LeaseRecord("me", 15, AT, AT, 0, "7", 3), {"vireo.dev/shards": "3"}),
        (LeaseRecord("me", 15, AT, AT, 0, "7", -3, "you"), {"vireo.dev/shards": "-3", "vireo.dev/wanted-by": "you"}),
        (LeaseRecord("me", 15, AT, AT, 0, "7", 1, "you"), {"vireo.dev/wanted-by": "you"}),
        (LeaseRecord("me", 15, AT, AT, 0, "7", ending=True), {"vireo.dev/ending": "true"}),
    ],
)
async def test_what_a_lease_says_of_shards(record: LeaseRecord, annotations: dict[str, str] | None) -> None:
    async with serving(lambda request: Answer(200, request.body)) as (server, http):
        found = await KubeLease(http, "vireo-system", "controller").update(record)
    assert server.requests[0].body["metadata"].get("annotations") == annotations
    assert found == record


@pytest.mark.parametrize("text", ["", "many", "0", None])
async def test_a_lease_without_a_number_is_undivided(text: str | None) -> None:
    stored = {"metadata": {"resourceVersion": "1", "annotations": {"vireo.dev/shards": text}}, "spec": {}}
    async with serving(lambda _: Answer(200, stored)) as (_, http):
        assert (await KubeLease(http, "ns", "l").get()).shards == 1
