"""The edge on a real API server: what it answers to preconditions, chunks, Events, Leases and Secrets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from controller.kube import api as api_module
from controller.kube import credentials
from controller.kube import secrets as secrets_module
from controller.kube.api import KubeApi
from controller.kube.http import Http
from controller.kube.kinds import ApiKind, Kinds
from controller.kube.leases import KubeLease
from controller.kube.metrics import ApiMetrics
from controller.kube.secrets import Secrets
from controller.runtime.keys import Key
from controller.runtime.lease import LeaseRecord
from controller.runtime.ports import Conflict, EventRecord, Gone, Rejected
from standalone.plane import ControlPlane
from tests.kubectl import Kubectl

from .kubewidgets import install, widget

QUIET = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])


@pytest.fixture(scope="module")
def group(kubectl: Kubectl) -> Iterator[str]:
    name = f"kubeapi{time.time_ns()}.example.com"
    install(kubectl, name)
    yield name
    kubectl("delete", "crd", f"widgets.{name}", "--wait=false")


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[Http]:
    made = Http(await credentials.load(plane.kubeconfig), ApiMetrics(CollectorRegistry()))
    yield made
    await made.close()


@pytest.fixture
async def limited(plane: ControlPlane) -> AsyncIterator[Http]:
    """With the controller's own rights."""
    made = Http(await credentials.load(plane.controller_kubeconfig), ApiMetrics(CollectorRegistry()))
    yield made
    await made.close()


@pytest.fixture
def api(http: Http, group: str) -> KubeApi:
    kinds = [ApiKind("Widget", group, "v1", "widgets", True), ApiKind("Namespace", "", "v1", "namespaces", False)]
    return KubeApi(http, Kinds(kinds), "tests")


@pytest.fixture
async def made(api: KubeApi, kubectl: Kubectl, group: str, namespace: str) -> tuple[Key, dict[str, Any]]:
    kubectl.apply(widget(group, namespace, "a", size=1))
    key = Key("Widget", namespace, "a")
    return key, dict(await api.get(key))


def precondition(raw: Any) -> tuple[str, str]:
    return raw["metadata"]["uid"], raw["metadata"]["resourceVersion"]


