"""Events as they are written, counted and read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.kube import events
from controller.kube.api import KubeApi
from controller.kube.events import Told
from controller.kube.kinds import ApiKind, Kinds
from controller.runtime.keys import Key
from controller.runtime.ports import EventRecord, Gone, Rejected

from .server import Answer, serving

KINDS = Kinds([ApiKind("Widget", "example.com", "v1", "widgets", True), ApiKind("Zone", "example.com", "v1", "zones", False)])
AT = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
WIDGET, ZONE = Key("Widget", "ns", "a"), Key("Zone", "", "z")


def record(key: Key, at: datetime = AT) -> EventRecord:
    return EventRecord(key, "u1", "Warning", "Stopped", "by hand", at)


@pytest.mark.parametrize(("key", "namespace"), [(WIDGET, "ns"), (ZONE, "default")])
async def test_a_repeat_is_counted_on_the_event_that_was_made(key: Key, namespace: str) -> None:
    async with serving(lambda _: Answer(201, {})) as (server, http):
        api = KubeApi(http, KINDS, "me")
        name = await api.create_event(record(key))
        await api.repeat_event(record(key, AT + timedelta(seconds=5)), name, 3)
    made, counted = server.requests
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    assert (made.path, made.body["metadata"]["name"]) == (path, name)
    assert (counted.method, counted.path) == ("PATCH", f"{path}/{name}")
    assert counted.body == {"series": {"count": 3, "lastObservedTime": "2026-11-20T10:00:05.123456Z"}}


@pytest.mark.parametrize(("status", "error"), [(404, Gone), (403, Rejected)])
async def test_a_repeat_that_is_not_taken(status: int, error: type[Exception]) -> None:
    async with serving(lambda _: Answer(status, {"message": "no"})) as (_, http):
        with pytest.raises(error):
            await KubeApi(http, KINDS, "me").repeat_event(record(WIDGET), "a.1", 2)


def test_a_new_event_is_no_series() -> None:
    assert "series" not in events.created(record(WIDGET), KINDS["Widget"], "me")


CREATED = {"metadata": {"creationTimestamp": "2026-11-20T09:00:00Z"}, "reason": "R", "note": "n"}
READ = [
    ({}, "2026-11-20T09:00:00Z", 1),
    ({"eventTime": "2026-11-20T09:30:00.123456Z"}, "2026-11-20T09:30:00Z", 1),
    ({"eventTime": None, "deprecatedLastTimestamp": "2026-11-20T09:40:00Z", "deprecatedCount": 4}, "2026-11-20T09:40:00Z", 4),
    (
        {"eventTime": "2026-11-20T09:30:00.000000Z", "series": {"count": 7, "lastObservedTime": "2026-11-20T09:50:00.000001Z"}},
        "2026-11-20T09:50:00Z",
        7,
    ),
]


@pytest.mark.parametrize(("more", "at", "count"), READ)
def test_events_are_read_whoever_wrote_them(more: dict[str, Any], at: str, count: int) -> None:
    assert events.told(CREATED | more) == Told("R", "n", at, count)


@pytest.mark.parametrize(("key", "namespace"), [(WIDGET, "ns"), (ZONE, "default")])
async def test_the_last_warning_of_an_object(key: Key, namespace: str) -> None:
    items = [CREATED | {"note": str(hour), "eventTime": f"2026-11-20T{hour:02}:00:00.000000Z"} for hour in (3, 11, 7)]
    async with serving(lambda _: Answer(200, {"items": items})) as (server, http):
        found = await KubeApi(http, KINDS, "me").last_warning(key, "u1")
    assert found == Told("R", "11", "2026-11-20T11:00:00Z", 1)
    assert server.requests[0].path.partition("?")[0] == f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


async def test_no_warning() -> None:
    async with serving(lambda _: Answer(200, {"items": []})) as (_, http):
        assert await KubeApi(http, KINDS, "me").last_warning(WIDGET, "u1") is None
