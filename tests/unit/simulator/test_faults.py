"""Which calls faults strike, and what they do to them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import errors
from drivers.errors import Busy, DriverError, NotFound, Transient, Unanswered
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind, Faults
from drivers.types import Done, Power, SetCPUs, StopMode

from .world import HOST, OTHER, POOL, World, vm

CALL = ("compute.create", ["host-00001", "5f3c", "vm-1", "web"])


def faults(*rules: Fault) -> Faults:
    made = Faults(Random(1))
    for rule in rules:
        made.add(rule, 100.0)
    return made


@pytest.mark.parametrize(
    ("rule", "strikes"),
    [
        (Fault(FaultKind.HANG), True),
        (Fault(FaultKind.HANG, "compute.create"), True),
        (Fault(FaultKind.HANG, "compute.*"), True),
        (Fault(FaultKind.HANG, "power.*"), False),
        (Fault(FaultKind.HANG, "Compute.create"), False),
        (Fault(FaultKind.HANG, object="host-00001"), True),
        (Fault(FaultKind.HANG, object="vm-?"), True),
        (Fault(FaultKind.HANG, object="w*"), True),
        (Fault(FaultKind.HANG, object="host-00002"), False),
        (Fault(FaultKind.HANG, "power.*", "web"), False),
        (Fault(FaultKind.HANG, after=50), True),
        (Fault(FaultKind.HANG, after=51), False),
        (Fault(FaultKind.HANG, until=51), True),
        (Fault(FaultKind.HANG, until=50), False),
        (Fault(FaultKind.HANG, probability=0), False),
        (Fault(FaultKind.HANG, probability=1), True),
    ],
)
def test_a_rule_strikes_what_it_names(rule: Fault, strikes: bool) -> None:
    assert bool(faults(rule).strike(*CALL, 150.0)) == strikes


@given(count=st.integers(1, 5), calls=st.integers(0, 10))
def test_a_count_is_kept(count: int, calls: int) -> None:
    rules = faults(Fault(FaultKind.HANG, count=count))
    assert sum(len(rules.strike(*CALL, 100.0)) for _ in range(calls)) == min(count, calls)
    assert bool(rules.in_force()) == (calls < count)


def test_calls_that_are_not_meant_do_not_count() -> None:
    rules = faults(Fault(FaultKind.HANG, "power.*", count=1), Fault(FaultKind.HANG, after=10, count=1))
    assert rules.strike(*CALL, 100.0) == []
    assert len(rules.in_force()) == 2


def test_a_probability_strikes_about_as_often() -> None:
    rules = faults(Fault(FaultKind.HANG, probability=0.3))
    assert 200 < sum(len(rules.strike(*CALL, 100.0)) for _ in range(1000)) < 400


def test_rules_strike_together_in_their_order_and_can_be_cleared() -> None:
    first, second = Fault(FaultKind.DELAY, seconds=1), Fault(FaultKind.ERROR)
    rules = faults(first, second)
    assert rules.strike(*CALL, 100.0) == [first, second]
    rules.clear()
    assert rules.strike(*CALL, 100.0) == []


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "DriverError"])
def test_a_scripted_error_comes_as_its_class_and_without_effect(name: str) -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.ERROR, "compute.create", count=1, error=name, code="SIM_X"))  # type: ignore[arg-type]
    wanted = vm()
    with pytest.raises(DriverError) as caught:
        world.connection.compute.create(HOST, wanted)
    assert type(caught.value).__name__ == name
    assert caught.value.native_code == "SIM_X"
    assert world.control.census().vms == ()
    assert world.connection.compute.create(HOST, wanted) == Done()


def test_a_hang_takes_the_timeout_and_leaves_the_outcome_open() -> None:
    world = World()
    wanted = world.created()
    world.control.add_fault(Fault(FaultKind.HANG, "power.start", count=1))
    before = world.clock.now()
    with pytest.raises(Unanswered) as caught:
        world.connection.power.start(HOST, wanted.instance)
    assert caught.value.outcome_unknown
    assert world.clock.now() == before + 15
    assert world.see(wanted).power is Power.OFF


def test_a_question_that_hangs_has_no_outcome() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.HANG, "hosts.list", count=1))
    with pytest.raises(Unanswered) as caught:
        world.connection.hosts.list_hosts()
    assert not caught.value.outcome_unknown


def test_a_lost_reply_took_effect() -> None:
    world = World()
    wanted = world.created()
    world.control.add_fault(Fault(FaultKind.LOSE_REPLY, "power.start", count=1))
    with pytest.raises(Unanswered) as caught:
        world.connection.power.start(HOST, wanted.instance)
    assert caught.value.outcome_unknown
    assert world.see(wanted).power is Power.ON


def test_a_delay_lets_time_pass_first() -> None:
    world = World()
    wanted = world.created()
    world.control.add_fault(Fault(FaultKind.DELAY, "power.start", seconds=7, count=1))
    before = world.clock.now()
    world.connection.power.start(HOST, wanted.instance)
    assert world.clock.now() == before + 7
    world.let(9)
    assert not world.see(wanted).guest.agent
    world.let(1)
    assert world.see(wanted).guest.agent


def test_an_expired_session_is_renewed_without_a_trace() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.EXPIRE_SESSION, "compute.create", count=1))
    before = world.token
    wanted = world.created()
    assert world.token != before
    assert world.see(wanted).power is Power.OFF


def test_a_session_that_expires_again_and_again_is_told() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.EXPIRE_SESSION, "compute.create"))
    with pytest.raises(Transient):
        world.created()


def test_a_login_can_be_refused() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.ERROR, "login", error="Busy", count=1))
    with pytest.raises(Busy):
        world.connect()


def test_control_is_never_struck() -> None:
    world = World()
    world.control.add_fault(Fault(FaultKind.ERROR))
    with pytest.raises(Transient):
        world.connection.hosts.list_hosts()
    world.control.clear_faults()
    assert world.connection.hosts.list_hosts()


def test_a_vm_is_known_by_its_names_in_every_call() -> None:
    world = World()
    meant, other = world.created(), world.created()
    for name in (meant.name, meant.owner.name, meant.instance):
        world.control.add_fault(Fault(FaultKind.ERROR, "*", name))
        for call in (
            lambda vm: world.connection.power.start(HOST, vm),
            lambda vm: world.connection.power.stop(HOST, vm, StopMode.HARD),
            lambda vm: world.connection.compute.apply(HOST, vm, [SetCPUs(2)]),
            lambda vm: world.connection.compute.delete(HOST, vm, [POOL]),
        ):
            with pytest.raises(Transient):
                call(meant.instance)
        world.connection.power.start(HOST, other.instance)
        world.control.clear_faults()


class TestHosts:
    """Hosts that crash, are cut off, or lie."""

    def test_a_crashed_host_took_its_vms_with_it(self) -> None:
        world = World()
        wanted = world.running()
        world.control.act(Act.CRASH_HOST, HOST)
        assert [host.up for host in world.connection.hosts.list_hosts()] == [False, True, True]
        assert world.connection.compute.observe_all()[wanted.instance].power is Power.UNKNOWN
        with pytest.raises(Transient):
            world.see(wanted)
        world.control.act(Act.BOOT_HOST, HOST)
        assert world.see(wanted).power is Power.OFF

    def test_a_host_cut_off_goes_on_unseen(self) -> None:
        world = World()
        wanted = world.running()
        world.control.act(Act.CUT_HOST, HOST)
        assert world.connection.compute.observe_all()[wanted.instance].power is Power.UNKNOWN
        with pytest.raises(Transient):
            world.connection.power.stop(HOST, wanted.instance, StopMode.HARD)
        world.control.act(Act.HEAL_HOST, HOST)
        assert world.see(wanted).power is Power.ON
        assert world.control.census().vms[0].starts == 1

    @pytest.mark.parametrize("act", [Act.CRASH_HOST, Act.CUT_HOST])
    def test_the_endpoint_of_that_host_alone_is_silent(self, act: Act) -> None:
        world = World()
        alone, neighbour = world.connect(HOST), world.connect(OTHER)
        world.control.act(act, HOST)
        before = world.clock.now()
        for call in (lambda: alone.hosts.list_hosts(), lambda: alone.events.fetch(), lambda: world.connect(HOST)):
            with pytest.raises(Transient):
                call()
        assert world.clock.now() == before + 3 * 15
        assert neighbour.hosts.list_hosts()[0].up

    def test_a_lie_is_believed_until_it_matters(self) -> None:
        world = World()
        world.control.act(Act.LIE, HOST, f"1000:{1024**4}")
        host = world.connection.hosts.list_hosts()[0]
        assert (host.cpus, host.memory) == (1000, 1024**4)
        with pytest.raises(errors.InvalidSpec):
            world.created(cpus=33)
        world.control.act(Act.LIE, HOST)
        assert world.connection.hosts.list_hosts()[0].cpus == world.settings.cpus

    def test_a_removed_host_is_not_there(self) -> None:
        world = World()
        wanted = world.running()
        assert wanted.instance in world.connection.compute.observe_all()
        alone = world.connect(HOST)
        world.control.act(Act.REMOVE_HOST, HOST)
        assert wanted.instance not in world.connection.compute.observe_all()
        assert HOST not in {host.host for host in world.connection.hosts.list_hosts()}
        assert list(alone.hosts.list_hosts()) == []
        with pytest.raises(NotFound):
            world.see(wanted)
        with pytest.raises(Transient):
            world.connect(HOST)
        assert {disk.host for disk in world.control.census().disks} == set()
        world.control.act(Act.ADD_HOST, HOST)
        assert world.connect(HOST).hosts.list_hosts()[0].up
