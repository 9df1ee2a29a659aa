"""Several processes reconcile the same objects, each those of its shards."""

from __future__ import annotations

import asyncio
from collections import Counter

from controller.runtime.keys import Key
from controller.runtime.recorder import Record
from controller.runtime.scope import current
from controller.runtime.store import Change

from .fakes import FakeApi
from .virtual import run
from .world import Outside, Process, WidgetReconciler


class Halves:
    """Widgets by the last letter of their names: a is in shard 0, b in 1; `mine` are the shards of this process."""

    def __init__(self, *mine: int) -> None:
        self.mine = set(mine)
        self.moved: dict[str, int] = {}

    def shard(self, key: Key) -> int:
        return self.moved.get(key.name, int(key.name.endswith("b")))

    def works_on(self, shard: int) -> bool:
        return shard in self.mine


class Slow(WidgetReconciler):
    """Takes a second, and notes as which shard's work."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside)
        self.shards: Counter[int] = Counter()

    async def _reconcile(self, ctx: object) -> object:  # type: ignore[override]
        scope = current()
        assert scope is not None
        self.shards[scope.shard] += 1
        await asyncio.sleep(1)
        return await super()._reconcile(ctx)  # type: ignore[arg-type]


def test_each_works_on_its_own_and_looks_on_at_the_rest() -> None:
    async def main() -> None:
        api, outside, seen = FakeApi(), Outside(), Counter[Key]()

        async def look(key: Key) -> float | None:
            seen[key] += 1
            return 10.0 if key.name == "later-b" else None

        reconciler = Slow(outside)
        process = Process(api, [reconciler], division=Halves(0), spectators={"Widget": look})
        a, b, later = (api.create("Widget", name, size=1) for name in ("one-a", "one-b", "later-b"))
        await process.start()
        await asyncio.sleep(35)
        assert outside.runs[a] > 0
        assert (outside.runs[b], seen[b], seen[a]) == (0, 1, 0)
        assert seen[later] == 4, "when it starts, and every ten seconds"
        assert set(reconciler.shards) == {0}
        api.edit(b, size=2)
        await asyncio.sleep(1)
        assert seen[b] == 2
        await process.kill()

    run(main())


def test_one_that_looks_on_may_fail_and_is_asked_again() -> None:
    async def main() -> None:
        api, asked = FakeApi(), Counter[Key]()

        async def look(key: Key) -> float | None:
            asked[key] += 1
            if asked[key] < 3:
                raise RuntimeError("not now")
            return None

        process = Process(api, [WidgetReconciler(Outside())], division=Halves(0), spectators={"Widget": look})
        b = api.create("Widget", "one-b", size=1)
        await process.start()
        await asyncio.sleep(60)
        assert asked[b] == 3
        await process.kill()

    run(main())


def test_a_shard_that_comes_along_is_begun() -> None:
    async def main() -> None:
        api, outside, halves = FakeApi(), Outside(), Halves(0)
        process = Process(api, [WidgetReconciler(outside)], division=halves)
        b = api.create("Widget", "one-b", size=1)
        await process.start()
        await asyncio.sleep(5)
        assert outside.runs[b] == 0
        halves.mine.add(1)
        process.manager.enqueue_all()
        await asyncio.sleep(5)
        assert outside.sizes == {"uid-1": 1}
        await process.kill()

    run(main())


def test_a_shard_is_finished_when_nothing_of_it_is_under_way() -> None:
    async def main() -> None:
        api, halves = FakeApi(), Halves(0, 1)
        process = Process(api, [Slow(Outside())], division=halves)
        api.create("Widget", "one-b", size=1)
        await process.start()
        await asyncio.sleep(0.5)
        halves.mine.discard(1)
        loop = asyncio.get_running_loop()
        since = loop.time()
        assert await process.manager.finished(0)
        assert loop.time() == since, "nothing of that one was under way"
        assert await process.manager.finished(1)
        assert 0.3 < loop.time() - since < 2
        await process.kill()

    run(main())


def test_one_that_does_not_end_in_time_is_told() -> None:
    class Endless(WidgetReconciler):
        async def _reconcile(self, ctx: object) -> object:  # type: ignore[override]
            await asyncio.sleep(1000)
            raise AssertionError

    async def main() -> None:
        api = FakeApi()
        process = Process(api, [Endless(Outside())], division=Halves(1), timeout=2000)
        api.create("Widget", "one-b", size=1)
        await process.start()
        await asyncio.sleep(0.5)
        assert not await process.manager.finished(1)
        await process.kill()

    run(main())


def test_the_shard_is_looked_up_at_each_turn() -> None:
    """An object that goes to another shard while it waits for its turn is left alone."""

    async def main() -> None:
        api, outside, halves = FakeApi(), Outside(), Halves(0)
        process = Process(api, [WidgetReconciler(outside)], division=halves)
        a = api.create("Widget", "one-a", size=1)
        await process.start()
        await asyncio.sleep(5)
        before = outside.runs[a]
        halves.moved["one-a"] = 1
        api.edit(a, size=5)
        await asyncio.sleep(5)
        assert outside.runs[a] == before
        assert outside.sizes == {"uid-1": 1}
        await process.kill()

    run(main())


def test_what_is_held_for_one_that_is_gone_is_forgotten_everywhere_and_told_once() -> None:
    async def main() -> None:
        api, told = FakeApi(), Counter[str]()

        def witness(name: str) -> object:
            def tell(change: Change, _record: Record) -> None:
                told[name] += bool(change.gone)

            return tell

        forgotten = {}
        processes = []
        for name, mine in (("first", 0), ("second", 1)):
            outside = forgotten[name] = Outside()
            process = Process(api, [WidgetReconciler(outside)], division=Halves(mine), witnesses=[witness(name)])  # type: ignore[list-item]
            await process.start()
            processes.append(process)
        b = api.create("Widget", "one-b", size=1)
        await asyncio.sleep(5)
        api.delete(b)
        await asyncio.sleep(5)
        assert b not in api.objects
        assert all(outside.forgotten == [(b, "uid-1")] for outside in forgotten.values())
        assert told["first"] == 1, "by the process that has shard 0"
        for process in processes:
            await process.kill()

    run(main())
