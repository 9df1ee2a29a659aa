"""Pools that hosts let go: asked once for each connection, never while they are made ready, and what stays is told."""

from __future__ import annotations

import asyncio

import pytest

from controller.inventory import PoolRegistry
from controller.inventory.pools import RETRY
from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader
from drivers.errors import Conflict, DriverError, InvalidSpec, StorageUnavailable, Transient
from drivers.types import HostID, NFSExport, PoolSpec
from tests.support.hypervisors import Hang, Hypervisor, host

from .builders import Bench, story_of

S1 = PoolSpec("s1", "/srv")
S2 = PoolSpec("s2", "/other")
POOL = Key("StoragePool", "", "s1")


async def ready(bench: Bench, registry: PoolRegistry, count: int = 2) -> list[str]:
    """Hosts that have the pool."""
    names = [f"h{number}" for number in range(count)]
    for name in names:
        bench.serve(name, Hypervisor(host(name)))
        bench.attach(name, name)
    await bench.pass_time()
    await registry.ensure(S1, names, older_than=600, patience=5)
    return names


def calls(bench: Bench, name: str = "release_pool") -> list[int]:
    return [each.calls[name] for each in bench.hypervisors.values()]


async def release(registry: PoolRegistry, names: list[str], patience: float = 5) -> list[tuple[str, str, bool]]:
    left = await registry.release(S1, names, patience=patience)
    return [(each.host, each.reason, each.definite) for each in left]


def test_asked_once_for_each_connection() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await ready(bench, registry)
        assert not registry.releasing("s1")
        for _ in range(3):
            assert await release(registry, names) == []
        assert calls(bench) == [1, 1]
        assert registry.releasing("s1")
        assert not any(each.defined for each in bench.hypervisors.values())
        assert registry.ready("s1", "h0") is registry.failure("s1", "h0") is registry.next_try("s1") is None
        bench.hypervisors["h1"].faults["*"] = Transient("gone")
        await bench.pass_time(60)
        assert await release(registry, names) == [], "who does not answer is not asked"
        bench.hypervisors["h1"].faults.clear()
        await bench.pass_time(60)
        assert await release(registry, names) == []
        assert calls(bench) == [1, 2]

    story_of(story)


@pytest.mark.parametrize(
    ("fault", "definite"),
    [
        (Transient("x"), False),
        (StorageUnavailable("x"), False),
        (NotLeader("x"), False),
        (KeyError("x"), False),
        (Conflict("x"), True),
        (InvalidSpec("x"), True),
    ],
)
def test_what_stays_is_told_and_asked_again_in_its_time(fault: Exception, definite: bool) -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await ready(bench, registry)
        bench.hypervisors["h0"].faults["release_pool"] = fault
        for _ in range(2):
            reason = (
                fault.reason
                if isinstance(fault, DriverError)
                else ("NotLeader" if isinstance(fault, NotLeader) else "InternalError")
            )
            assert await release(registry, names) == [("h0", reason, definite)]
        assert calls(bench) == [1, 1]
        assert registry.next_try("s1") is not None
        bench.hypervisors["h0"].faults.clear()
        await asyncio.sleep(10 * RETRY)
        assert await release(registry, names) == []
        assert calls(bench) == [2, 1]

    story_of(story)


def test_a_slow_host_is_not_waited_for_and_wakes_the_pool() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await ready(bench, registry)
        bench.hypervisors["h0"].faults["release_pool"] = Hang()
        bench.woken.clear()
        for _ in range(2):
            assert await release(registry, names, patience=2) == [("h0", "Releasing", False)]
        assert calls(bench) == [1, 1], "never twice at once"
        await asyncio.sleep(70)
        assert POOL in bench.woken
        assert await release(registry, names) == [("h0", "HypervisorUnavailable", False)]

    story_of(story)


@pytest.mark.parametrize(("nfs", "minutes"), [(None, 1), (NFSExport("nfs1", "/vms"), 8)])
def test_a_host_that_waits_for_an_nfs_server_has_longer(nfs: NFSExport | None, minutes: int) -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        spec = PoolSpec("s1", "/srv", nfs=nfs)
        bench.hypervisors["h0"].faults["release_pool"] = Hang()
        await registry.release(spec, ["h0"], patience=1)
        await asyncio.sleep(60 * minutes - 10)
        assert [each.reason for each in await registry.release(spec, ["h0"], patience=1)] == ["Releasing"]
        await asyncio.sleep(20)
        assert [each.reason for each in await registry.release(spec, ["h0"], patience=1)] == ["HypervisorUnavailable"]

    story_of(story)


