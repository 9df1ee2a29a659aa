"""What a guest takes from its seed, and when it says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.simulator.engine.guest import read_seed
from drivers.simulator.engine.model import GuestConfig
from drivers.types import GuestInfo, Power, Seed, SetSeed, StopMode

from .world import HOST, World, nic, seed, vm

V2 = "version: 2\nethernets:\n  a: {match: {macaddress: '02:00:00:00:00:AA'}, addresses: [10.0.0.5/24, 'fd00::5/64']}\n"
BOTH = (("02:00:00:00:00:aa", ("10.0.0.5", "fd00::5")),)


@pytest.mark.parametrize(
    ("meta", "network", "expected"),
    [
        ("", "", GuestConfig()),
        ("local-hostname: web-1\n", "", GuestConfig("web-1")),
        ("{local-hostname: web-1, instance-id: i}", "", GuestConfig("web-1")),
        ("", V2, GuestConfig("", BOTH)),
        ("", "network:\n" + "".join(f"  {line}\n" for line in V2.splitlines()), GuestConfig("", BOTH)),
        ("", "version: 2\nethernets: {}\n", GuestConfig("", ())),
        ("", "version: 2\nethernets: {a: {dhcp4: true}}\n", GuestConfig("", ())),
        ("", "version: 2\nethernets: {a: 5, b: {match: 5}, c: {match: {macaddress: 5}, addresses: []}}\n", GuestConfig("", ())),
        ("- a\n- list\n", "[]", GuestConfig()),
        ("{", "a: b: c", GuestConfig()),
        ("!!python/object/apply:os.system ['true']", "", GuestConfig()),
    ],
)
def test_a_seed_is_read_as_a_guest_would(meta: str, network: str, expected: GuestConfig) -> None:
    assert read_seed(Seed(meta, network)) == expected


@given(st.text(), st.text())
def test_no_document_breaks_a_guest(meta: str, network: str) -> None:
    assert isinstance(read_seed(Seed(meta, network)), GuestConfig)


def test_a_deep_document_breaks_no_guest() -> None:
    assert read_seed(Seed("[" * 100_000, "{a: " * 100_000)) == GuestConfig()
    assert read_seed(Seed("- " * 100_000, "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 500)))) == GuestConfig()


def test_a_document_that_multiplies_breaks_no_guest() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    network = bomb + "ethernets: {a: {match: {macaddress: '02:00:00:00:00:01'}, addresses: *a29}}\n"
    assert read_seed(Seed(bomb + "local-hostname: *a29\n", network)) == GuestConfig("", (("02:00:00:00:00:01", ()),))


def test_the_agent_answers_after_the_boot() -> None:
    world = World()
    front = nic(ip="10.9.9.9")
    wanted = world.created(nics=(front,), seed=seed("web-1", {front.mac: "10.1.0.20/24"}))
    world.connection.power.start(HOST, wanted.instance)
    assert world.see(wanted).guest == GuestInfo()
    world.let(9.9)
    assert world.see(wanted).guest == GuestInfo()
    world.let(0.1)
    assert world.see(wanted).guest == GuestInfo(True, "web-1", ("10.1.0.20",))


def test_without_network_configuration_the_recorded_address_comes_by_dhcp() -> None:
    world = World()
    wanted = world.running(nics=(nic("a", "10.1.0.7"), nic("b")), seed=None)
    assert world.see(wanted).guest == GuestInfo(True, "", ("10.1.0.7",))


def test_a_vm_without_an_image_has_no_guest() -> None:
    world = World()
    wanted = world.running(disks=())
    world.let(1000)
    assert world.see(wanted).guest == GuestInfo()
    world.connection.power.stop(HOST, wanted.instance, StopMode.SOFT)
    world.let(1000)
    assert world.see(wanted).power is Power.ON


def test_a_new_seed_is_taken_at_the_next_boot() -> None:
    world = World()
    wanted = world.running()
    world.connection.compute.apply(HOST, wanted.instance, [SetSeed(seed("renamed"))])
    assert world.see(wanted).guest.hostname == "web"
    world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)
    world.connection.power.start(HOST, wanted.instance)
    world.let(10)
    assert world.see(wanted).guest.hostname == "renamed"


def test_the_engine_keeps_no_user_data() -> None:
    world = World()
    wanted = world.created(seed=Seed("", "", b"correct-horse-battery-staple"))
    assert "correct-horse" not in repr(world.dc.hosts[HOST].vms[wanted.instance])
    assert vm(1).instance == vm(1).instance
