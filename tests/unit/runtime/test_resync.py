"""Lists: at the start, after gaps, now and then, and what they repair."""

from __future__ import annotations

import asyncio
import itertools

import structlog

from controller.runtime.keys import Key
from controller.runtime.resync import Resync

from .fakes import FakeApi, Fault
from .virtual import run
from .world import Outside, Process, WidgetReconciler


def made(api: FakeApi) -> Process:
    return Process(api, [WidgetReconciler(Outside())])


def test_nothing_runs_before_every_kind_is_listed() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        api.create("Widget", "a", size=1, parent="p")
        api.create("Parent", "p")
        faults = itertools.chain([Fault.UNAVAILABLE] * 3, itertools.repeat(None))
        api.fault = lambda verb, key: next(faults) if verb == "list" else None
        process = Process(api, [WidgetReconciler(outside)])
        starting = asyncio.create_task(process.start())
        await asyncio.sleep(0.3)
        assert process.resync.missing
        assert not starting.done()
        assert outside.runs.total() == 0
        await starting
        assert process.resync.missing == []
        await asyncio.sleep(5)
        assert outside.sizes == {"uid-1": 1}, "the parent was known from the start"
        await process.kill()

    run(main())


def test_lists_come_in_chunks() -> None:
    async def main() -> None:
        api = FakeApi()
        for number in range(7):
            api.create("Widget", f"w{number}")
        process = made(api)
        await process.start()
        assert process.store.size("Widget") == 7
        assert api.requests["list"] == 4 + 1  # chunks of two, and one list without a parent
        await process.kill()

    run(main())


def test_a_list_that_expires_midway_is_begun_anew() -> None:
    async def main() -> None:
        api = FakeApi()
        for number in range(6):
            api.create("Widget", f"w{number}")
        answers = itertools.chain([None, None, Fault.CONFLICT], itertools.repeat(None))
        api.fault = lambda verb, key: next(answers) if verb == "list" else None
        process = made(api)
        await process.start()
        assert process.store.size("Widget") == 6
        await process.kill()

    run(main())


def test_a_list_that_is_put_off_is_not_asked_for_earlier() -> None:
    """The server says one second, which is longer than the first pause and shorter than the fourth."""

    async def main() -> None:
        api, loop = FakeApi(), asyncio.get_running_loop()
        asked: list[float] = []

        def throttled(verb: str, key: Key | None) -> Fault | None:
            if verb == "list":
                asked.append(loop.time())
            return Fault.THROTTLED if verb == "list" and len(asked) < 5 else None

        api.fault = throttled
        log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
        resync = Resync(api, made(api).manager.intake, ["Widget"], lambda: 0.5, log)
        listing = asyncio.create_task(resync.run())
        await resync.synced()
        assert [round(after - before, 1) for before, after in itertools.pairwise(asked)] == [1.0, 1.0, 2.0, 4.0]
        listing.cancel()

    run(main())


def test_a_broken_list_prunes_nothing() -> None:
    async def main() -> None:
        api = FakeApi()
        for number in range(6):
            api.create("Widget", f"w{number}")
        process = made(api)
        await process.start()
        pages = itertools.count()

        def second_page_fails(verb: str, key: Key | None) -> Fault | None:
            return Fault.UNAVAILABLE if verb == "list" and next(pages) % 2 else None

        api.fault = second_page_fails
        process.resync.request("Widget")
        await asyncio.sleep(300)
        assert next(pages) > 4
        assert process.store.size("Widget") == 6
        await process.kill()

    run(main())


