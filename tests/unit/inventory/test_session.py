"""A session connects, keeps watch, survives whatever a driver does, and costs calls by time and not by VM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.inventory import LinkState
from controller.runtime.keys import Key
from drivers.errors import AuthFailed, Busy, DriverError, InvalidSpec, Transient, Unsupported
from drivers.types import Capability, HostChanged, HostID, InstanceID, Power, VMChanged
from tests.support.hypervisors import ALL, Hang, Hypervisor, host, vm

from .builders import CADENCE, Bench, play

H1 = Key("Host", "", "h1")
WEB = Key("VirtualMachine", "shop", "web")


def with_web(capabilities: frozenset[Capability] = ALL) -> Hypervisor:
    hypervisor = Hypervisor(host(), capabilities=capabilities)
    hypervisor.vms[InstanceID("web")] = vm("web")
    return hypervisor


def test_connects_and_wakes_its_host_and_the_owners_of_its_vms() -> None:
    async def story(bench: Bench) -> None:
        bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        assert (link.state, link.attempted, link.up) == (LinkState.CONNECTING, False, False)
        assert await bench.pass_time() == [H1, WEB]
        assert (link.state, link.attempted, link.up, link.reason) == (LinkState.UP, True, True, "")
        assert link.observed
        assert link.known(InstanceID("web")) == vm("web")

    play(story)


def test_owners_are_only_greeted_at_a_connection_and_woken_by_a_change() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        greeted: list[Key] = []
        bench.inventory._greet = greeted.append
        bench.attach("h1", "u")
        assert await bench.pass_time() == [H1]
        assert greeted == [WEB]
        hypervisor.notify(VMChanged(InstanceID("web")))
        assert await bench.pass_time() == [WEB]
        assert greeted == [WEB]

    play(story)


def test_first_wake_finds_the_link_up() -> None:
    async def story(bench: Bench) -> None:
        bench.serve("u", with_web())
        states = []
        bench.inventory._wake = bench.inventory._greet = lambda key: states.append((key, link.state))
        link = bench.attach("h1", "u")
        await asyncio.sleep(1)
        assert states == [(H1, LinkState.UP), (WEB, LinkState.UP)]

    play(story)


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (Transient("no route"), LinkState.DOWN, "HypervisorUnavailable"),
        (Hang(), LinkState.DOWN, "HypervisorUnavailable"),
        (Busy("starting"), LinkState.DOWN, "HypervisorBusy"),
        (AuthFailed("no"), LinkState.REFUSED, "CredentialsRefused"),
        (InvalidSpec("no URL of mine"), LinkState.REFUSED, "RefusedByHypervisor"),
        (Unsupported("too old"), LinkState.REFUSED, "Unsupported"),
        (KeyError("bug"), LinkState.DOWN, "DriverError"),
    ],
)
@pytest.mark.parametrize("call", ["connect", "list_hosts", "subscribe", "observe_all"])
def test_failure_of_any_step_of_the_first_contact(fault: Exception, state: LinkState, reason: str, call: str) -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        hypervisor.faults[call] = fault
        link = bench.attach("h1", "u")
        await bench.pass_time(100)
        assert (link.state, link.reason, link.attempted, link.observed) == (state, reason, True, False)
        assert link.message
        assert all(old.closed for old in hypervisor.connections[:-1]), "what was opened is closed"
        hypervisor.faults.clear()
        assert H1 in await bench.pass_time(CADENCE.last_refused + 60)
        assert link.up
        assert hypervisor.open == 1

    play(story)


def test_the_same_failure_again_wakes_nobody_and_keeps_its_message() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        hypervisor.faults["connect"] = Transient("attempt 1")
        link = bench.attach("h1", "u")
        assert await bench.pass_time(0.5) == [H1]
        hypervisor.faults["connect"] = Transient("attempt 2")
        assert await bench.pass_time(600) == []
        assert link.message == "attempt 1"
        hypervisor.faults["connect"] = AuthFailed("now refused")
        assert await bench.pass_time(60) == [H1]
        assert link.message == "now refused"

    play(story)


def test_attempts_come_less_often_up_to_a_limit() -> None:
    async def story(bench: Bench) -> None:
        bench.attach("h1", "nobody")
        await bench.pass_time(10)
        assert bench.hypervisors.driver.attempts["nobody"] == 4, "after 0, 1, 3 and 7 seconds"
        before = bench.hypervisors.driver.attempts["nobody"]
        await bench.pass_time(3600)
        assert 3600 / 31 <= bench.hypervisors.driver.attempts["nobody"] - before <= 3600 / 30 + 5

    play(story)


def test_endpoint_that_connects_and_fails_at_once_is_not_tried_every_second() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time(5)
        hypervisor.before["fetch"] = lambda: hypervisor.faults.__setitem__("fetch", DriverError("event loop broken"))
        hypervisor.notify()
        await bench.pass_time(600)
        assert hypervisor.calls["connect"] < 40

    play(story)


def test_refusal_is_tried_rarely() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host(), password="right"))
        bench.attach("h1", "u", password="wrong")
        await bench.pass_time(59)
        assert hypervisor.calls["connect"] == 1
        await bench.pass_time(2)
        assert hypervisor.calls["connect"] == 2, "the other side may have been mended"
        await bench.pass_time(3600)
        assert 3600 / 301 <= hypervisor.calls["connect"] <= 3600 / 300 + 4

    play(story)


def test_a_refusal_that_passes_by_itself_is_noticed_soon() -> None:
    """As from a hypervisor that is just being set up anew, while nobody changes the Secret."""

    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        hypervisor.faults["connect"] = AuthFailed("not yet")
        link = bench.attach("h1", "u")
        await bench.pass_time()
        assert link.state is LinkState.REFUSED
        hypervisor.faults.clear()
        assert H1 in await bench.pass_time(CADENCE.first_refused + 1)
        assert link.up

    play(story)


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


@pytest.mark.parametrize("capabilities", [ALL, ALL - {Capability.EVENTS}], ids=["events", "no events"])
def test_change_that_no_event_told_is_found(capabilities: frozenset[Capability]) -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web(capabilities))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.vms[InstanceID("web")] = vm("web", power=Power.OFF)
        hypervisor.vms[InstanceID("new")] = vm("new")
        period = CADENCE.resync if Capability.EVENTS in capabilities else CADENCE.poll
        assert await bench.pass_time(period - 5) == []
        assert await bench.pass_time(10) == [Key("VirtualMachine", "shop", "new"), WEB]
        del hypervisor.vms[InstanceID("web")]
        assert await bench.pass_time(period + 5) == [WEB]
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


def test_epoch_counts_connections_and_returns_of_the_host() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        one, two = bench.attach("h1", "u", sole=False), bench.attach("h2", "u", sole=False)
        await bench.pass_time()
        first = (one.epoch, two.epoch)
        for up in (False, True):
            hypervisor.set_host("h2", up=up)
            await bench.pass_time(20)
        assert (one.epoch, two.epoch) == (first[0], first[1] + 1)
        hypervisor.faults["*"] = Transient("gone")
        await bench.pass_time(60)
        hypervisor.faults.clear()
        await bench.pass_time(60)
        assert (one.epoch, two.epoch) == (first[0] + 1, first[1] + 2)

    play(story)


def test_no_answer_is_given_from_memory_while_the_endpoint_is_down() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        link = bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.faults["*"] = Transient("gone")
        await bench.pass_time(60)
        assert not link.observed
        with pytest.raises(Transient):
            await link.observe(InstanceID("web"))
        with pytest.raises(Transient):
            await link.start(InstanceID("web"))
        assert link.known(InstanceID("web")) is not None, "what was last seen can still be asked for"

    play(story)


def test_what_happened_during_an_outage_is_found_at_reconnect() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", with_web())
        bench.attach("h1", "u")
        await bench.pass_time()
        hypervisor.faults["*"] = Transient("gone")
        await bench.pass_time(60)
        hypervisor.vms[InstanceID("web")] = replace(vm("web"), power=Power.OFF)
        hypervisor.faults.clear()
        assert await bench.pass_time(60) == [H1, WEB]

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
