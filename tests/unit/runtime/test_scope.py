"""What is being reconciled is known to whoever logs: in the task, in what it starts, and in the threads of its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.runtime.keys import Key
from controller.runtime.lanes import Lane, LaneMetrics, LaneOptions
from controller.runtime.scope import Scope, current, entered, lasting
from controller.runtime.threads import Threads

KEY = Key("Widget", "ns", "a")
LONG = 120.0  # never waited for in a passing test
HERE = {"kind": "Widget", "namespace": "ns", "name": "a", "reconcile": "r1"}


def scope(job: Any = None, reconcile: str = "r1") -> Scope:
    return Scope(KEY, reconcile, SimpleNamespace(status=SimpleNamespace(job=job)))


@pytest.mark.parametrize(
    ("job", "more"),
    [
        (None, {}),
        (SimpleNamespace(id="j1", status="InProgress"), {"job": "j1"}),
        (SimpleNamespace(id="j1", status="Succeeded"), {}),
    ],
)
def test_fields(job: Any, more: dict[str, str]) -> None:
    assert scope(job).fields() == HERE | more


def test_a_kind_without_jobs() -> None:
    assert Scope(KEY, "r1", SimpleNamespace(status=SimpleNamespace())).fields() == HERE


def test_a_job_that_begins_meanwhile_is_named() -> None:
    found = scope()
    found.object.status.job = SimpleNamespace(id="j2", status="InProgress")
    assert found.fields()["job"] == "j2"


def test_it_ends_with_its_block_also_by_an_exception() -> None:
    assert current() is None
    outer, inner = scope(), scope(reconcile="r2")
    with entered(outer):
        with pytest.raises(ZeroDivisionError), entered(inner):
            fail_if(current() is inner)
        assert current() is outer
    assert current() is None


def test_what_outlives_a_reconcile_tells_its_object_and_holds_nothing_of_it() -> None:
    begun = scope(SimpleNamespace(id="j1", status="InProgress"))
    with entered(Scope(KEY, "r1", begun.object, shard=2)):
        context = lasting()
        assert current() is not None, "the reconcile itself goes on"
        assert current().reconcile == "r1"  # type: ignore[union-attr]
    found = context.run(current)
    assert found is not None
    assert (found.fields(), found.object, found.shard) == ({"kind": "Widget", "namespace": "ns", "name": "a"}, None, 2)


def test_what_nobody_reconciles_lasts_too() -> None:
    assert lasting().run(current) is None


def fail_if(so: bool) -> None:
    if so:
        raise ZeroDivisionError


async def test_many_at_once_do_not_mix() -> None:
    async def one(number: int) -> None:
        with entered(scope(reconcile=f"r{number}")):
            for _ in range(3):
                await asyncio.sleep(0)
                found = current()
                assert found is not None
                assert found.reconcile == f"r{number}"

    await asyncio.gather(*(one(number) for number in range(20)))
    assert current() is None


def lane(registry: CollectorRegistry, threads: int = 2, name: str = "e1 work") -> Lane:
    return Lane(
        name,
        LaneOptions("work", threads, 8),
        unanswered=lambda _: False,
        guard=lambda: None,
        clock=asyncio.get_running_loop().time,
        metrics=LaneMetrics(registry),
        threads=Threads(),
    )


async def test_threads_of_a_lane_know_whom_they_work_for() -> None:
    """One thread serves many reconciles: each call has its own."""
    calls = lane(CollectorRegistry(), threads=1)

    def asked() -> tuple[str, bool]:
        found = current()
        return found.reconcile if found else "none", threading.current_thread() is threading.main_thread()

    async def one(number: int) -> tuple[str, bool]:
        with entered(scope(reconcile=f"r{number}")):
            return await calls.call(asked, timeout=LONG)

    assert await asyncio.gather(*(one(number) for number in range(5))) == [(f"r{number}", False) for number in range(5)]
    assert await calls.call(asked, timeout=LONG) == ("none", False)
    calls.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - threads know no asyncio.Event
            await asyncio.sleep(0.01)


async def test_saturation_names_the_busy_lanes_alone() -> None:
    registry, release = CollectorRegistry(), threading.Event()
    busy = lane(registry)
    metrics = busy._metrics
    idle = Lane(
        "e2 work",
        LaneOptions("work", 2, 8),
        unanswered=bool,
        guard=lambda: None,
        clock=lambda: 0.0,
        metrics=metrics,
        threads=Threads(),
    )
    waiting = [asyncio.create_task(busy.call(release.wait, timeout=LONG)) for _ in range(3)]

    def told() -> dict[str, float]:
        samples = [each for metric in registry.collect() if metric.name == "vireo_lane_saturation" for each in metric.samples]
        assert all(each.labels["purpose"] == "work" for each in samples)
        return {each.labels["endpoint"]: each.value for each in samples}

    await until(lambda: told() == {"e1": 1.5})
    release.set()
    await asyncio.gather(*waiting)
    await until(lambda: not told())
    busy.close()
    idle.close()


async def test_saturation_tells_the_worst_of_many_and_forgets_closed_ones() -> None:
    registry, release = CollectorRegistry(), threading.Event()
    first = lane(registry)
    options = LaneOptions("work", 2, 64)
    lanes = [
        Lane(
            f"e{number} work",
            options,
            unanswered=bool,
            guard=lambda: None,
            clock=lambda: 0.0,
            metrics=first._metrics,
            threads=Threads(),
        )
        for number in range(30)
    ]
    calls = [
        asyncio.create_task(each.call(release.wait, timeout=LONG)) for number, each in enumerate(lanes) for _ in range(number + 1)
    ]
    await asyncio.sleep(0)

    def told() -> list[float]:
        return [each.value for metric in registry.collect() if metric.name == "vireo_lane_saturation" for each in metric.samples]

    await until(lambda: told()[:1] == [15.0])
    assert told() == [(number + 1) / 2 for number in range(29, 9, -1)]
    release.set()
    await asyncio.gather(*calls)
    for each in [first, *lanes]:
        each.close()
