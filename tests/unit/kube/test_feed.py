"""The watch feed on a server that misbehaves: no event is lost, no error ends it."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
import structlog

from controller.kube import feed as module
from controller.kube.kinds import ApiKind
from controller.runtime.store import Part

from .kopfserver import WatchServer, watched
from .server import GROUP, WIDGETS, until


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> WatchServer:
    monkeypatch.setattr(module, "_SHORTEST_PAUSE", 0.05)
    monkeypatch.setattr(module, "_RETRIES", (0.05,))
    return WatchServer()


async def test_events_arrive(server: WatchServer) -> None:
    server.put("early", size=1)
    async with watched(server) as watch:
        await until(lambda: watch.sizes() == {"early": 1})
        await until(lambda: server.streams)
        server.put("late", size=2)
        await until(lambda: watch.sizes() == {"early": 1, "late": 2})
        server.put("late", size=3)
        await until(lambda: watch.sizes() == {"early": 1, "late": 3})
        server.remove("early")
        await until(lambda: watch.sizes() == {"late": 3})
        assert watch.changes[-1].parts is Part.DELETED
        assert watch.changes[-1].gone == "uid-early"
        assert watch.registry.get_sample_value("vireo_feed_events_total", {"kind": "Widget"}) == 4
    assert server.patches == 0, "kopf writes nothing"


async def test_what_kopf_lists_itself_counts_as_a_gap(server: WatchServer) -> None:
    server.put("a", size=1)
    async with watched(server) as watch:
        await until(lambda: watch.gaps == ["Widget"])
        await until(lambda: server.streams)
        server.put("a", size=2)
        await until(lambda: watch.sizes() == {"a": 2})
        assert watch.gaps == ["Widget"], "an event of the stream is none"
        server.error(410)
        await until(lambda: watch.gaps == ["Widget"] * 2)
        assert server.lists == 2
        assert watch.restarts == 0


async def test_what_was_listed_before_is_not_listed_again(server: WatchServer) -> None:
    server.put("a", size=1)
    listed = str(server.version)
    server.put("b", size=1)
    async with watched(server, listed=listed) as watch:
        await until(lambda: watch.sizes() == {"b": 1})
        for size in (2, 3):
            await until(lambda: server.streams)
            server.send({"type": "BOOKMARK", "object": {"kind": "Widget", "metadata": {"resourceVersion": str(server.version)}}})
            server.send(None)
            await until(lambda: server.streams)
            server.put("b", size=size)
            await until(lambda size=size: watch.sizes() == {"b": size})
        server.remove("b")
        await until(lambda: watch.sizes() == {})
        assert (server.lists, watch.gaps, watch.restarts) == (0, [], 0)
        assert watch.registry.get_sample_value("vireo_feed_events_total", {"kind": "Widget"}) == 4, "none of them twice"


async def test_what_the_server_no_longer_knows_since_is_listed(server: WatchServer) -> None:
    server.put("a", size=1)
    async with watched(server, listed=str(server.version)) as watch:
        await until(lambda: server.streams)
        server.error(410)
        await until(lambda: watch.sizes() == {"a": 1})
        assert (server.lists, watch.gaps, watch.restarts) == (1, ["Widget"], 0)


async def test_a_feed_that_starts_anew_lists(server: WatchServer) -> None:
    """The version that it began with may be one that the server cannot know any more: its data was restored."""
    server.put("a", size=1)
    async with watched(server, listed=str(server.version)) as watch:
        await until(lambda: server.streams)
        server.error(500)
        await until(lambda: watch.sizes() == {"a": 1})
        assert (server.lists, watch.restarts) == (1, 1)
        assert "Widget" in watch.gaps


@pytest.mark.parametrize("code", [500, 403, 504])
async def test_a_watch_error_starts_the_feed_anew(server: WatchServer, code: int) -> None:
    async with watched(server) as watch:
        for size in (1, 2, 3):
            await until(lambda: server.streams)
            server.error(code)
            await until(lambda size=size: watch.restarts >= size)
            server.put("a", size=size)
            await until(lambda size=size: watch.sizes() == {"a": size})
        assert watch.gaps.count("Widget") >= 3


async def test_tasks_of_the_controller_survive_the_end_of_kopf(server: WatchServer) -> None:
    """kopf cancels every task of its own loop when it ends; ours are not in it."""
    async with watched(server) as watch:
        await until(lambda: server.streams)
        ours = asyncio.create_task(asyncio.Event().wait())
        server.error(500)
        await until(lambda: watch.restarts == 1)
        await until(lambda: server.streams)
        assert not ours.done()
        ours.cancel()


async def test_a_stream_that_ends_is_taken_up_where_it_was(server: WatchServer) -> None:
    server.put("a", size=1)
    async with watched(server) as watch:
        await until(lambda: watch.sizes() == {"a": 1})
        for size in (2, 3):
            await until(lambda: server.streams)
            server.send(None)
            await until(lambda: server.streams)
            server.put("a", size=size)
            await until(lambda size=size: watch.sizes() == {"a": size})
        assert server.lists == 1


async def test_a_server_that_is_down_is_waited_for(server: WatchServer) -> None:
    server.refuse = True
    async with watched(server) as watch:
        await until(lambda: watch.restarts >= 2)
        server.put("a", size=1)
        server.refuse = False
        await until(lambda: watch.sizes() == {"a": 1})


async def test_the_thread_ends_with_the_feed(server: WatchServer) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    async with watched(server):
        await until(lambda: server.streams)
        assert any(thread.name == "watch-feed" for thread in threading.enumerate())

    def left() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.ident not in before and thread.name == "watch-feed"]

    await until(lambda: left() == [])


async def test_a_kind_whose_definition_is_gone_does_not_end_the_others(
    server: WatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.02)
    missing = ApiKind("Gadget", GROUP, "v1", "gadgets", namespaced=True)
    server.put("a", size=1)
    async with watched(server, [missing, WIDGETS]) as watch:
        await until(lambda: watch.sizes() == {"a": 1})
        await until(lambda: server.missed[missing.path] >= 3)
        server.put("a", size=2)
        await until(lambda: watch.sizes() == {"a": 2})
        assert watch.restarts == 0


async def test_access_that_is_refused_is_asked_for_anew(server: WatchServer) -> None:
    server.put("a", size=1)
    server.unauthorized = 1
    async with watched(server) as watch:
        await until(lambda: watch.sizes() == {"a": 1})
        assert watch.logins >= 2


async def test_thousands_of_events_do_not_pile_up_between_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKLOG", 50)
    taken: list[str] = []
    log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
    over = module._Handover(asyncio.get_running_loop(), lambda kind, type, raw: taken.append(raw["name"]), log)
    most = 0

    async def leave() -> None:
        nonlocal most
        for number in range(500):
            await over.put(WIDGETS, "ADDED", {"name": str(number)})
            most = max(most, len(over._events))

    thread = threading.Thread(target=lambda: asyncio.run(leave()), daemon=True)
    thread.start()
    await until(lambda: len(taken) == 500)
    await asyncio.to_thread(thread.join)
    assert taken == [str(number) for number in range(500)]
    assert most <= 50


async def test_an_event_that_makes_no_sense_does_not_hold_up_the_next(server: WatchServer) -> None:
    async with watched(server) as watch:
        await until(lambda: server.streams)
        server.send({"type": "ADDED", "object": {"kind": "Widget", "metadata": {"name": "odd", "resourceVersion": "seven"}}})
        server.put("a", size=1)
        await until(lambda: watch.sizes() == {"a": 1})
        assert watch.restarts == 0


async def test_a_stream_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As kopf 1.45's do when they fail at the moment they are cancelled."""
    monkeypatch.setattr(module, "_CANCEL_AGAIN", 0.01)

    async def deaf(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0)
    await module._end(tasks)
    assert all(task.cancelled() for task in tasks)
