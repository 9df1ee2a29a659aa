"""Objects that the API server let go in the moment in which they got our finalizer: what was made for them goes too."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, requeue
from controller.runtime.unfinished import REQUEST, Unfinished

from .fakes import FakeApi
from .models import Widget
from .virtual import LoopClock, run
from .world import FINALIZER, Outside, Process, WidgetReconciler

LATE = 0.001
"""Seconds between two looks for the moment in which something has happened."""


class Slow(WidgetReconciler):
    """Needs several looks, and its own status, to take away what it made, as one does that follows a task."""

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        if ctx.deleting and ctx.object.status.intent != -3:
            ctx.object.status.intent = min(ctx.object.status.intent or 0, 0) - 1
            await ctx.save("Deleting")
            return requeue(1.0, "Deleting")
        return await super().reconcile(ctx)


async def finalized(api: FakeApi, key: Key) -> None:
    while not api.objects[key]["metadata"].get("finalizers"):  # noqa: ASYNC110 - the fake tells nobody
        await asyncio.sleep(LATE)


async def made(outside: Outside) -> None:
    while not outside.sizes:  # noqa: ASYNC110 - neither does the world outside
        await asyncio.sleep(LATE)


@pytest.mark.parametrize("sort", [WidgetReconciler, Slow])
@pytest.mark.parametrize("waits", [0.0, 0.004, 0.008, 0.012, 0.016, 0.02, 0.05, 1.0])
def test_what_was_made_for_it_is_taken_away(sort: type[WidgetReconciler], waits: float) -> None:
    """Whenever the deletion takes effect: before, while and after the thing is made, and while a write is under way."""

    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [sort(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        uid = api.objects[key]["metadata"]["uid"]
        await finalized(api, key)
        await asyncio.sleep(waits)
        api.delete_unseeing(key)
        await asyncio.sleep(30)
        assert outside.sizes == {}
        assert process.store.uid(key) is None
        assert outside.forgotten[-1] == (key, uid)
        writes, runs = api.requests.copy(), outside.runs[key]
        await asyncio.sleep(600)
        assert (api.requests["status"], api.requests["metadata"]) == (writes["status"], writes["metadata"])
        assert outside.runs[key] == runs, "nothing of it is left to look at"
        await process.kill()

    run(main())


def test_nothing_of_it_is_written_to_the_api() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [Slow(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(5)
        asked = api.requests.copy()
        api.delete_unseeing(key)
        await asyncio.sleep(30)
        assert outside.sizes == {}
        assert {verb: api.requests[verb] - asked[verb] for verb in ("status", "metadata", "get")} == {
            "status": 0,
            "metadata": 0,
            "get": 0,
        }
        await process.kill()

    run(main())


def test_a_list_without_it_does_not_end_its_deletion() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [Slow(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        await made(outside)
        api.delete_unseeing(key)
        await asyncio.sleep(0.5)
        process.resync.request("Widget")
        await asyncio.sleep(30)
        assert outside.sizes == {}
        assert process.store.uid(key) is None
        await process.kill()

    run(main())


def test_one_of_the_same_name_is_made_all_the_same() -> None:
    """What the first had made is known by its uid only, and stays: a reconciler that is asked for the name sees the second."""

    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [Slow(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        first = api.objects[key]["metadata"]["uid"]
        await made(outside)
        api.delete_unseeing(key)
        await asyncio.sleep(0.5)
        api.create("Widget", "a", size=2)
        second = api.objects[key]["metadata"]["uid"]
        await asyncio.sleep(30)
        assert outside.sizes[second] == 2
        assert api.objects[key]["status"]["size"] == 2
        assert (key, first) in outside.forgotten
        api.delete(key)
        await asyncio.sleep(30)
        assert key not in api.objects
        assert second not in outside.sizes
        await process.kill()

    run(main())


def test_one_that_disappears_later_was_not_deleted_by_anybody() -> None:
    """As from an etcd that was restored: what runs for it goes on running."""

    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(REQUEST + 5)
        api.delete_unseeing(key)
        await asyncio.sleep(30)
        assert list(outside.sizes.values()) == [1]
        assert process.store.uid(key) is None
        await process.kill()

    run(main())


def test_another_process_keeps_nothing_of_it() -> None:
    """A standby would hold it until it leads, and its claims as long."""

    async def main() -> None:
        api, outside = FakeApi(), Outside()
        leader, standby = Process(api, [WidgetReconciler(outside)]), Process(api, [WidgetReconciler(Outside())])
        await leader.start()
        key = api.create("Widget", "a", size=1)
        await made(outside)
        api.delete_unseeing(key)
        await asyncio.sleep(5)
        assert outside.sizes == {}
        assert standby.store.uid(key) is None
        await leader.kill()
        await standby.kill()

    run(main())


def raw(**metadata: object) -> dict[str, object]:
    known = {"name": "a", "namespace": "ns", "uid": "u1", "resourceVersion": "7", "finalizers": [FINALIZER, "other.dev/x"]}
    return {"kind": "Widget", "metadata": {**known, **metadata}, "spec": {}, "status": None}


KEY = Key("Widget", "ns", "a")


@pytest.mark.parametrize(
    "gone",
    [raw(finalizers=["other.dev/x"]), raw(finalizers=None), raw(deletionTimestamp="2026-11-22T00:00:00Z"), raw(uid="u2")],
    ids=["not ours", "no finalizers", "released by somebody", "another's"],
)
def test_what_is_rightly_gone_is_not_kept(gone: dict[str, object]) -> None:
    async def main() -> None:
        unfinished = Unfinished(FINALIZER, LoopClock())
        unfinished.note("u1", {"finalizers": [FINALIZER]})
        assert unfinished.keep(KEY, gone) is None
        assert not unfinished.has(KEY)
        assert unfinished.keep(KEY, raw()) is not None

    run(main())


def test_only_a_finalizer_that_was_written_counts() -> None:
    async def main() -> None:
        unfinished = Unfinished(FINALIZER, LoopClock())
        for patch in ({"finalizers": None}, {"annotations": {"a": "b"}}, {"finalizers": ["other.dev/x"]}):
            unfinished.note("u1", patch)
            assert unfinished.keep(KEY, raw()) is None

    run(main())


def test_it_goes_with_our_finalizer_whoever_elses_it_had() -> None:
    async def main() -> None:
        unfinished = Unfinished(FINALIZER, LoopClock())
        unfinished.note("u1", {"finalizers": [FINALIZER]})
        kept = unfinished.keep(KEY, raw())
        assert kept is not None
        assert kept["metadata"]["finalizers"] == [FINALIZER]
        assert unfinished.write(KEY, "status", {"size": 1, "gone": None})["status"] == {"size": 1}
        assert unfinished.write(KEY, "status", {"size": None, "inner": {"a": 1}})["status"] == {"inner": {"a": 1}}
        assert (unfinished.keys("Widget"), unfinished.keys("Parent")) == ({KEY}, set())
        unfinished.write(KEY, "metadata", {"finalizers": None})
        assert not unfinished.has(KEY)

    run(main())


def test_what_was_written_long_ago_is_forgotten() -> None:
    async def main() -> None:
        unfinished = Unfinished(FINALIZER, LoopClock())
        for number in range(1000):
            unfinished.note(f"u{number}", {"finalizers": [FINALIZER]})
            await asyncio.sleep(1)
        assert len(unfinished._written) <= REQUEST + 1

    run(main())