def test_what_a_deaf_watch_missed_is_found_within_a_quarter_of_an_hour() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        for name in ("kept", "edited", "deleted", "vanished"):
            api.create("Widget", name, size=1)
        await process.start()
        await asyncio.sleep(5)
        process.watcher.broken = True
        api.edit(Key("Widget", "ns", "edited"), size=2)
        api.delete(Key("Widget", "ns", "deleted"))
        gone = Key("Widget", "ns", "vanished")
        api._remove(gone, dict(api.objects[gone]))
        api.create("Widget", "added", size=4)
        outside.runs.clear()
        await asyncio.sleep(901 + 5)
        process.watcher.broken = False
        assert sorted(outside.sizes) == ["uid-1", "uid-2", "uid-4", "uid-5"]  # of the vanished one nobody was told in time
        assert outside.sizes["uid-2"] == 2
        assert sorted(key.name for key in process.store.keys("Widget")) == ["added", "edited", "kept"]
        assert {key.name for key, _ in outside.forgotten} == {"deleted", "vanished"}
        assert Key("Widget", "ns", "kept") not in outside.runs, "what did not change is left alone"
        await process.kill()

    run(main())


def test_a_gap_leads_to_one_list_soon() -> None:
    async def main() -> None:
        api = FakeApi()
        api.create("Widget", "a")
        process = made(api)
        await process.start()
        before = api.requests["list"]
        for _ in range(100):
            process.resync.request("Widget")
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        assert api.requests["list"] == before + 1
        await process.kill()

    run(main())


def test_endless_requests_do_not_put_the_list_off_for_ever() -> None:
    async def main() -> None:
        api = FakeApi()
        process = made(api)
        await process.start()
        before = api.requests["list"]
        for _ in range(1200):
            process.resync.request("Widget")
            await asyncio.sleep(0.1)
        assert 3 <= api.requests["list"] - before <= 20
        await process.kill()

    run(main())


def test_kinds_are_listed_now_and_then_not_all_at_once() -> None:
    async def main() -> None:
        api = FakeApi()
        process = made(api)
        await process.start()
        times: list[float] = []
        api.fault = lambda verb, key: times.append(asyncio.get_running_loop().time()) if verb == "list" else None  # type: ignore[func-returns-value]
        await asyncio.sleep(7200)
        assert 2 * 7200 / 900 - 2 <= len(times) <= 2 * 7200 / 600 + 2
        assert len({round(time) for time in times}) > len(times) / 2
        await process.kill()

    run(main())


def test_an_api_server_that_is_down_is_not_hammered() -> None:
    async def main() -> None:
        api = FakeApi()
        api.fault = lambda verb, key: Fault.UNAVAILABLE
        process = made(api)
        starting = asyncio.create_task(process.start())
        await asyncio.sleep(600)
        assert 2 * 600 / 9 <= api.requests["list"] <= 2 * (600 / 8 + 10)
        starting.cancel()
        await process.kill()

    run(main())


def test_a_list_on_demand_has_all_that_was_written_before() -> None:
    async def main() -> None:
        api = FakeApi()
        key = api.create("Widget", "a", size=1)
        process = made(api)
        await process.start()
        await asyncio.sleep(1)
        process.watcher.broken = True
        api.edit(key, size=2)
        new = api.create("Widget", "b", size=1)
        faults = itertools.chain([Fault.UNAVAILABLE], itertools.repeat(None))
        api.fault = lambda verb, key: next(faults) if verb == "list" else None
        await process.resync.anew()
        assert process.store.checkout(key)[0].spec.size == 2  # type: ignore[index]
        assert process.store.uid(new)
        await process.kill()

    run(main())


def test_the_version_of_the_last_whole_list_is_known() -> None:
    """A watch goes on from there, so it must be that of the list's beginning, and none that was never whole."""

    async def main() -> list[str]:
        api = FakeApi()
        process = Process(api, [])
        versions = [process.resync.version("Widget")]
        await process.start()
        await asyncio.sleep(1)
        versions.append(process.resync.version("Widget"))
        api.create("Widget", "w", size=1)
        process.resync.request("Widget")
        await asyncio.sleep(30)
        versions.append(process.resync.version("Widget"))
        await process.kill()
        return versions

    before, first, second = run(main())
    assert before == ""
    assert 0 <= int(first) < int(second)