def test_it_is_let_go_after_it_was_made_ready_and_not_the_other_way_round() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        hypervisor, order = bench.hypervisors["h0"], list[str]()
        hypervisor.before["ensure_pool"] = lambda: order.append("ensure")
        hypervisor.before["release_pool"] = lambda: order.append("release")
        await asyncio.gather(registry.ensure(S1, ["h0"], older_than=0, patience=5), release(registry, ["h0"]))
        assert order == ["ensure", "release"]
        assert not hypervisor.defined
        await asyncio.gather(release(registry, ["h0"]), registry.ensure(S1, ["h0"], older_than=600, patience=5))
        await registry.ensure(S1, ["h0"], older_than=600, patience=5)
        assert order[-1] == "ensure"
        assert registry.ready("s1", "h0") is not None
        assert not registry.releasing("s1")

    story_of(story)


def test_one_that_is_made_again_is_asked_for_again() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        names = await ready(bench, registry, 1)
        assert await release(registry, names) == []
        registry.forget("s1")
        assert not registry.releasing("s1")
        await registry.ensure(S1, names, older_than=600, patience=5)
        assert registry.ready("s1", "h0") is not None
        assert await release(registry, names) == []
        assert calls(bench) == [2]

    story_of(story)


# What nobody declares --------------------------------------------------------------------------------------------------


async def tidy(bench: Bench, registry: PoolRegistry, *declared: PoolSpec) -> list[str]:
    link = bench.inventory.link("h0")
    assert link is not None
    return [each.reason for each in await registry.tidy(link, lambda pool: pool in declared)]


def test_a_host_keeps_what_is_declared() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        await registry.ensure(S2, ["h0"], older_than=600, patience=5)
        bench.woken.clear()
        assert await tidy(bench, registry, S2) == []
        assert list(bench.hypervisors["h0"].defined.values()) == [S2]
        assert registry.ready("s2", "h0") is not None
        assert POOL in bench.woken, "one of that name may be waiting for its place"
        await registry.ensure(S1, ["h0"], older_than=600, patience=5)
        assert registry.ready("s1", "h0") is not None

    story_of(story)


def test_one_that_something_is_done_about_is_left_for_the_next_look() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        ensuring = asyncio.ensure_future(registry.ensure(S1, ["h0"], older_than=0, patience=5))
        await asyncio.sleep(0)
        bench.hypervisors["h0"].faults["ensure_pool"] = Hang()
        assert await tidy(bench, registry) == []
        assert calls(bench) == [0]
        await ensuring

    story_of(story)


@pytest.mark.parametrize(
    ("call", "fault", "reason"),
    [
        ("list_pools", Transient("x"), "HypervisorUnavailable"),
        ("list_pools", NotLeader("x"), "NotLeader"),
        ("list_pools", KeyError("x"), "InternalError"),
        ("release_pool", Conflict("x"), "HypervisorConflict"),
        ("release_pool", Transient("x"), "HypervisorUnavailable"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_look_is_a_new_one(call: str, fault: Exception, reason: str) -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        hypervisor = bench.hypervisors["h0"]
        hypervisor.faults[call] = fault
        assert await tidy(bench, registry) == [reason]
        assert hypervisor.defined == {(HostID("h0"), "/srv"): S1}
        hypervisor.faults.clear()
        assert await tidy(bench, registry) == []
        assert not hypervisor.defined

    story_of(story)


def test_a_host_that_leaves_is_made_ready_for_nothing_any_more() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        hypervisor, link = bench.hypervisors["h0"], bench.inventory.link("h0")
        assert link is not None
        begun = asyncio.ensure_future(registry.ensure(S2, ["h0"], older_than=0, patience=5))
        await asyncio.sleep(0)
        assert await registry.leave(link) == []
        await begun
        await registry.ensure(S1, ["h0"], older_than=0, patience=5)
        assert not hypervisor.defined
        assert registry.ready("s1", "h0") is None

    story_of(story)


def test_a_look_ends_with_the_registry() -> None:
    async def story(bench: Bench, registry: PoolRegistry) -> None:
        await ready(bench, registry, 1)
        bench.hypervisors["h0"].faults["list_pools"] = Hang()
        link = bench.inventory.link("h0")
        assert link is not None
        task = registry.tidy(link, lambda _: False)
        await asyncio.sleep(1)
        await registry.close()
        assert task.cancelled()

    story_of(story)
