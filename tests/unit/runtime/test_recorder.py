"""Kubernetes Events: best effort, never twice in a row, never in the way."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from prometheus_client import CollectorRegistry

from controller.runtime import recorder as module
from controller.runtime.keys import Key
from controller.runtime.metrics import Metrics
from controller.runtime.ports import EventRecord, Gone
from controller.runtime.recorder import Recorder

from .fakes import FakeApi, Fault
from .virtual import EPOCH, LoopClock, run

KEY = Key("Widget", "ns", "a")


def made(api: FakeApi) -> tuple[Recorder, CollectorRegistry]:
    registry = CollectorRegistry()
    log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
    return Recorder(api, LoopClock(), Metrics(registry), log), registry


def dropped(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("vireo_events_dropped_total")


def test_events_are_written_in_order_with_what_they_say() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, _ = made(api)
        running = asyncio.create_task(recorder.run())
        recorder.record(KEY, "u1", "Normal", "Started", "on h1")
        recorder.record(KEY, "u1", "Warning", "Stopped", "by hand")
        await asyncio.sleep(1)
        assert [(event.type, event.reason, event.message) for event in api.events] == [
            ("Normal", "Started", "on h1"),
            ("Warning", "Stopped", "by hand"),
        ]
        assert api.events[0].key == KEY
        assert api.events[0].uid == "u1"
        assert api.events[0].at == EPOCH
        running.cancel()

    run(main())


def test_repeats_in_a_row_are_dropped_for_each_object_by_itself() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, _ = made(api)
        for uid, reason in [("u1", "A"), ("u1", "A"), ("u2", "A"), ("u1", "B"), ("u1", "A"), ("u2", "A")]:
            recorder.record(KEY, uid, "Normal", reason, "")
        await recorder.flush()
        assert [(event.uid, event.reason) for event in api.events] == [("u1", "A"), ("u2", "A"), ("u1", "B")]
        assert api.repeats == [("event-1", 2)]

    run(main())


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.REJECTED, Fault.THROTTLED, Fault.CONFLICT])
def test_one_that_cannot_be_written_is_dropped_and_counted(fault: Fault) -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, registry = made(api)
        faults = iter([fault])
        api.fault = lambda verb, key: next(faults, None)
        recorder.record(KEY, "u1", "Normal", "Lost", "")
        recorder.record(KEY, "u1", "Normal", "Written", "")
        await recorder.flush()
        assert [event.reason for event in api.events] == ["Written"]
        assert dropped(registry) == 1

    run(main())


def test_those_of_a_namespace_that_goes_are_no_loss() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, registry = made(api)
        create, gone = api.create_event, ["u1"]

        async def refuse(event: EventRecord) -> str:
            if event.uid in gone:
                raise Gone("namespace shop is being deleted")
            return await create(event)

        api.create_event = refuse  # type: ignore[method-assign]
        recorder.record(KEY, "u1", "Normal", "Deleted", "")
        recorder.record(KEY, "u2", "Normal", "Deleted", "")
        await recorder.flush()
        assert [event.uid for event in api.events] == ["u2"]
        assert not dropped(registry)
        assert recorder._log._logger.calls == []

    run(main())


def test_a_flood_takes_no_memory_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 10)
    monkeypatch.setattr(module, "_REMEMBERED", 10)

    async def main() -> None:
        api = FakeApi()
        recorder, registry = made(api)
        for number in range(100):
            recorder.record(KEY, f"u{number}", "Normal", "Flood", "")
        await recorder.flush()
        assert [event.uid for event in api.events] == [f"u{number}" for number in range(90, 100)]
        assert dropped(registry) == 90
        assert len(recorder._last) == 10

    run(main())


def test_a_long_message_is_cut_to_what_the_api_takes() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, _ = made(api)
        recorder.record(KEY, "u1", "Normal", "Long", "x" * 5000)
        await recorder.flush()
        assert len(api.events[0].message) == 1024

    run(main())


class Slow(LoopClock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


def said(recorder: Recorder, *reasons: str) -> None:
    for reason in reasons:
        recorder.record(KEY, "u1", "Warning", reason, "")


async def flapping(times: int, gap: float) -> FakeApi:
    """Two Events in turn."""
    api, clock = FakeApi(), Slow()
    recorder = Recorder(api, clock, Metrics(CollectorRegistry()), structlog.wrap_logger(None, processors=[]))
    for number in range(times):
        said(recorder, "Down" if number % 2 else "Up")
        await recorder.flush()
        clock.at += gap
    return api


def test_what_comes_and_goes_is_counted_and_not_written_each_time() -> None:
    async def main() -> None:
        api = await flapping(100, gap=1)
        assert [event.reason for event in api.events] == ["Up", "Down"]
        assert api.repeats == [("event-1", 2), ("event-2", 2)]

    run(main())


def test_a_long_series_is_brought_up_to_date_once_in_a_while() -> None:
    async def main() -> None:
        api = await flapping(1000, gap=2)
        assert len(api.events) == 2
        assert 8 <= len(api.repeats) <= 14, "each of the two: at once, and then every 360 of 2000 s"
        assert all(before < after for (_, before), (_, after) in zip(api.repeats[::2], api.repeats[2::2], strict=False))

    run(main())


def test_a_series_ends_when_nothing_happens_for_a_while() -> None:
    async def main() -> None:
        api = await flapping(6, gap=400)
        assert [event.reason for event in api.events] == ["Up", "Down"] * 3
        assert api.repeats == []

    run(main())


def test_an_expired_event_is_created_anew() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, registry = made(api)
        said(recorder, "A", "B")
        await recorder.flush()
        api.expired = {"event-1"}
        said(recorder, "A")
        await recorder.flush()
        assert [event.reason for event in api.events] == ["A", "B", "A"]
        said(recorder, "B", "A")
        await recorder.flush()
        assert api.repeats == [("event-2", 2), ("event-3", 2)]
        assert not dropped(registry)

    run(main())


def test_repeats_before_the_first_is_written_are_one_event() -> None:
    async def main() -> None:
        api = FakeApi()
        recorder, _ = made(api)
        said(recorder, "A", "B", "A", "B", "A")
        await recorder.flush()
        assert [event.reason for event in api.events] == ["A", "B"]
        assert api.repeats == [("event-1", 3), ("event-2", 2)]

    run(main())


def test_writes_are_counted() -> None:
    async def main() -> None:
        recorder, registry = made(FakeApi())
        said(recorder, "A", "B", "A")
        recorder.record(KEY, "u1", "Normal", "C", "")
        await recorder.flush()
        counted = {type: registry.get_sample_value("vireo_events_written_total", {"type": type}) for type in ("Normal", "Warning")}
        assert counted == {"Normal": 1, "Warning": 2}

    run(main())


def test_series_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SERIES", 10)

    async def main() -> None:
        api = FakeApi()
        recorder, _ = made(api)
        for number in range(100):
            recorder.record(KEY, f"u{number}", "Normal", "Flood", "")
        await recorder.flush()
        assert len(recorder._series) == 10
        assert len(api.events) == 100

    run(main())
