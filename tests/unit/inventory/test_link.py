"""Calls through a link: to the right host, in the right lane, and leaving no stale knowledge behind."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from controller.inventory import HostLink
from drivers.errors import Conflict, NotFound, Transient
from drivers.types import InstanceID, OpRef, PoolSpec, Power, SetCPUs, StopMode
from tests.support.hypervisors import Hang, Hypervisor, host, vm

from .builders import Bench, play

WEB = InstanceID("web")


async def up(bench: Bench) -> tuple[Hypervisor, HostLink]:
    hypervisor = bench.serve("u", Hypervisor(host()))
    hypervisor.vms[WEB] = vm("web", power=Power.OFF)
    link = bench.attach("h1", "u")
    await bench.pass_time()
    hypervisor.calls.clear()
    return hypervisor, link


def test_fresh_knowledge_costs_no_call() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        assert await link.observe(WEB) == vm("web", power=Power.OFF)
        assert await link.observe(InstanceID("absent")) is None
        assert hypervisor.calls["observe"] == 0
        assert await link.observe(WEB, fresh=True) == vm("web", power=Power.OFF)
        assert hypervisor.calls["observe"] == 1

    play(story)


def test_own_call_makes_the_next_look_a_real_one() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        await link.start(WEB)
        seen = await link.observe(WEB)
        assert seen is not None
        assert seen.power is Power.ON
        assert hypervisor.calls["observe"] == 1
        await link.observe(WEB)
        assert hypervisor.calls["observe"] == 1

    play(story)


@pytest.mark.parametrize("fault", [Transient("reply lost"), Hang(), Conflict("no"), KeyError("bug")])
def test_failed_call_makes_the_next_look_a_real_one(fault: Exception) -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        hypervisor.faults["start"] = fault
        with pytest.raises((Transient, Conflict, KeyError)):
            await link.start(WEB)
        await link.observe(WEB)
        assert hypervisor.calls["observe"] == 1

    play(story)


def test_cancelled_call_makes_the_next_look_a_real_one() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        hypervisor.faults["start"] = Hang()
        call = asyncio.create_task(link.start(WEB))
        await asyncio.sleep(5)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await link.observe(WEB)
        assert hypervisor.calls["observe"] == 1

    play(story)


def test_look_at_everything_in_the_middle_of_a_call_is_not_relied_on() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        session = link._session
        connection = session.connection()
        hypervisor.before["start"] = lambda: session.snapshot.replace(connection.compute.observe_all(), session.snapshot.moment())
        await link.start(WEB)
        seen = await link.observe(WEB)
        assert seen is not None
        assert seen.power is Power.ON

    play(story)


def test_lost_outcome_is_said_to_be_unknown() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        hypervisor.faults["start"] = Hang()
        with pytest.raises(Transient) as raised:
            await link.start(WEB)
        assert raised.value.outcome_unknown
        hypervisor.faults["observe"] = Hang()
        with pytest.raises(Transient) as raised:
            await link.observe(WEB)
        assert not raised.value.outcome_unknown, "reading changes nothing"

    play(story)


def test_polling_a_task_keeps_its_vm_stale() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        await link.poll(OpRef("task-1"), WEB)
        await link.observe(WEB)
        assert hypervisor.calls["observe"] == 1
        await link.poll(OpRef("task-2"))
        await link.observe(WEB)
        assert hypervisor.calls["observe"] == 1

    play(story)


def test_vm_that_is_gone_is_known_to_be() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        del hypervisor.vms[WEB]
        assert await link.observe(WEB, fresh=True) is None
        assert link.known(WEB) is None
        assert link.vms() == []

    play(story)


def test_other_errors_of_a_look_are_the_callers() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        hypervisor.faults["observe"] = Conflict("a foreign VM has this identity")
        with pytest.raises(Conflict):
            await link.observe(WEB, fresh=True)
        assert link.known(WEB) is not None

    play(story)


def test_vm_of_another_host_of_the_endpoint_is_not_here() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        hypervisor.vms[WEB] = vm("web", host="h2")
        one, two = bench.attach("h1", "u", sole=False), bench.attach("h2", "u", sole=False)
        await bench.pass_time()
        assert await one.observe(WEB) is None
        assert await two.observe(WEB) == vm("web", host="h2")
        assert [one.vms(), two.vms()] == [[], [vm("web", host="h2")]]

    play(story)


CALLS = [
    lambda link: link.observe(WEB, fresh=True),
    lambda link: link.apply(WEB, [SetCPUs(2)], lambda: None),
    lambda link: link.delete(WEB, []),
    lambda link: link.start(WEB),
    lambda link: link.stop(WEB, StopMode.HARD),
    lambda link: link.ensure_pool(PoolSpec("s1", "/srv")),
    lambda link: link.release_pool(PoolSpec("s1", "/srv")),
    lambda link: link.list_pools(),
    lambda link: link.has_image(PoolSpec("s1", "/srv"), "image"),
    lambda link: link.delete_image(PoolSpec("s1", "/srv"), "image"),
    lambda link: link.list_files(PoolSpec("s1", "/srv")),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("trouble", ["connecting", "down", "refused", "host down", "not listed"])
def test_no_call_is_made_through_a_link_that_is_not_up(call, trouble: str) -> None:  # type: ignore[no-untyped-def]
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        link = bench.attach("h1", "u")
        if trouble != "connecting":
            await bench.pass_time()
        if trouble == "down":
            hypervisor.faults["*"] = Transient("gone")
        elif trouble == "refused":
            link.refuse("DuplicateHost", "the same as another")
        elif trouble == "host down":
            hypervisor.set_host("h1", up=False)
        elif trouble == "not listed":
            hypervisor.hosts.clear()
        if trouble != "connecting":
            await bench.pass_time(60)
        hypervisor.calls.clear()
        with pytest.raises(Transient) as raised:
            await call(link)
        assert str(raised.value) == link.message != ""
        assert hypervisor.calls["observe"] + hypervisor.calls["start"] + hypervisor.calls["ensure_pool"] == 0

    play(story)


def test_every_call_of_the_contract_has_its_way() -> None:
    from drivers import base

    offered = {name for name, _ in inspect.getmembers(HostLink, inspect.isfunction)}
    for group in (base.Compute, base.Power, base.Storage, base.Tasks):
        declared = {name for name, member in vars(group).items() if inspect.isfunction(member) and not name.startswith("_")}
        assert declared - {"observe_all"} <= offered


def test_not_found_is_only_absence_for_looks() -> None:
    async def story(bench: Bench) -> None:
        hypervisor, link = await up(bench)
        hypervisor.faults["start"] = NotFound("no such VM")
        with pytest.raises(NotFound):
            await link.start(WEB)

    play(story)
