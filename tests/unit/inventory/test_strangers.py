"""VMs that come to an endpoint behind our back are found within seconds, at a cost that is bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.inventory.strangers import Strangers
from controller.runtime.keys import Key
from drivers.errors import Busy, Conflict, DriverError, Transient
from drivers.types import HostID, InstanceID, VMChanged
from tests.support.hypervisors import Hypervisor, host, vm

from .builders import CADENCE, Bench, play

WEB, INSTANCE = Key("VirtualMachine", "shop", "web"), InstanceID("web")


def test_vm_that_was_moved_to_another_endpoint_is_found_there() -> None:
    async def story(bench: Bench) -> None:
        one, two = bench.serve("u1", Hypervisor(host("h1"))), bench.serve("u2", Hypervisor(host("h2")))
        one.vms[INSTANCE] = vm("web")
        first = bench.attach("h1", "u1")
        bench.attach("h2", "u2")
        await bench.pass_time()
        two.vms[INSTANCE] = replace(one.vms.pop(INSTANCE), host=HostID("h2"))
        one.notify(VMChanged(INSTANCE))
        two.notify(VMChanged(INSTANCE))
        assert WEB in await bench.pass_time(CADENCE.gather + 1)
        assert await first.observe(INSTANCE) is None
        found = bench.inventory.find(INSTANCE)
        assert found is not None
        assert found[0] == "h2"

    play(story)


def test_vm_that_moved_within_a_shared_endpoint_is_found_once_it_is_missed() -> None:
    async def story(bench: Bench) -> None:
        pool = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        pool.vms[INSTANCE] = vm("web")
        one = bench.attach("h1", "u", sole=False)
        bench.attach("h2", "u", sole=False)
        await bench.pass_time()
        pool.vms[INSTANCE] = replace(pool.vms[INSTANCE], host=HostID("h2"))
        pool.notify(VMChanged(INSTANCE))
        assert await bench.pass_time(0.1) == [WEB]
        assert await one.observe(INSTANCE) is None
        assert await bench.pass_time(CADENCE.gather + 1) == [WEB]
        found = bench.inventory.find(INSTANCE)
        assert found is not None
        assert found[0] == "h2"

    play(story)


def test_vms_of_others_cost_one_look_however_often_they_are_heard() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.calls.clear()
        for _ in range(20):
            hypervisor.notify(*(VMChanged(InstanceID(f"foreign-{number}")) for number in range(50)))
            assert await bench.pass_time(5) == []
        assert hypervisor.calls["observe_all"] == 1
        hypervisor.notify(VMChanged(InstanceID("another")))
        await bench.pass_time(5)
        assert hypervisor.calls["observe_all"] == 2

    play(story)


def test_a_vm_that_is_being_made_by_us_is_no_stranger() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.calls.clear()
        with link._changing(INSTANCE):
            hypervisor.vms[INSTANCE] = vm("web")
            hypervisor.notify(VMChanged(INSTANCE))
            await bench.pass_time(0.1)
        hypervisor.notify(VMChanged(INSTANCE))
        await bench.pass_time(5)
        assert await link.observe(INSTANCE) is not None
        hypervisor.notify(VMChanged(INSTANCE))
        await bench.pass_time(5)
        assert hypervisor.calls["observe_all"] == 0

    play(story)


def test_who_was_looked_for_in_vain_is_given_another_chance_by_the_regular_look() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.notify(VMChanged(INSTANCE))
        await bench.pass_time(5)
        hypervisor.vms[INSTANCE] = vm("web")
        assert await bench.pass_time(CADENCE.resync + 5) == [WEB]

    play(story)


def test_memory_of_others_is_bounded() -> None:
    strangers = Strangers()
    for number in range(20_000):
        assert strangers.meet(InstanceID(str(number)))
        strangers.looked([])
    assert len(strangers._others) <= 4096
    strangers.meet(InstanceID("ours"))
    strangers.looked([InstanceID("ours")])
    assert strangers.meet(InstanceID("ours")), "one that was found is no other's"


# Searching


def test_search_finds_a_vm_wherever_it_is_without_any_event() -> None:
    async def story(bench: Bench) -> None:
        one = bench.serve("u1", Hypervisor(host("h1")))
        pool = bench.serve("u2", Hypervisor(host("h2"), host("h3")))
        one.vms[INSTANCE] = vm("web")
        bench.attach("h1", "u1")
        for name in ("h2", "h3"):
            bench.attach(name, "u2", sole=False)
        await bench.pass_time()
        pool.vms[INSTANCE] = replace(one.vms.pop(INSTANCE), host=HostID("h3"))
        found = await bench.inventory.search(INSTANCE)
        assert found is not None
        assert found[0] == "h3"
        one.vms[INSTANCE] = replace(pool.vms.pop(INSTANCE), host=HostID("h1"))
        found = await bench.inventory.search(INSTANCE)
        assert found is not None
        assert found[0] == "h1"
        del one.vms[INSTANCE]
        assert await bench.inventory.search(INSTANCE) is None

    play(story)


def test_searches_at_once_share_their_looks() -> None:
    async def story(bench: Bench) -> None:
        pool = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        bench.attach("h1", "u", sole=False)
        await bench.pass_time()
        pool.calls.clear()
        await asyncio.gather(*(bench.inventory.search(InstanceID(str(number))) for number in range(50)))
        assert pool.calls["observe_all"] <= 2
        assert pool.calls["observe"] == 0

    play(story)


@pytest.mark.parametrize("error", [Transient("lost"), Busy("full")])
def test_search_that_is_not_answered_says_so(error: DriverError) -> None:
    async def story(bench: Bench) -> None:
        one = bench.serve("u1", Hypervisor(host("h1")))
        bench.serve("u2", Hypervisor(host("h2")))
        bench.attach("h1", "u1")
        bench.attach("h2", "u2")
        await bench.pass_time()
        one.faults["observe"] = error
        with pytest.raises(type(error)):
            await bench.inventory.search(INSTANCE)

    play(story)


def test_a_vm_of_somebody_else_is_not_found_and_silent_endpoints_are_left_out() -> None:
    async def story(bench: Bench) -> None:
        one = bench.serve("u1", Hypervisor(host("h1")))
        bench.attach("h1", "u1")
        bench.attach("dead", "nobody")
        await bench.pass_time()
        one.faults["observe"] = Conflict("not ours")
        assert await bench.inventory.search(INSTANCE) is None

    play(story)
