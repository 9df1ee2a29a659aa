"""Which pool is ready on which host, and which was let go: asked once for each connection, failures retried in their time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog

from controller.inventory import PoolRegistry
from controller.inventory.pools import CONCURRENCY, REFUSED_RETRY, RETRY
from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader
from drivers.errors import InvalidSpec, Transient
from drivers.types import NFSExport, PoolSpec
from tests.support.hypervisors import Hang, Hypervisor, host

from .builders import Bench, play, story_of

S1 = PoolSpec("s1", "/srv")
POOL = Key("StoragePool", "", "s1")


async def hosts(bench: Bench, count: int) -> list[str]:
    names = [f"h{number}" for number in range(count)]
    for name in names:
        bench.serve(name, Hypervisor(host(name)))
        bench.attach(name, name)
    await bench.pass_time()
    return names


def calls(bench: Bench) -> int:
    return sum(each.calls["ensure_pool"] for each in bench.hypervisors.values())


async def ensure(
    registry: PoolRegistry, names: list[str], *, spec: PoolSpec = S1, older_than: float = 600, patience: float = 5
) -> None:
    await registry.ensure(spec, names, older_than=older_than, patience=patience)


def test_asked_once_for_each_connection() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 3)
        for _ in range(3):
            await ensure(registry, names)
        assert calls(bench) == 3
        assert all(registry.ready("s1", name) for name in names)
        bench.hypervisors["h1"].faults["*"] = Transient("gone")
        await bench.pass_time(60)
        assert registry.ready("s1", "h1") is None, "what was prepared may be gone with the connection"
        bench.hypervisors["h1"].faults.clear()
        await bench.pass_time(60)
        assert registry.ready("s1", "h1") is None
        await ensure(registry, names)
        assert registry.ready("s1", "h1") is not None
        assert calls(bench) == 4

    story_of(story)


def test_a_look_is_no_older_than_it_may_be() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        [name] = await hosts(bench, 1)

        async def look(older_than: float) -> bool:
            return await registry.look(S1, name, older_than=older_than, patience=5) is not None

        assert [await look(0), await look(60), await look(60)] == [True] * 3
        assert calls(bench) == 1
        await bench.pass_time(61)
        assert await look(60)
        assert calls(bench) == 2
        assert all(await asyncio.gather(*(look(0) for _ in range(5))))
        assert calls(bench) == 3, "those who look at the same time share an answer"
        bench.hypervisors[name].faults["ensure_pool"] = Transient("full of sand")
        assert not await look(0)
        assert await registry.look(S1, "unknown", older_than=0, patience=5) is None

    story_of(story)


def test_a_look_that_is_not_answered_in_time_tells_nothing_old() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        [name] = await hosts(bench, 1)
        assert await registry.look(S1, name, older_than=0, patience=5)
        bench.hypervisors[name].faults["ensure_pool"] = Hang()
        await bench.pass_time(10)
        assert await registry.look(S1, name, older_than=5, patience=1) is None
        assert registry.ready("s1", name), "what was known stays, for those who don't mind"

    story_of(story)


def test_hosts_that_are_not_up_or_unknown_are_left_out() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        bench.attach("dead", "nobody")
        await ensure(registry, ["dead", "unknown"])
        assert registry.ready("s1", "dead") is registry.failure("s1", "dead") is registry.ready("s1", "unknown") is None
        assert registry.next_try("s1") is None

    story_of(story)


def test_another_path_is_another_question() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 1)
        await ensure(registry, names)
        await ensure(registry, names, spec=PoolSpec("s1", "/other"))
        assert calls(bench) == 2

    story_of(story)


def test_old_answers_are_asked_for_again() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 1)
        await ensure(registry, names)
        await asyncio.sleep(599)
        await ensure(registry, names)
        assert calls(bench) == 1
        await asyncio.sleep(1)
        await ensure(registry, names)
        assert calls(bench) == 2

    story_of(story)


@pytest.mark.parametrize(("fault", "pause"), [(Transient("x"), RETRY), (InvalidSpec("x"), REFUSED_RETRY), (KeyError("x"), RETRY)])
def test_failures_are_retried_in_their_time(fault: Exception, pause: float) -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 2)
        bench.hypervisors["h0"].faults["ensure_pool"] = fault
        await ensure(registry, names)
        failure = registry.failure("s1", "h0")
        assert failure is not None
        assert failure.host == "h0"
        assert registry.failure("s1", "h1") is None
        assert registry.next_try("s1") == pytest.approx(pause, abs=1)
        await asyncio.sleep(pause - 2)
        await ensure(registry, names)
        assert calls(bench) == 2
        bench.hypervisors["h0"].faults.clear()
        await asyncio.sleep(2)
        assert registry.next_try("s1") == 0
        await ensure(registry, names)
        assert registry.ready("s1", "h0") is not None
        assert registry.next_try("s1") is None

    story_of(story)


def test_a_call_that_is_not_ours_to_make_any_more_is_no_defect() -> None:
    async def story(bench: Bench) -> None:
        log = structlog.testing.CapturingLogger()
        logger = structlog.wrap_logger(log, processors=[])
        registry = PoolRegistry(bench.inventory.link, bench.woken.append, asyncio.get_running_loop().time, logger)
        names = await hosts(bench, 1)
        bench.hypervisors["h0"].faults["ensure_pool"] = NotLeader("me does not hold the lease")
        await ensure(registry, names)
        failure = registry.failure("s1", "h0")
        assert failure is not None
        assert failure.reason == "NotLeader"
        assert registry.next_try("s1") == pytest.approx(RETRY, abs=1)
        assert log.calls == []
        await registry.close()

    play(story)


def test_failure_of_a_host_that_went_down_is_no_reason_to_come_back() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 1)
        bench.hypervisors["h0"].faults["ensure_pool"] = Transient("x")
        await ensure(registry, names)
        bench.hypervisors["h0"].faults["*"] = Transient("gone")
        await bench.pass_time(60)
        assert registry.next_try("s1") is None

    story_of(story)


def test_slow_hosts_are_not_waited_for_and_wake_the_pool_when_they_answer() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 3)
        bench.hypervisors["h0"].faults["ensure_pool"] = Hang()
        bench.woken.clear()
        started = asyncio.get_running_loop().time()
        await ensure(registry, names, patience=2)
        assert asyncio.get_running_loop().time() - started <= 2.1
        assert registry.ready("s1", "h1") is not None
        assert registry.ready("s1", "h0") is None
        assert POOL not in bench.woken
        await ensure(registry, names, patience=2)
        assert bench.hypervisors["h0"].calls["ensure_pool"] == 1, "never twice at once"
        await asyncio.sleep(120)
        assert POOL in bench.woken
        assert registry.failure("s1", "h0") is not None

    story_of(story)


@pytest.mark.parametrize(("spec", "minutes"), [(S1, 2), (replace(S1, nfs=NFSExport("nfs1", "/vms")), 9)])
def test_a_host_that_waits_for_an_nfs_server_has_longer(spec: PoolSpec, minutes: int) -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 1)
        bench.hypervisors["h0"].faults["ensure_pool"] = Hang()
        await ensure(registry, names, spec=spec, patience=2)
        await asyncio.sleep(60 * (minutes - 1) - 10)
        assert registry.failure("s1", "h0") is None
        await asyncio.sleep(60)
        assert registry.failure("s1", "h0") is not None

    story_of(story)


def test_no_more_than_so_many_at_once() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 3 * CONCURRENCY)
        for hypervisor in bench.hypervisors.values():
            hypervisor.faults["ensure_pool"] = Hang()
        await ensure(registry, names, patience=10)
        assert calls(bench) == CONCURRENCY

    story_of(story)


def test_forgotten_pool_stops_and_starts_anew() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 2)
        bench.hypervisors["h0"].faults["ensure_pool"] = Hang()
        await ensure(registry, names, patience=1)
        registry.forget("s1")
        await asyncio.sleep(120)
        assert registry.ready("s1", "h1") is registry.failure("s1", "h0") is None
        bench.hypervisors["h0"].faults.clear()
        await ensure(registry, names)
        assert all(registry.ready("s1", name) for name in names)

    story_of(story)


def test_pools_are_apart() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await hosts(bench, 1)
        await ensure(registry, names)
        await ensure(registry, names, spec=PoolSpec("s2", "/other"))
        registry.forget("s1")
        assert registry.ready("s1", "h0") is None
        assert registry.ready("s2", "h0") is not None

    story_of(story)
