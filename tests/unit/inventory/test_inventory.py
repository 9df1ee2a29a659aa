"""Sessions are shared by Hosts of one endpoint, replaced with its credentials, and end with their last Host."""

from __future__ import annotations

import pytest

from controller.inventory import LinkState
from controller.runtime.keys import Key
from drivers.types import InstanceID
from tests.support.hypervisors import Hypervisor, host, vm

from .builders import Bench, play


def test_the_same_arguments_give_the_same_link() -> None:
    async def story(bench: Bench) -> None:
        bench.serve("u", Hypervisor(host()))
        link = bench.attach("h1", "u")
        await bench.pass_time()
        assert bench.attach("h1", "u") is link
        assert bench.inventory.link("h1") is link
        assert bench.attach("h1", "u", native="other") is not link
        assert bench.attach("h1", "u", native="other", sole=False) is not link
        assert len(bench.lanes) == 1

    play(story)


def test_hosts_of_one_endpoint_share_its_session() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        one, two = bench.attach("h1", "u", sole=False), bench.attach("h2", "u", sole=False)
        assert await bench.pass_time() == [Key("Host", "", "h1"), Key("Host", "", "h2")]
        assert hypervisor.calls["connect"] == 1
        assert one.info is not None
        assert two.info is not None
        assert (one.info.host, two.info.host) == ("h1", "h2")

    play(story)


def test_other_credentials_are_another_session_and_the_old_one_is_closed() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host(), password="new"))
        old = bench.attach("h1", "u", password="old")
        await bench.pass_time()
        assert old.state is LinkState.REFUSED
        new = bench.attach("h1", "u", password="new")
        await bench.pass_time()
        assert new.up
        assert hypervisor.open == 1
        assert [lane.closed for lane in (bench.lanes[0].control, bench.lanes[1].control)] == [True, False]
        attempts = hypervisor.calls["connect"]
        await bench.pass_time(1000)
        assert hypervisor.calls["connect"] == attempts

    play(story)


def test_session_ends_with_its_last_host() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("h1"), host("h2")))
        for name in ("h1", "h2"):
            bench.attach(name, "u", sole=False)
        await bench.pass_time()
        bench.inventory.detach("h1")
        await bench.pass_time()
        assert hypervisor.open == 1
        assert bench.inventory.link("h1") is None
        bench.inventory.detach("h2")
        bench.inventory.detach("h2")
        await bench.pass_time()
        assert hypervisor.open == 0
        assert bench.lanes[0].work.closed
        assert bench.inventory.links() == []

    play(story)


def test_detached_while_it_connects() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        for _ in range(20):
            bench.attach("h1", "u")
            await bench.pass_time(0.0007)
            bench.inventory.detach("h1")
        await bench.pass_time(10)
        assert hypervisor.open == 0

    play(story)


def test_attached_again_while_the_old_session_closes() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host()))
        bench.attach("h1", "u")
        await bench.pass_time()
        bench.inventory.detach("h1")
        link = bench.attach("h1", "u")
        await bench.pass_time()
        assert link.up
        assert hypervisor.open == 1

    play(story)


def test_close_ends_everything() -> None:
    async def story(bench: Bench) -> None:
        hypervisors = [bench.serve(f"u{number}", Hypervisor(host())) for number in range(5)]
        for number in range(5):
            bench.attach(f"h{number}", f"u{number}")
        await bench.pass_time()
        await bench.inventory.close()
        assert [hypervisor.open for hypervisor in hypervisors] == [0] * 5
        assert all(lanes.events.closed for lanes in bench.lanes)

    play(story)


@pytest.mark.parametrize("sole", [True, False])
def test_single_host_of_another_name(sole: bool) -> None:
    async def story(bench: Bench) -> None:
        bench.serve("u", Hypervisor(host("node1")))
        link = bench.attach("h1", "u", sole=sole)
        await bench.pass_time()
        assert (link.host_id == "node1") is sole
        assert link.up is sole
        assert (link.reason == "HostNotListed") is not sole

    play(story)


