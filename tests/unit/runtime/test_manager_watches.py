"""Who is woken by what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done
from controller.runtime.store import Change, Part

from .fakes import FakeApi, Fault
from .models import Parent, Widget
from .virtual import run
from .world import Outside, Process, WidgetReconciler

Scenario = Callable[[FakeApi, Process, Outside, Key], Awaitable[None]]


def counted(scenario: Scenario, *, delay: Callable[[], float] = lambda: 0.002) -> tuple[FakeApi, Outside]:
    """Settle one widget, then run the scenario; the outside counts runs from then on."""
    api, outside = FakeApi(), Outside()

    async def main() -> None:
        process = Process(api, [WidgetReconciler(outside)], delay=delay)
        await process.start()
        key = api.create("Widget", "a", size=1, parent="")
        await asyncio.sleep(60)
        outside.runs.clear()
        api.writes.clear()
        await scenario(api, process, outside, key)
        await process.kill()

    run(main())
    return api, outside


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.002, 5.0])
def test_own_writes_do_not_wake_their_object(delay: float) -> None:
    """Whether the event of a write comes before its reply or long after it."""

    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.edit(key, size=2)
        await asyncio.sleep(100)
        assert outside.runs[key] == 2, "one that resizes, one that sees it done"
        assert api.writes == {"status": 2}

    counted(scenario, delay=lambda: delay)


def test_a_change_by_somebody_while_a_write_is_under_way_is_seen() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.reply_delay = 1.0
        api.edit(key, size=2)
        await asyncio.sleep(1.5)
        assert api.writes == {"status": 2}, "the last write is done, its reply under way"
        assert outside.runs[key] == 2
        api.edit(key, size=3)
        await asyncio.sleep(20)
        assert outside.sizes == {"uid-1": 3}
        assert api.objects[key]["status"]["size"] == 3

    counted(scenario)


def test_a_deletion_while_a_write_is_under_way_is_seen() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.reply_delay = 1.0
        api.edit(key, size=2)
        await asyncio.sleep(0.5)
        api._remove(key, dict(api.objects[key]))
        await asyncio.sleep(20)
        assert process.store.size("Widget") == 0
        assert outside.forgotten == [(key, "uid-1")]

    counted(scenario)


def test_an_object_let_go_is_gone_at_once() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.delete(key)
        process.watcher.broken = True
        await asyncio.sleep(5)
        assert process.store.size("Widget") == 0
        assert api.writes == {"metadata": 1}
        assert process.metric("controller_runtime_reconcile_total", controller="Widget", result="error") == 0

    counted(scenario)


def test_a_status_wiped_by_somebody_is_written_again() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        before = api.objects[key]["status"]
        api.wipe_status(key)
        await asyncio.sleep(10)
        after = api.objects[key]["status"]
        for status in (before, after):
            for condition in status["conditions"]:
                del condition["lastTransitionTime"]
        assert after == before
        assert outside.made == {"uid-1": 1}
        assert api.writes == {"status": 1}

    counted(scenario)


def test_a_change_during_a_run_causes_exactly_one_more() -> None:
    async def main() -> None:
        api, starts = FakeApi(), []

        class Slow:
            kind = Widget
            watches: Sequence[Watch] = ()

            async def reconcile(self, ctx: Context[Widget]) -> Result:
                starts.append(ctx.object.spec.size)
                await asyncio.sleep(10)
                return done("Done")

            def forget(self, key: Key, uid: str) -> None:
                pass

        process = Process(api, [Slow()])
        key = api.create("Widget", "a", size=0)
        await process.start()
        await asyncio.sleep(1)
        for size in range(1, 6):
            api.edit(key, size=size)
            await asyncio.sleep(1)
        await asyncio.sleep(100)
        assert starts == [0, 5]
        await process.kill()

    run(main())


def test_labels_annotations_and_finalizers_of_others_wake() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.annotate(key, "note", "x")
        await asyncio.sleep(10)
        assert outside.runs[key] == 1
        raw = api.objects[key]
        api._store(key, {**raw, "metadata": {**raw["metadata"], "finalizers": []}}, "MODIFIED")
        await asyncio.sleep(10)
        assert outside.runs[key] == 2
        assert api.objects[key]["metadata"]["finalizers"], "a finalizer taken off is put back"

    counted(scenario)


def test_a_missing_reference_is_waited_for_and_found() -> None:
    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        api.edit(key, parent="p", size=5)
        await asyncio.sleep(500)
        assert outside.runs[key] == 1
        assert api.objects[key]["status"]["conditions"][0]["reason"] == "ParentNotFound"
        parent = api.create("Parent", "p")
        await asyncio.sleep(10)
        assert outside.sizes == {"uid-1": 5}
        api.delete(parent)
        await asyncio.sleep(10)
        assert api.objects[key]["status"]["conditions"][0]["reason"] == "ParentNotFound"

    counted(scenario)


def test_a_watch_wakes_for_the_object_before_and_after() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        reconciler = WidgetReconciler(outside)
        reconciler.watches = [Watch(Parent, lambda parent, store: [Key("Widget", "ns", parent.spec.parent)])]
        process = Process(api, [reconciler])
        for name in ("old", "new", "other"):
            api.create("Widget", name)
        parent = api.create("Parent", "p", parent="old")
        await process.start()
        await asyncio.sleep(60)
        outside.runs.clear()
        api.edit(parent, parent="new")
        await asyncio.sleep(60)
        assert {key.name: runs for key, runs in outside.runs.items()} == {"old": 1, "new": 1}
        await process.kill()

    run(main())


def test_a_watch_may_narrow_what_matters() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        reconciler = WidgetReconciler(outside)
        reconciler.watches = [Watch(Parent, lambda parent, store: [Key("Widget", "ns", "a")], of=lambda parent: parent.spec.size)]
        process = Process(api, [reconciler])
        key, parent = api.create("Widget", "a"), api.create("Parent", "p", size=1)
        await process.start()
        await asyncio.sleep(60)
        outside.runs.clear()
        api.annotate(parent, "x", "y")
        await asyncio.sleep(10)
        assert outside.runs[key] == 0
        api.edit(parent, size=2)
        await asyncio.sleep(10)
        assert outside.runs[key] == 1
        api.delete(parent)
        await asyncio.sleep(10)
        assert outside.runs[key] == 2
        await process.kill()

    run(main())


def test_a_watch_that_raises_stops_nothing() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()

        def broken(parent: Parent, store: object) -> list[Key]:
            raise ZeroDivisionError

        reconciler = WidgetReconciler(outside)
        reconciler.watches = [Watch(Parent, broken)]
        process = Process(api, [reconciler])
        await process.start()
        api.create("Parent", "p")
        api.create("Widget", "a", size=1)
        await asyncio.sleep(10)
        assert outside.sizes == {"uid-2": 1}
        assert any(call.method_name == "error" and "Parent/ns/p" in str(call.kwargs) for call in process.log.calls)
        await process.kill()

    run(main())


def test_a_settled_watch_wakes_once_for_many_changes() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        reconciler = WidgetReconciler(outside)
        reconciler.watches = [Watch(Parent, lambda parent, store: [Key("Widget", "ns", "a")], settle=2.0)]
        process = Process(api, [reconciler])
        key, parent = api.create("Widget", "a"), api.create("Parent", "p", size=0)
        await process.start()
        await asyncio.sleep(60)
        outside.runs.clear()
        for size in range(1, 11):
            api.edit(parent, size=size)
            await asyncio.sleep(0.1)
        assert outside.runs[key] == 0
        await asyncio.sleep(60)
        assert outside.runs[key] == 1
        await process.kill()

    run(main())


def test_observers_are_told_of_every_change_before_anything_runs() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        told: list[tuple[str, Part]] = []

        def broken(change: Change) -> None:
            raise ZeroDivisionError

        observers = [broken, lambda change: told.append((change.key.name, change.parts))]
        process = Process(api, [WidgetReconciler(outside)], observers=observers)
        await process.start()
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(5)
        api.delete(key)
        await asyncio.sleep(5)
        assert told[0] == ("a", Part.CREATED)
        assert told[1] == ("a", Part.FINALIZERS), "own writes are changes too"
        assert told[-1] == ("a", Part.DELETED)
        assert outside.made == {"uid-1": 1}, "an observer that raises is in nobody's way"
        await process.kill()

    run(main())


def test_events_and_wakes_of_a_reconcile() -> None:
    async def main() -> None:
        api, runs = FakeApi(), []

        class Gossip:
            kind = Widget
            watches: Sequence[Watch] = ()

            async def reconcile(self, ctx: Context[Widget]) -> Result:
                runs.append(ctx.key.name)
                ctx.event("Normal", "Seen", "x")
                if ctx.key.name == "a" and runs.count("a") == 1:
                    ctx.enqueue(Key("Widget", "ns", "b"))
                    ctx.enqueue(Key("Parent", "ns", "nobody reconciles it"))
                return done("Done")

            def forget(self, key: Key, uid: str) -> None:
                pass

        process = Process(api, [Gossip()], workers=1)
        for name in ("a", "b"):
            api.create("Widget", name)
        await process.start()
        await asyncio.sleep(5)
        assert runs == ["a", "b"], "b was waiting anyway: one run serves both"
        process.manager.enqueue(Key("Widget", "ns", "a"))
        await asyncio.sleep(5)
        assert runs == ["a", "b", "a"]
        assert [(event.key.name, event.uid, event.reason) for event in api.events] == [
            ("a", "uid-1", "Seen"),
            ("b", "uid-2", "Seen"),
        ]
        await process.kill()

    run(main())


FAULTS = {
    "conflict": ([Fault.CONFLICT], 5),
    "conflicts": ([Fault.CONFLICT] * 5, 30),
    "throttled": ([Fault.THROTTLED], 5),
    "unavailable": ([Fault.UNAVAILABLE] * 4, 30),
    "lost reply": ([Fault.LOST], 5),
    "lost replies": ([Fault.LOST] * 3, 30),
    "slow": ([Fault.SLOW], 10),
    "rejected": ([Fault.REJECTED] * 2, 10),
}


@pytest.mark.parametrize("verb", ["status", "metadata"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_api_server_is_outlasted(name: str, verb: str) -> None:
    faults, seconds = FAULTS[name]

    async def main() -> None:
        api, outside = FakeApi(), Outside()
        left = iter(faults)
        api.fault = lambda asked, key: next(left, None) if asked == verb else None
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(seconds)
        assert api.objects[key]["status"]["conditions"][0]["status"] == "True"
        assert api.objects[key]["status"]["observedGeneration"] == 1
        assert outside.made == {"uid-1": 1}
        assert outside.overlaps == 0
        await process.kill()

    run(main())


def test_a_conflict_without_an_event_is_healed_by_reading() -> None:
    """The event of the other write is lost, so only a read can tell what the object is now."""

    async def scenario(api: FakeApi, process: Process, outside: Outside, key: Key) -> None:
        process.watcher.broken = True
        api.edit(key, size=7)
        process.watcher.broken = False
        outside.sizes.clear()  # out of band, so that there is something to write
        process.manager.enqueue(key)
        await asyncio.sleep(10)
        assert outside.sizes == {"uid-1": 7}

    counted(scenario)


def test_an_object_deleted_unseen_is_dropped_when_a_write_finds_it_gone() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        key = api.create("Widget", "a", size=1)
        await process.start()
        process.watcher.broken = True
        api.delete(key)
        process.watcher.broken = False
        await asyncio.sleep(10)
        assert process.store.size("Widget") == 0
        assert outside.forgotten == [(key, "uid-1")]
        assert outside.made == {}
        await process.kill()

    run(main())
