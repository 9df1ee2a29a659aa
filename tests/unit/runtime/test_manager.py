"""The manager against the fake API server: what a reconcile may count on, and what its result leads to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.lanes import CallTimeout, LaneBusy, LaneOpen
from controller.runtime.ports import NotLeader
from controller.runtime.results import Result, done, failed, requeue, waiting

from .fakes import FakeApi
from .models import Widget
from .virtual import run
from .world import FINALIZER, PAUSED, Outside, Process, WidgetReconciler


class Scripted:
    """A reconciler that does what it is told and notes when it ran."""

    kind = Widget
    watches = ()

    def __init__(self, body: Callable[[Context[Widget]], Awaitable[Result]]) -> None:
        self.body = body
        self.times: list[float] = []

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        self.times.append(round(asyncio.get_running_loop().time(), 1))
        return await self.body(ctx)

    def forget(self, key: Key, uid: str) -> None:
        pass


def conditions(api: FakeApi, key: Key) -> dict[str, tuple[str, str]]:
    found = api.objects[key].get("status", {}).get("conditions", [])
    return {item["type"]: (item["status"], item["reason"]) for item in found}


def scripted(
    body: Callable[[Context[Widget]], Awaitable[Result]], *, seconds: float, **options: Any
) -> tuple[FakeApi, Scripted, Process]:
    """Run a reconciler over one widget for a while."""
    api, reconciler = FakeApi(), Scripted(body)

    async def main() -> Process:
        process = Process(api, [reconciler], **options)
        api.create("Widget", "a", size=3)
        await process.start()
        await asyncio.sleep(seconds)
        await process.kill()
        return process

    return api, reconciler, run(main())


KEY = Key("Widget", "ns", "a")


def test_a_new_object_becomes_ready_with_few_writes_and_is_then_left_alone() -> None:
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
        assert conditions(api, key) == {"Ready": ("True", "Sized")}
        assert outside.sizes == {raw["metadata"]["uid"]: 3}
        assert api.writes == {"metadata": 1, "status": 2}  # finalizer; intent, Ready
        runs = outside.runs[key]
        await asyncio.sleep(7200)
        assert api.writes.total() == 3
        assert outside.runs[key] == runs
        await process.kill()

    run(main())


@pytest.mark.parametrize(
    ("result", "expected", "times"),
    [
        (done("Running"), {"Ready": ("True", "Running")}, [0.0]),
        (done("Running", recheck_after=20), {"Ready": ("True", "Running")}, [0.0, 20.0, 40.0]),
        (requeue(20, "Booting"), {"Ready": ("False", "Booting"), "Reconciling": ("True", "Booting")}, [0.0, 20.0, 40.0]),
        (waiting("NoHost"), {"Ready": ("False", "NoHost"), "Reconciling": ("True", "NoHost")}, [0.0]),
        (
            waiting("NoHost", retry_after=30),
            {"Ready": ("False", "NoHost"), "Reconciling": ("True", "NoHost")},
            [0.0, 30.0],
        ),
        (
            failed("Broken", "x", retry_after=25),
            {"Ready": ("False", "Broken"), "Reconciling": ("True", "Broken")},
            [0.0, 25.0, 50.0],
        ),
        (failed("BadImage", "x", terminal=True), {"Ready": ("False", "BadImage"), "Stalled": ("True", "BadImage")}, [0.0]),
    ],
)
def test_results(result: Result, expected: dict[str, tuple[str, str]], times: list[float]) -> None:
    async def body(ctx: Context[Widget]) -> Result:
        return result

    api, reconciler, _ = scripted(body, seconds=55)
    assert conditions(api, KEY) == expected
    assert [round(time) for time in reconciler.times] == times
    assert api.requests["status"] == 1, "an unchanged status is not written again"


def test_a_failure_backs_off_and_success_starts_the_backoff_afresh() -> None:
    outcomes = iter([failed("No", "x")] * 4 + [requeue(1, "Ok")] + [failed("No", "x")] * 2)

    async def body(ctx: Context[Widget]) -> Result:
        return next(outcomes, done("Done"))

    _, reconciler, process = scripted(body, seconds=60)
    gaps = [later - earlier for earlier, later in itertools.pairwise(reconciler.times)]
    bounds = [(0.17, 0.25), (0.35, 0.5), (0.7, 1.0), (1.4, 2.0), (1.0, 1.0), (0.17, 0.25), (0.35, 0.5)]
    assert len(gaps) == len(bounds)
    for gap, (least, most) in zip(gaps, bounds, strict=True):
        assert least - 0.1 <= gap <= most + 0.1
    assert process.metric("controller_runtime_reconcile_errors_total", controller="Widget") == 6
    assert process.metric("workqueue_retries_total", name="Widget") == 6
    assert process.metric("workqueue_depth", name="Widget") == 0
    assert process.metric("controller_runtime_reconcile_total", controller="Widget", result="error") == 6
    assert process.metric("controller_runtime_reconcile_total", controller="Widget", result="success") == 1
    assert process.metric("controller_runtime_reconcile_time_seconds_count", controller="Widget") == 8
    assert process.metric("vireo_store_objects", kind="Widget") == 1


@pytest.mark.parametrize(
    ("error", "reason", "stalled"),
    [
        (ValueError("secret-token"), "InternalError", False),
        (LaneBusy("h1: 8 calls wait"), "EndpointBusy", False),
        (LaneOpen("h1 does not answer", 7.0), "EndpointUnavailable", False),
        (CallTimeout("h1 has not answered"), "EndpointTimeout", False),
    ],
)
def test_exceptions_become_retried_failures(error: Exception, reason: str, stalled: bool) -> None:
    async def body(ctx: Context[Widget]) -> Result:
        ctx.object.status.note = "half-done"
        raise error

    api, reconciler, _ = scripted(body, seconds=300)
    assert conditions(api, KEY) == {"Ready": ("False", reason), "Reconciling": ("True", reason)}
    assert "note" not in api.objects[KEY]["status"], "the draft of a reconcile that raised is not to be trusted"
    assert len(reconciler.times) > 3
    assert "secret-token" not in str(api.objects[KEY])


def test_a_traceback_is_logged_once_per_sort() -> None:
    async def body(ctx: Context[Widget]) -> Result:
        raise KeyError("x")

    _, reconciler, process = scripted(body, seconds=120)
    logged = [call.kwargs for call in process.log.calls if call.method_name == "error"]
    assert len(logged) == len(reconciler.times)
    assert [bool(entry.get("exc_info")) for entry in logged] == [True] + [False] * (len(logged) - 1)
    assert all("KeyError at" in entry["error"] for entry in logged)


def test_a_reconcile_that_takes_too_long_is_ended_and_retried() -> None:
    async def body(ctx: Context[Widget]) -> Result:
        await asyncio.sleep(3600)
        return done("Never")

    api, reconciler, _ = scripted(body, seconds=200, timeout=60.0)
    assert conditions(api, KEY)["Ready"] == ("False", "ReconcileTimeout")
    assert len(reconciler.times) >= 3


def test_what_was_saved_survives_an_exception() -> None:
    async def body(ctx: Context[Widget]) -> Result:
        ctx.object.status.intent = 7
        await ctx.save("Starting", "a VM")
        ctx.object.status.note = "lost"
        raise RuntimeError

    api, _, _ = scripted(body, seconds=1)
    assert api.objects[KEY]["status"]["intent"] == 7
    assert "note" not in api.objects[KEY]["status"]


def test_save_says_that_work_goes_on() -> None:
    async def body(ctx: Context[Widget]) -> Result:
        ctx.object.status.intent = 7
        await ctx.save("Starting", "a VM")
        await ctx.save("Starting", "a VM")
        await asyncio.sleep(3600)
        return done("Never")

    api, _, _ = scripted(body, seconds=30)
    assert conditions(api, KEY) == {"Ready": ("False", "Starting"), "Reconciling": ("True", "Starting")}
    assert api.objects[KEY]["status"]["observedGeneration"] == 1
    assert api.requests["status"] == 1, "a second save of the same is no write"


def test_paused() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        key = api.create("Widget", "a", size=1)
        await asyncio.sleep(5)
        runs = outside.runs[key]
        api.annotate(key, PAUSED, "true")
        await asyncio.sleep(5)
        api.edit(key, size=2)
        await asyncio.sleep(500)
        assert outside.runs[key] == runs
        assert outside.sizes[api.objects[key]["metadata"]["uid"]] == 1
        assert conditions(api, key) == {"Ready": ("True", "Sized"), "Paused": ("True", "PausedByAnnotation")}
        assert api.objects[key]["status"]["observedGeneration"] == 1, "the new spec has not been processed"
        api.delete(key)
        await asyncio.sleep(500)
        assert key in api.objects, "a pause holds up deletion too"
        api.annotate(key, PAUSED, "false")
        await asyncio.sleep(5)
        assert key not in api.objects
        assert outside.sizes == {}
        await process.kill()

    run(main())


def test_resumed_objects_lose_the_condition() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        key = api.create("Widget", "a", size=1)
        api.annotate(key, PAUSED, "true")
        await process.start()
        await asyncio.sleep(5)
        assert conditions(api, key) == {"Paused": ("True", "PausedByAnnotation")}
        assert outside.sizes == {}
        api.annotate(key, PAUSED, None)
        await asyncio.sleep(5)
        assert conditions(api, key) == {"Ready": ("True", "Sized")}
        await process.kill()

    run(main())


def test_a_fence_that_closed_lets_nothing_through() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        led = [True]

        def fence() -> None:
            if not led[0]:
                raise NotLeader("lost")

        process = Process(api, [WidgetReconciler(outside)], fence=fence)
        await process.start()
        api.create("Widget", "a", size=1)
        await asyncio.sleep(5)
        writes = api.writes.total()
        led[0] = False
        api.edit(KEY, size=2)
        await asyncio.sleep(100)
        assert api.writes.total() == writes
        assert outside.sizes == {"uid-1": 1}, "the save before the action stopped it"
        assert process.metric("controller_runtime_reconcile_total", controller="Widget", result="not_leader") == 1
        await process.kill()

    run(main())


def test_stop_finishes_what_runs_and_starts_nothing_new() -> None:
    async def main() -> None:
        finished: list[str] = []

        async def body(ctx: Context[Widget]) -> Result:
            await asyncio.sleep(5 if ctx.key.name == "slow" else 1000)
            finished.append(ctx.key.name)
            return done("Done")

        api, reconciler = FakeApi(), Scripted(body)
        process = Process(api, [reconciler], workers=2)
        for name in ("slow", "stuck", "waiting"):
            api.create("Widget", name)
        await process.start()
        await asyncio.sleep(1)
        await process.manager.stop(process.working)
        assert finished == ["slow"]
        assert conditions(api, Key("Widget", "ns", "slow")) == {"Ready": ("True", "Done")}
        assert len(reconciler.times) == 2
        assert 5 <= asyncio.get_running_loop().time() <= 25
        await process.kill()

    run(main())


def test_run_may_be_called_again() -> None:
    async def main() -> None:
        api, outside = FakeApi(), Outside()
        process = Process(api, [WidgetReconciler(outside)])
        await process.start()
        process.working.cancel()
        await asyncio.sleep(1)
        api.create("Widget", "a", size=4)
        await asyncio.sleep(100)
        assert outside.sizes == {}
        process.reconcile()
        await asyncio.sleep(5)
        assert outside.sizes == {"uid-1": 4}
        await process.kill()

    run(main())


def test_runs_that_wait_for_nothing_let_others_have_their_turn() -> None:
    async def main() -> None:
        runs, turns = 0, []

        async def body(ctx: Context[Widget]) -> Result:
            nonlocal runs
            runs += 1
            ctx.object.status.observed_generation = 1
            return done("Done")

        async def other() -> None:
            while runs < 300:
                turns.append(runs)
                await asyncio.sleep(0)

        api = FakeApi()
        for number in range(300):
            key = api.create("Widget", f"w{number}")
            ready = {"type": "Ready", "status": "True", "reason": "Done", "message": "", "observedGeneration": 1}
            ready["lastTransitionTime"] = "2026-11-20T10:00:00Z"
            api.objects[key]["status"] = {"observedGeneration": 1, "conditions": [ready]}
        process = Process(api, [Scripted(body)], workers=4)
        await process.start()
        await other()
        assert api.requests["status"] == 0, "nothing to write, so nothing to wait for"
        assert max(later - earlier for earlier, later in itertools.pairwise([*turns, runs])) <= 4
        await process.kill()

    run(main())