def test_find_tells_the_host_of_a_vm() -> None:
    async def story(bench: Bench) -> None:
        one = bench.serve("one", Hypervisor(host("a"), host("b")))
        bench.serve("two", Hypervisor(host("node")))
        one.vms[InstanceID("x")] = vm("x", host="b")
        bench.hypervisors["two"].vms[InstanceID("y")] = vm("y", host="node")
        bench.attach("ha", "one", native="a", sole=False)
        bench.attach("hb", "one", native="b", sole=False)
        bench.attach("h2", "two")
        assert bench.inventory.find(InstanceID("x")) is None
        await bench.pass_time()
        assert bench.inventory.find(InstanceID("x")) == ("hb", vm("x", host="b"))
        assert bench.inventory.find(InstanceID("y")) == ("h2", vm("y", host="node"))
        assert bench.inventory.find(InstanceID("z")) is None
        bench.inventory.detach("hb")
        assert bench.inventory.find(InstanceID("x")) is None, "no Host of ours has it"

    play(story)


def test_of_two_endpoints_that_have_a_vm_the_one_served_longer_is_told() -> None:
    """It was moved, and only one has noticed: the answer must not change with who was looked at last."""

    async def story(bench: Bench) -> None:
        for url in ("one", "two"):
            bench.serve(url, Hypervisor(host("node"))).vms[InstanceID("x")] = vm("x", host="node")
            bench.attach(url, url)
            await bench.pass_time()
        found = bench.inventory.find(InstanceID("x"))
        assert found is not None
        assert found[0] == "one"
        first = bench.inventory.link("one")
        assert first is not None
        del bench.hypervisors["one"].vms[InstanceID("x")]
        assert await first.observe(InstanceID("x"), fresh=True) is None
        found = bench.inventory.find(InstanceID("x"))
        assert found is not None
        assert found[0] == "two"
        bench.inventory.detach("two")
        assert bench.inventory.find(InstanceID("x")) is None

    play(story)


def test_find_passes_over_refused_links() -> None:
    async def story(bench: Bench) -> None:
        hypervisor = bench.serve("u", Hypervisor(host("n")))
        hypervisor.vms[InstanceID("x")] = vm("x", host="n")
        refused, right = bench.attach("n", "u"), bench.attach("right", "u")
        await bench.pass_time()
        refused.refuse("DuplicateHost", "the same as right")
        found = bench.inventory.find(InstanceID("x"))
        assert found is not None
        assert found[0] == right.name
        assert (refused.state, refused.reason, refused.up) == (LinkState.REFUSED, "DuplicateHost", False)
        refused.accept()
        assert refused.up

    play(story)


def test_asked_when_the_first_attempt_ended_or_there_can_be_none() -> None:
    async def story(bench: Bench) -> None:
        bench.serve("u", Hypervisor(host()))
        assert not bench.inventory.asked("h1")
        bench.inventory.pass_over("h1")
        assert bench.inventory.asked("h1")
        bench.attach("h1", "u")
        assert not bench.inventory.asked("h1"), "it can be asked after all"
        await bench.pass_time()
        assert bench.inventory.asked("h1")
        bench.attach("dead", "nobody")
        await bench.pass_time()
        assert bench.inventory.asked("dead"), "it had its chance"
        bench.inventory.detach("dead")
        assert not bench.inventory.asked("dead")

    play(story)


def test_endpoints_are_named_with_the_hosts_that_they_serve_now() -> None:
    async def story(bench: Bench) -> None:
        for url in ("fake://a", "fake://b"):
            bench.serve(url, Hypervisor(host("h1"), host("h2"), host("h3")))
        for name, url in (("h1", "fake://a"), ("h2", "fake://a"), ("h3", "fake://b")):
            bench.attach(name, url, sole=False)
        assert bench.inventory.endpoints() == [("Fake endpoint 1", "h1"), ("Fake endpoint 1", "h2"), ("Fake endpoint 2", "h3")]
        bench.inventory.detach("h1")
        bench.inventory.detach("h3")
        assert bench.inventory.endpoints() == [("Fake endpoint 1", "h2")]

    play(story)
