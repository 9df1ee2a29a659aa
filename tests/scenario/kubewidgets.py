"""A small kind of a test's own on the real API server, and a controller process for it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from controller.kube.kinds import ApiKind, Kinds
from controller.kube.run import Connection, Settings, connect, run
from controller.runtime.attempt import Options
from controller.runtime.clock import SystemClock
from controller.runtime.lease import LeaseTimes
from controller.runtime.manager import Manager
from controller.runtime.metrics import Metrics
from controller.runtime.reconciler import Reconciler
from controller.runtime.store import Store
from tests.kubectl import Kubectl
from tests.unit.runtime.models import Condition, Widget

PATIENT = LeaseTimes(duration=600, deadline=590.0, period=0.5)
"""So long that a busy machine loses no lease: only who gives it back, or is robbed of it, ceases to lead."""
FINALIZER = "widgets.example.com/finalizer"
PAUSED = "widgets.example.com/paused"


def manifest(group: str) -> dict[str, Any]:
    """The Widget CRD in an API group of the test's own."""
    text = {"type": "string", "maxLength": 2048}
    condition = {
        "type": "object",
        "required": ["type", "status", "reason", "lastTransitionTime"],
        "properties": {
            **dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime"), text),
            "observedGeneration": {"type": "integer"},
        },
    }
    status = {
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer", "default": -1},
            "size": {"type": "integer"},
            "intent": {"type": "integer"},
            "note": text,
            "conditions": {
                "type": "array",
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }
    spec = {"type": "object", "properties": {"size": {"type": "integer"}, "parent": text}}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [version],
        },
    }


def install(kubectl: Kubectl, group: str) -> None:
    kubectl.apply(manifest(group))
    kubectl.define([f"widgets.{group}"])


def widget(group: str, namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """One Widget."""
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


class Controller:
    """A controller process, all but its own operating-system process."""

    def __init__(
        self, connection: Connection, manager: Manager, store: Store, settings: Settings, registry: CollectorRegistry
    ) -> None:
        self.connection = connection
        self.manager = manager
        self.store = store
        self.registry = registry
        self.stop = asyncio.Event()
        self.secrets_changed: list[tuple[str, str]] = []
        self.task = asyncio.create_task(
            run(
                manager,
                connection,
                settings,
                on_lead=self._lead,
                on_secret=lambda namespace, name: self.secrets_changed.append((namespace, name)),
                stop=self.stop,
                random=random.random,
                registry=registry,
                log=structlog.get_logger(),
            )
        )

    async def _lead(self, shard: int) -> None:
        assert self.connection.elector.holds(shard)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    async def finish(self) -> None:
        self.stop.set()
        await self.task


@asynccontextmanager
async def controller(
    kubeconfig: Path,
    group: str,
    reconcilers: Callable[[Connection], Sequence[Reconciler[Any]]],
    *,
    lease: str,
    identity: str = "one",
    times: LeaseTimes = PATIENT,
) -> AsyncIterator[Controller]:
    """A running controller; killed at the end of the block unless it was finished before."""
    registry = CollectorRegistry()
    settings = Settings(kubeconfig, identity, "default", lease, "127.0.0.1", 0, times)
    log = structlog.get_logger()
    kinds = Kinds([ApiKind("Widget", group, "v1", "widgets", True)])
    ids = itertools.count(1)
    async with connect(kinds, settings, clock=SystemClock(), random=random.random, registry=registry, log=log) as connection:
        store = Store()
        store.register(Widget)
        manager = Manager(
            store,
            connection.api,
            reconcilers(connection),
            options=Options(FINALIZER, PAUSED),
            make_condition=Condition,
            clock=SystemClock(),
            random=random.random,
            new_id=lambda: f"{identity}-{next(ids)}",
            fence=connection.elector.check,
            metrics=Metrics(registry),
            log=log,
        )
        made = Controller(connection, manager, store, settings, registry)
        try:
            yield made
        finally:
            made.task.cancel()
            await asyncio.gather(made.task, return_exceptions=True)


async def eventually(check: Callable[[], Any], *, seconds: float = 120.0) -> Any:
    """Poll until `check()` is truthy and return that; fail with its last value after a while."""
    deadline = time.monotonic() + seconds
    while True:
        found = await asyncio.to_thread(check)
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.1)


def ready(raw: Mapping[str, Any]) -> bool:
    """Whether an object says Ready=True for its own generation."""
    status = raw.get("status", {})
    fresh = status.get("observedGeneration") == raw["metadata"]["generation"]
    return fresh and any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", []))
