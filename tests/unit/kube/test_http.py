"""Requests and what answers mean."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import CollectorRegistry

from controller.kube.http import Http, failure
from controller.kube.metrics import ApiMetrics
from controller.runtime.ports import ApiError, Conflict, Gone, NotLeader, Rejected, Throttled, Unavailable
from tests.support.ports import reserved

from .server import Answer, listening, serving, status, until


@pytest.mark.parametrize(
    ("code", "headers", "expected", "pause"),
    [
        (400, {}, Rejected, None),
        (401, {}, Unavailable, None),
        (403, {}, Rejected, None),
        (404, {}, Gone, None),
        (405, {}, Rejected, None),
        (408, {}, Unavailable, None),
        (409, {}, Conflict, None),
        (410, {}, Conflict, None),
        (413, {}, Rejected, None),
        (422, {}, Rejected, None),
        (429, {}, Throttled, 1.0),
        (429, {"Retry-After": "7"}, Throttled, 7.0),
        (429, {"Retry-After": "soon"}, Throttled, 1.0),
        (429, {"Retry-After": "-3"}, Throttled, 0.0),
        (429, {"Retry-After": "999999"}, Throttled, 60.0),
        (500, {}, Unavailable, None),
        (503, {}, Unavailable, None),
        (503, {"Retry-After": "2"}, Throttled, 2.0),
        (504, {}, Unavailable, None),
    ],
)
def test_what_a_status_means(code: int, headers: dict[str, str], expected: type[ApiError], pause: float | None) -> None:
    error = failure(code, {"message": "why"}, headers, "GET /x")
    assert type(error) is expected
    assert str(error) == f"GET /x: {code} why"
    if isinstance(error, Throttled):
        assert error.retry_after == pause


def forbidden(*causes: object) -> dict[str, object]:
    return {"message": "why", "reason": "Forbidden", "details": {"causes": [*causes]}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (forbidden({"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}), Gone),
        (forbidden({"reason": "Other"}, {"reason": "NamespaceTerminating"}), Gone),
        (forbidden({"reason": "Other"}), Rejected),
        (forbidden("NamespaceTerminating", None), Rejected),
        ({"details": ["NamespaceTerminating"]}, Rejected),
        ({"details": {"causes": "NamespaceTerminating"}}, Rejected),
        ({}, Rejected),
    ],
)
def test_a_namespace_that_is_being_deleted_is_as_good_as_gone(content: object, expected: type[ApiError]) -> None:
    assert type(failure(403, content, {}, "POST /events")) is expected


@pytest.mark.parametrize("content", [None, [], "text", {"message": None}, {"message": {"a": 1}}, {"message": "x" * 100_000}])
def test_an_error_of_any_form_is_one_short_line(content: object) -> None:
    assert len(str(failure(500, content, {}, "GET /x"))) < 600


async def test_json_in_json_out() -> None:
    async with serving(lambda _: Answer(200, {"a": [1]})) as (server, http):
        assert await http.get("/x/{name}", {"name": "a b/c"}, query=[("limit", "2")]) == {"a": [1]}
        assert await http.post("/x", {}, {"new": 1}) == {"a": [1]}
        assert await http.put("/x", {}, {"old": 1}) == {"a": [1]}
        assert await http.merge_patch("/x", {}, {"gone": None}) == {"a": [1]}
    get, post, put, patch = server.requests
    assert (get.method, get.path, get.query) == ("GET", "/x/a%20b%2Fc", {"limit": "2"})
    assert (post.method, post.body, post.headers["Content-Type"]) == ("POST", {"new": 1}, "application/json")
    assert (put.method, put.body) == ("PUT", {"old": 1})
    assert (patch.method, patch.body, patch.headers["Content-Type"]) == ("PATCH", {"gone": None}, "application/merge-patch+json")
    assert all(request.headers["Authorization"] == "Bearer s3cret" for request in server.requests)
    assert {request.headers["User-Agent"] for request in server.requests} == {"vireo"}
    assert [request.query for request in (post, put, patch)] == [{"fieldManager": "vireo"}] * 3, "who wrote a field can be told"
    assert server.registry.get_sample_value("rest_client_requests_total", {"code": "200", "method": "GET"}) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(drop=True), Unavailable),
        (Answer(200, "not json"), Unavailable),
        (Answer(200, ""), Unavailable),
        (Answer(502, "<html>bad gateway</html>"), Unavailable),
        (Answer(403, "forbidden"), Rejected),
        (status(409, "the object has been modified"), Conflict),
        (status(429, "later", Retry_After="3"), Throttled),
        (status(302, "elsewhere"), Rejected),
    ],
)
async def test_bad_answers(answer: Answer, expected: type[ApiError]) -> None:
    async with serving(lambda _: answer) as (_, http):
        with pytest.raises(expected) as raised:
            await http.merge_patch("/x", {}, {"spec": {"password": "hunter2"}})
    assert "hunter2" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


async def test_nobody_there() -> None:
    with reserved() as silent:
        async with serving(lambda _: Answer()) as (other, http):
            http._client.configuration.host = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(Unavailable, match="GET /x: ClientConnectorError"):
                await http.get("/x")
            assert other.registry.get_sample_value("rest_client_requests_total", {"code": "<error>", "method": "GET"}) == 1


async def test_no_more_connections_than_allowed() -> None:
    """Each waits for its turn; none fails."""
    running, most, full = 0, 0, asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)
        running -= 1
        return web.json_response({})

    async with listening(slow) as url:
        http = Http(Configuration(host=url), ApiMetrics(CollectorRegistry()), connections=4)
        await asyncio.gather(*(http.get("/x") for _ in range(20)))
        await http.close()
    assert most == 4


async def test_busy_callers_do_not_starve_the_others() -> None:
    """A caller that asks again the moment it is answered has to queue like everybody."""
    order: list[str] = []
    both = asyncio.Barrier(2)

    async def note(request: web.Request) -> web.Response:
        if request.path == "/connected":
            await both.wait()
        order.append(request.path)
        return web.json_response({})

    async with listening(note) as url:
        http = Http(Configuration(host=url), ApiMetrics(CollectorRegistry()), connections=2)
        # how long it takes to connect says nothing about turns
        await asyncio.gather(*(http.get("/connected") for _ in range(2)))

        async def greedy() -> None:
            for _ in range(30):
                await http.get("/greedy")

        busy = [asyncio.create_task(greedy()) for _ in range(4)]
        await until(lambda: len(order) >= 6)
        asked = len(order)
        await http.get("/modest")
        await asyncio.gather(*busy)
        await http.close()
    assert order.index("/modest") <= asked + 8


async def test_a_write_that_waited_for_its_turn_is_fenced() -> None:
    """Who was the leader when it asked need not be when the turn comes; reads may go on."""
    sent: list[str] = []
    may_write, gate = True, asyncio.Event()

    def fence() -> None:
        if not may_write:
            raise NotLeader("somebody else leads")

    async def slow(request: web.Request) -> web.Response:
        sent.append(request.method)
        await gate.wait()
        return web.json_response({})

    async with listening(slow) as url:
        http = Http(Configuration(host=url), ApiMetrics(CollectorRegistry()), connections=1, fence=fence)
        first, second = (asyncio.create_task(http.merge_patch("/x", {}, {})) for _ in range(2))
        await until(lambda: sent == ["PATCH"])
        may_write = False
        gate.set()
        await first
        with pytest.raises(NotLeader):
            await second
        await http.get("/x")
        await http.close()
    assert sent == ["PATCH", "GET"]
