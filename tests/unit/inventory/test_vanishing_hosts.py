"""A host that an endpoint of many lists no longer, and lists again: what was seen there is not taken for gone, nor for absent."""

from __future__ import annotations

from drivers.types import Capability, HostChanged, HostID, InstanceID
from tests.support.hypervisors import ALL, Hypervisor, host, vm

from .builders import CADENCE, H1, WEB, Bench, play

SILENT = ALL - {Capability.EVENTS}
INSTANCE = InstanceID("web")


def many(bench: Bench, capabilities: frozenset[Capability] = ALL) -> Hypervisor:
    """An endpoint of two hosts, of which the first has a VM."""
    made = Hypervisor(host("h1"), host("h2"), capabilities=capabilities)
    made.vms[INSTANCE] = vm("web", host="h1")
    return bench.serve("u", made)


def vanish(hypervisor: Hypervisor) -> None:
    del hypervisor.hosts[HostID("h1")]
    hypervisor.vms.clear()


def come_back(hypervisor: Hypervisor) -> None:
    hypervisor.hosts[HostID("h1")] = host("h1")
    hypervisor.vms[INSTANCE] = vm("web", host="h1")


def test_whoever_hears_that_a_vm_is_missing_finds_its_host_down() -> None:
    """Hosts are listed and VMs are observed at different times: the first survey comes before the next list."""

    async def story(bench: Bench) -> None:
        hypervisor = many(bench, SILENT)
        link = bench.attach("h1", "u", sole=False)
        await bench.pass_time(2 * CADENCE.heartbeat - 2)
        vanish(hypervisor)
        heard: list[bool] = []
        bench.inventory._wake = lambda key: heard.append(link.up) if key == WEB else None
        listed = hypervisor.calls["list_hosts"]
        await link._session.search(INSTANCE)
        assert heard == [False]
        assert hypervisor.calls["list_hosts"] == listed + 1
        assert (link.up, link.reason, link.observed) == (False, "HostNotListed", False)

    play(story)


def test_a_survey_that_misses_nobody_lists_no_hosts() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = many(bench)
        link = bench.attach("h1", "u", sole=False)
        await bench.pass_time(1)
        listed = hypervisor.calls["list_hosts"]
        hypervisor.vms[InstanceID("new")] = vm("new", host="h2")
        await link._session.search(INSTANCE)
        assert hypervisor.calls["list_hosts"] == listed

    play(story)


def test_of_a_host_that_is_back_nothing_is_known_until_it_is_observed() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = many(bench)
        link = bench.attach("h1", "u", sole=False)
        await bench.pass_time(1)
        vanish(hypervisor)
        hypervisor.notify(HostChanged(HostID("h1")))
        await bench.pass_time(10)
        assert (link.up, link.known(INSTANCE)) == (False, None)
        seen: list[tuple[bool, bool]] = []
        bench.inventory._wake = lambda key: seen.append((link.observed, link.settled(INSTANCE))) if key == H1 else None
        come_back(hypervisor)
        hypervisor.notify(HostChanged(HostID("h1")))
        await bench.pass_time(0.5)
        assert seen == [(False, False)], "nobody may rely on its absence"
        assert await link.observe(INSTANCE) == vm("web", host="h1")
        await bench.pass_time(10)
        assert link.observed

    play(story)


def test_whether_a_host_is_still_there_can_be_asked_at_any_time() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = many(bench, SILENT)
        link = bench.attach("h1", "u", sole=False)
        await bench.pass_time(1)
        assert await link.confirm()
        vanish(hypervisor)
        assert link.up, "it has not been noticed yet"
        assert not await link.confirm()
        come_back(hypervisor)
        assert await link.confirm()

    play(story)
