"""Who sees what this process wrote."""

from __future__ import annotations

import asyncio

from controller.runtime.recorder import Record
from controller.runtime.store import Change

from .fakes import FakeApi
from .virtual import run
from .world import Outside, Process, WidgetReconciler


class Seen:
    """A witness that keeps what it is told."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []

    def __call__(self, change: Change, record: Record) -> None:
        self.changes.append((change.key.name, "gone" if change.gone else "written"))
        record(change.key, "uid", "Normal", "Seen", str(len(self.changes)))


def test_a_witness_is_told_of_own_writes_and_of_what_goes() -> None:
    async def main() -> None:
        api, outside, seen = FakeApi(), Outside(), Seen()
        process = Process(api, [WidgetReconciler(outside)], witnesses=[seen])
        key = api.create("Widget", "a", size=3)
        await process.start()
        await asyncio.sleep(5)
        own = len(seen.changes)
        assert own == sum(api.writes.values()) > 0
        assert set(seen.changes) == {("a", "written")}
        api.annotate(key, "note", "by a user")
        await asyncio.sleep(5)
        assert len(seen.changes) == own, "what others write is no deed of ours"
        api.delete(key)
        await asyncio.sleep(5)
        assert seen.changes.count(("a", "gone")) == 1
        assert seen.changes[-1] == ("a", "gone")
        assert len(api.events) == 1, "one series"
        await process.kill()

    run(main())


def test_a_process_that_does_not_reconcile_witnesses_nothing() -> None:
    async def main() -> None:
        api, seen = FakeApi(), Seen()
        process = Process(api, [WidgetReconciler(Outside())], witnesses=[seen])
        key = api.create("Widget", "a")
        process.tasks.append(asyncio.create_task(process.resync.run()))
        await process.resync.synced()
        api.delete(key)
        await asyncio.sleep(5)
        assert seen.changes == []
        await process.kill()

    run(main())


def test_a_witness_that_fails_is_reported_and_stops_nobody() -> None:
    async def main() -> None:
        api, seen = FakeApi(), Seen()

        def broken(change: Change, record: Record) -> None:
            raise RuntimeError("no eyes")

        process = Process(api, [WidgetReconciler(Outside())], witnesses=[broken, seen])
        api.create("Widget", "a", size=3)
        await process.start()
        await asyncio.sleep(5)
        assert seen.changes
        errors = [call.kwargs["event"] for call in process.log.calls if call.method_name == "error"]
        assert errors == ["witness failed"] * len(seen.changes)
        await process.kill()

    run(main())
