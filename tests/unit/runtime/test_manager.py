"""The manager against the fake API server: what a reconcile may count on."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.keys import Key

from .fakes import FakeApi, Fault
from .virtual import run
from .world import FINALIZER, PAUSED, Outside, Process, WidgetReconciler


def condition(api: FakeApi, key: Key, type: str) -> dict[str, object] | None:
    found = [item for item in api.objects[key].get("status", {}).get("conditions", []) if item["type"] == type]
    return found[0] if found else None


def test_a_new_object_becomes_ready_with_few_writes() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=3)
        await asyncio.sleep(5)
        raw = api.objects[key]
        assert raw["metadata"]["finalizers"] == [FINALIZER]
        assert raw["status"]["size"] == 3
        assert raw["status"]["observedGeneration"] == 1
        assert "intent" not in raw["status"]
        assert condition(api, key, "Ready")["status"] == "True"
        assert condition(api, key, "Reconciling") is None
        assert outside.sizes == {raw["metadata"]["uid"]: 3}
        # finalizer, intent, Ready
        assert sum(api.writes.values()) == 3
        runs = outside.runs[key]
        await asyncio.sleep(7200)
        assert sum(api.writes.values()) == 3
        assert outside.runs[key] == runs
        await process.kill()

    run(main())
