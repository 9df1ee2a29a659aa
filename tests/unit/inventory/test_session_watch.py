"""A connected session keeps watch: events, and looks at everything, at a cost by time and not by VM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from controller.runtime.keys import Key
from drivers.errors import Busy, Transient
from drivers.types import Capability, HostChanged, HostID, InstanceID, Power, VMChanged
from tests.support.hypervisors import ALL, Hang, Hypervisor, host, vm

from .builders import CADENCE, WEB, Bench, play, with_web


def test_event_makes_a_vm_stale_and_wakes_its_owner() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        hypervisor.notify(VMChanged(InstanceID("web")))
        assert await bench.pass_time(0.1) == [WEB]
        seen = await link.observe(InstanceID("web"))
        assert seen is not None
        assert seen.power is Power.OFF

    play(story)


def test_change_between_connecting_and_the_first_look_is_not_missed() -> None:
    """Events are subscribed to before everything is observed."""

    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        order: list[str] = []
        for call in ("subscribe", "observe_all"):
            hypervisor.before[call] = lambda call=call: order.append(call)  # type: ignore[misc]
        bench.attach("h1", "u")
        await bench.pass_time()
        assert order[:2] == ["subscribe", "observe_all"]

    play(story)


def test_a_storm_of_news_is_fetched_at_once() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time()
        for _ in range(1000):
            hypervisor.notify(VMChanged(InstanceID("web")))
        assert await bench.pass_time(0.5) == [WEB]
        assert hypervisor.calls["fetch"] <= 2

    play(story)


def test_nothing_is_fetched_while_nothing_is_told() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time(500)
        assert (hypervisor.calls["subscribe"], hypervisor.calls["fetch"]) == (1, 0)

    play(story)


def test_news_after_the_end_and_of_an_old_connection_harm_nobody() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        await bench.pass_time()
        [old] = hypervisor.listeners
        hypervisor.faults["*"] = Transient("gone")
        await bench.pass_time(60)
        hypervisor.faults.clear()
        await bench.pass_time(60)
        fetched = hypervisor.calls["fetch"]
        old()
        assert await bench.pass_time(5) == []
        assert (link.up, hypervisor.calls["fetch"]) == (True, fetched)
        [last] = hypervisor.listeners
        bench.inventory.detach("h1")
        await bench.pass_time()
        last()
        assert await bench.pass_time(5) == []
        late.append(last)

    late: list[Callable[[], None]] = []
    play(story)
    late[0]()  # the loop is closed


def test_events_are_fetched_again_until_the_driver_no_longer_complains() -> None:
    """A driver that has lost its events subscribes anew in a fetch; nobody would ring until it has."""

    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.faults["fetch"] = Transient("events lost")
        hypervisor.notify()
        await bench.pass_time(10)
        tried = hypervisor.calls["fetch"]
        assert 5 <= tried <= 15
        hypervisor.faults.clear()
        hypervisor.events.append(VMChanged(InstanceID("web")))  # nobody rings
        assert WEB in await bench.pass_time(10)
        assert hypervisor.calls["fetch"] == tried + 1
        assert hypervisor.calls["connect"] == 1

    play(story)


def test_lost_events_lead_to_a_look_at_everything() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        hypervisor.faults["fetch"] = Transient("events lost")
        hypervisor.notify()
        await asyncio.sleep(0.1)
        hypervisor.faults.clear()
        assert WEB in await bench.pass_time(5)
        assert hypervisor.calls["connect"] == 1, "no reason to reconnect"

    play(story)


PACES = [
    (ALL, CADENCE.resync, 5),
    (ALL - {Capability.DEFINITION_EVENTS}, CADENCE.untold, 7),
    (ALL - {Capability.EVENTS}, CADENCE.poll, 5),
]


@pytest.mark.parametrize(("capabilities", "period", "spread"), PACES, ids=["events", "some events", "no events"])
def test_change_that_no_event_told_is_found(capabilities: frozenset[Capability], period: float, spread: float) -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web(capabilities))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        hypervisor.vms[InstanceID("new")] = vm("new")
        assert await bench.pass_time(period - spread) == []
        assert await bench.pass_time(2 * spread) == [Key("VirtualMachine", "shop", "new"), WEB]
        del hypervisor.vms[InstanceID("web")]
        assert await bench.pass_time(period + spread) == [WEB]
        assert link.known(InstanceID("web")) is None

    play(story)


def test_calls_at_rest_are_by_endpoint() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        for number in range(500):
            hypervisor.vms[InstanceID(str(number))] = vm(str(number))
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.calls.clear()
        assert await bench.pass_time(3600) == []
        assert hypervisor.calls["observe"] == 0
        assert hypervisor.calls.total() <= 3600 / 15 + 3600 / 600 + 3600 / 20 + 5

    play(story)


def test_an_endpoint_that_does_not_tell_all_is_looked_at_each_minute_and_no_vm_by_itself() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host(), capabilities=ALL - {Capability.DEFINITION_EVENTS}))
        for number in range(100):
            hypervisor.vms[InstanceID(str(number))] = vm(str(number))
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.calls.clear()
        assert await bench.pass_time(3600) == []
        assert hypervisor.calls["observe"] == 0
        assert 3600 / 66 <= hypervisor.calls["observe_all"] <= 3600 / 54

    play(story)


def test_busy_survey_is_made_later_and_is_no_reason_to_disconnect() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web(ALL - {Capability.EVENTS}))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.faults["observe_all"] = Busy("full", retry_after=3)
        await bench.pass_time(60)
        assert link.up
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        hypervisor.faults.clear()
        assert await bench.pass_time(4) == [WEB]

    play(story)


@pytest.mark.parametrize("fault", [Transient("try again"), Hang()], ids=["refused", "not answered"])
@pytest.mark.parametrize(("times", "connections"), [(1, 1), (2, 2)])
def test_a_survey_that_fails_once_is_no_reason_to_disconnect_and_a_second_time_is(
    fault: Exception, times: int, connections: int
) -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web(ALL - {Capability.EVENTS}))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        failures = [fault] * times

        def fail() -> None:
            if failures:
                raise failures.pop()

        hypervisor.before["observe_all"] = fail
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        assert WEB in await bench.pass_time(CADENCE.poll + 200)
        assert link.up
        assert len(hypervisor.connections) == connections

    play(story)


def test_host_that_changes_wakes_only_itself() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        for name in ("h1", "h2"):
            bench.attach(name, "u", sole=False)
        await bench.pass_time()
        hypervisor.set_host("h2", up=False)
        hypervisor.notify(HostChanged(HostID("h2")), HostChanged(HostID("h2")))
        lists = hypervisor.calls["list_hosts"]
        assert await bench.pass_time(0.5) == [Key("Host", "", "h2")]
        assert hypervisor.calls["list_hosts"] == lists + 1, "once for all events that came together"

    play(story)


def test_hang_of_the_event_call_leads_to_a_new_connection() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.faults["fetch"] = Hang()
        hypervisor.notify()
        await bench.pass_time(200)
        assert hypervisor.calls["connect"] >= 1
        hypervisor.faults.clear()
        await bench.pass_time(120)
        assert link.up

    play(story)


@pytest.mark.parametrize(
    ("fault", "times", "up"),
    [(Transient("try again"), 1, True), (Transient("try again"), 2, False), (Hang(), 1, False)],
    ids=["refused once", "refused twice", "not answered"],
)
def test_a_host_list_that_fails_once_at_once_may_pass_and_a_long_silence_does_not(fault: Exception, times: int, up: bool) -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        await bench.pass_time()
        failures, seen = [fault] * times, set[bool]()

        def fail() -> None:
            if failures:
                raise failures.pop()

        hypervisor.before["list_hosts"] = fail
        for _ in range(120):
            await bench.pass_time(0.5)
            seen.add(link.up)
        assert (False not in seen) is up
        assert link.up, "it answers again"
        assert len(hypervisor.connections) == (1 if up else 2)

    play(story)
