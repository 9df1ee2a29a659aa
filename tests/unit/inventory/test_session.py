"""A session connects, says what keeps it from that, and survives whatever a driver does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from controller.inventory import LinkState
from controller.runtime.keys import Key
from drivers.errors import AuthFailed, Busy, DriverError, InvalidSpec, Transient, Unsupported
from drivers.types import InstanceID, Power, VMChanged
from tests.support.hypervisors import Hang, Hypervisor, host, vm

from .builders import CADENCE, H1, WEB, Bench, play, with_web


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
