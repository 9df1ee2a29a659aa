"""The manager against the fake API server: what becomes of objects that are deleted."""

from __future__ import annotations

import asyncio

from controller.runtime.keys import Key

from .fakes import FakeApi
from .virtual import run
from .world import Outside, Process, WidgetReconciler


def test_deletion_releases_what_is_held_and_forgets() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        uid = api.objects[key]["metadata"]["uid"]
        await asyncio.sleep(5)
        writes = api.writes.total()
        api.delete(key)
        await asyncio.sleep(5)
        assert key not in api.objects
        assert outside.sizes == {}
        assert outside.forgotten == [(key, uid)]
        assert api.writes.total() == writes + 1, "deletion costs one write"
        await process.kill()

    run(main())


def test_an_object_replaced_unseen_is_forgotten_and_made_anew() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        uid = api.objects[key]["metadata"]["uid"]
        await asyncio.sleep(5)
        process.watcher.broken = True
        api.objects[key]["metadata"]["finalizers"] = []
        api.delete(key)
        process.watcher.broken = False
        api.create("Widget", "a", size=2)
        await asyncio.sleep(5)
        assert outside.forgotten == [(key, uid)]
        assert api.objects[key]["status"]["size"] == 2
        await process.kill()

    run(main())


def test_what_is_deleted_while_another_process_leads_is_forgotten_at_once() -> None:
    """A standby holds claims for objects that it has only seen: they must not outlive the object, or block others once it leads."""
    api, outside = FakeApi(), Outside()

    async def main() -> None:
        process = Process(api, [WidgetReconciler(outside)])
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(1)
        uid = api.objects[key]["metadata"]["uid"]
        api.delete(key)
        await asyncio.sleep(1)
        assert outside.forgotten == [(key, uid)]
        await process.start()
        await asyncio.sleep(10)
        assert outside.forgotten == [(key, uid)], "once is enough"
        assert not outside.runs
        await process.kill()

    run(main())


def test_a_reconciler_that_fails_to_forget_does_not_stop_the_feed() -> None:
    api, outside = FakeApi(), Outside()

    class Forgetful(WidgetReconciler):
        def forget(self, key: Key, uid: str) -> None:
            raise RuntimeError("no")

    async def main() -> None:
        process = Process(api, [Forgetful(outside)])
        api.delete(api.create("Widget", "a", size=1))
        await asyncio.sleep(1)
        later = api.create("Widget", "b", size=1)
        await asyncio.sleep(1)
        assert process.store.uid(later) is not None
        assert "forgetting failed" in [call.kwargs.get("event") for call in process.log.calls if call.method_name == "error"]
        await process.kill()

    run(main())