async def test_a_patch_returns_the_new_version(api: KubeApi, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    after = await api.patch_status(key, *precondition(raw), {"size": 1, "note": "x"})
    assert after["status"] == {"size": 1, "note": "x", "observedGeneration": -1}
    assert int(after["metadata"]["resourceVersion"]) > int(raw["metadata"]["resourceVersion"])
    assert after["metadata"]["generation"] == raw["metadata"]["generation"]
    removed = await api.patch_status(key, *precondition(after), {"note": None})
    assert "note" not in removed["status"]


async def test_a_patch_that_changes_nothing_is_no_new_version(api: KubeApi, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    after = await api.patch_status(key, *precondition(raw), {"size": 1})
    again = await api.patch_status(key, *precondition(after), {"size": 1})
    assert again["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


async def test_a_status_patch_does_not_touch_the_rest(api: KubeApi, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    after = await api.patch_metadata(key, *precondition(raw), {"finalizers": ["example.com/f"]})
    assert after["metadata"]["finalizers"] == ["example.com/f"]
    assert after["spec"] == raw["spec"]
    cleared = await api.patch_metadata(key, *precondition(after), {"finalizers": None})
    assert "finalizers" not in cleared["metadata"]


async def test_an_older_version_is_a_conflict(api: KubeApi, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    await api.patch_status(key, *precondition(raw), {"size": 1})
    with pytest.raises(Conflict):
        await api.patch_status(key, *precondition(raw), {"size": 2})
    with pytest.raises(Conflict):
        await api.patch_metadata(key, *precondition(raw), {"finalizers": ["example.com/f"]})
    assert (await api.get(key))["status"]["size"] == 1


async def test_an_object_made_anew_under_the_name_is_not_written(
    api: KubeApi, kubectl: Kubectl, group: str, made: tuple[Key, dict[str, Any]]
) -> None:
    key, old = made
    await asyncio.to_thread(kubectl, "delete", f"widgets.{group}", "a", "-n", key.namespace)
    await asyncio.to_thread(kubectl.apply, widget(group, key.namespace, "a", size=1))
    new = await api.get(key)
    assert precondition(new)[0] != precondition(old)[0]
    for write in (
        api.patch_status(key, *precondition(old), {"size": 2}),
        api.patch_metadata(key, *precondition(old), {"labels": {"a": "b"}}),
    ):
        with pytest.raises((Conflict, Gone)):
            await write
    assert precondition(await api.get(key)) == precondition(new)


async def test_an_object_that_is_gone(api: KubeApi, kubectl: Kubectl, group: str, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    await asyncio.to_thread(kubectl, "delete", f"widgets.{group}", "a", "-n", key.namespace)
    for call in (api.get(key), api.patch_status(key, *precondition(raw), {}), api.patch_metadata(key, *precondition(raw), {})):
        with pytest.raises(Gone):
            await call


async def test_a_status_that_the_schema_forbids_is_rejected(api: KubeApi, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    with pytest.raises(Rejected, match=r"status\.size"):
        await api.patch_status(key, *precondition(raw), {"size": "many"})


async def test_a_list_in_chunks_is_one_consistent_list(
    api: KubeApi, kubectl: Kubectl, group: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "_CHUNK", "3")
    await asyncio.to_thread(kubectl.apply, *(widget(group, namespace, f"w{number}") for number in range(8)))
    names: list[str] = []
    versions: set[str] = set()
    async for page in api.list("Widget"):
        if not names:
            await asyncio.to_thread(kubectl.apply, widget(group, namespace, "w9-too-late"))
        names += [raw["metadata"]["name"] for raw in page.items if raw["metadata"]["namespace"] == namespace]
        versions.add(page.resource_version)
        assert all(raw["kind"] == "Widget" for raw in page.items)
    assert names == [f"w{number}" for number in range(8)]
    assert len(versions) == 1


async def test_a_kind_without_its_definition(http: Http) -> None:
    lost = KubeApi(http, Kinds([ApiKind("Widget", "nowhere.example.com", "v1", "widgets", True)]), "tests")
    with pytest.raises(Gone):
        await anext(lost.list("Widget"))


async def test_built_in_kinds_can_be_listed(api: KubeApi, namespace: str) -> None:
    names = [raw["metadata"]["name"] async for page in api.list("Namespace") for raw in page.items]
    assert {"default", namespace} <= set(names)


async def test_events_are_accepted_and_shown(api: KubeApi, kubectl: Kubectl, made: tuple[Key, dict[str, Any]]) -> None:
    key, raw = made
    now = datetime.now(UTC)
    await api.create_event(EventRecord(key, raw["metadata"]["uid"], "Warning", "Stopped", "by hand", now))
    shown = kubectl.json("get", "events", "-n", key.namespace)["items"]
    assert [(event["reason"], event["type"], event["message"]) for event in shown] == [("Stopped", "Warning", "by hand")]
    assert shown[0]["involvedObject"]["uid"] == raw["metadata"]["uid"]
    zone = Key("Namespace", "", key.namespace)
    await api.create_event(EventRecord(zone, "0000", "Normal", "ClusterScoped", "", now))
    found = kubectl.json("get", "events", "-n", "default", "--field-selector", f"involvedObject.name={key.namespace}")
    assert [event["reason"] for event in found["items"]] == ["ClusterScoped"]


async def test_a_lease_has_one_writer(limited: Http, unique: str) -> None:
    lease = KubeLease(limited, "default", unique)
    with pytest.raises(Gone):
        await lease.get()
    now = datetime.now(UTC)
    first = await lease.create(LeaseRecord("one", 15, now, now, 0, ""))
    assert first == await lease.get()
    assert first.renewed_at == now
    with pytest.raises(Conflict):
        await lease.create(LeaseRecord("two", 15, now, now, 0, ""))
    second = await lease.update(replace(first, holder="two"))
    with pytest.raises(Conflict):
        await lease.update(replace(first, holder="three"))
    released = await lease.update(replace(second, holder="", duration=1))
    assert released.holder == ""


async def test_secrets(limited: Http, kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_module, "_PERIOD", 0.05)
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    await asyncio.to_thread(kubectl, "create", "secret", "generic", "s", "-n", namespace, "--from-literal=user=rööt")
    secrets = Secrets(limited, time.monotonic, QUIET)
    assert await secrets.read(namespace, "s") == {"user": "rööt".encode()}
    assert await secrets.read(namespace, "later") is None
    watching = asyncio.create_task(secrets.watch(lambda *name: told.put_nowait(name)))
    await asyncio.to_thread(kubectl, "create", "secret", "generic", "later", "-n", namespace)
    assert await asyncio.wait_for(told.get(), 200) == (namespace, "later")
    await asyncio.to_thread(kubectl, "delete", "secret", "s", "-n", namespace)
    assert await asyncio.wait_for(told.get(), 200) == (namespace, "s")
    watching.cancel()


async def test_the_controller_may_do_what_it_needs_and_no_more(
    limited: Http, kubectl: Kubectl, crds: list[str], unique: str
) -> None:
    kinds = Kinds([ApiKind("Zone", "vireo.dev", "v1alpha1", "zones", False), ApiKind("Namespace", "", "v1", "namespaces", False)])
    api = KubeApi(limited, kinds, "tests")
    zone = {"apiVersion": "vireo.dev/v1alpha1", "kind": "Zone", "metadata": {"name": unique}, "spec": {}}
    await asyncio.to_thread(kubectl.apply, zone)
    key = Key("Zone", "", unique)
    raw = await api.get(key)
    raw = await api.patch_metadata(key, *precondition(raw), {"finalizers": ["vireo.dev/finalizer"]})
    raw = await api.patch_status(key, *precondition(raw), {"observedGeneration": 1})
    raw = await api.patch_metadata(key, *precondition(raw), {"finalizers": None})
    await api.create_event(EventRecord(key, raw["metadata"]["uid"], "Normal", "Seen", "", datetime.now(UTC)))
    assert [page async for page in api.list("Namespace")]
    with pytest.raises(Rejected):
        await limited.get("/api/v1/namespaces/default/configmaps")
    with pytest.raises(Rejected):
        await limited.post("/api/v1/namespaces/default/secrets", {}, {"metadata": {"name": unique}})
    await asyncio.to_thread(kubectl, "delete", "zone.vireo.dev", unique)
