"""A connection's own work: pages, sessions, and what a hang may hold up."""

import threading
from random import Random

import pytest

from drivers.errors import AuthFailed, Transient
from drivers.simulator import service as service_module
from drivers.simulator.connection import SimulatorConnection
from drivers.simulator.engine import compute
from drivers.simulator.engine.clock import RealClock
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.simulator.local import LocalTransport
from drivers.simulator.service import Service
from drivers.types import Capability, Credentials, HostID

from .world import HOST, OTHER, World, vm

ALL = [HostID(f"host-{number:05d}") for number in range(1, 8)]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_pages_are_put_together(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(compute, "PAGE", page)
    world = World(Settings(hosts=7))
    wanted = [vm(disks=()) for _ in range(14)]
    for number, one in enumerate(wanted):
        world.connection.compute.create(ALL[number % 5], one)
    connection = world.connect()
    assert set(connection.compute.observe_all()) == {one.instance for one in wanted}
    world.connection.compute.delete(ALL[0], wanted[0].instance)
    assert set(connection.compute.observe_all()) == {one.instance for one in wanted[1:]}


def test_only_hosts_that_changed_are_told_again() -> None:
    world = World()
    world.created(disks=())
    first = world.connection._session.call("compute.observe_page", "", 0)
    assert {host.host for host in first.hosts} == {"host-00001", "host-00002", "host-00003"}
    again = world.connection._session.call("compute.observe_page", first.epoch, first.cursor)
    assert (again.hosts, again.cursor, again.more) == ((), first.cursor, False)
    wanted = vm(disks=())
    world.connection.compute.create(OTHER, wanted)
    [host] = world.connection._session.call("compute.observe_page", first.epoch, first.cursor).hosts
    assert (host.host, [one.instance for one in host.vms]) == (OTHER, [wanted.instance])


def test_what_was_seen_before_is_not_changed_under_the_caller() -> None:
    world = World()
    before = world.connection.compute.observe_all()
    wanted = world.created(disks=())
    assert before == {}
    assert list(world.connection.compute.observe_all()) == [wanted.instance]


def test_a_page_of_another_life_voids_what_was_seen() -> None:
    old, new = World(), World()
    old.created(disks=())
    wanted = new.created(disks=())
    connection = old.connect()
    connection.compute.observe_all()
    connection._session._transport = LocalTransport(new.service)  # the server was started anew, without its state
    assert list(connection.compute.observe_all()) == [wanted.instance]
    with pytest.raises(Transient, match="lost"):
        connection.events.fetch()
    assert list(connection.events.fetch()) == []


def test_sessions_have_a_bound_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "SESSIONS", 3)
    world = World()
    connections = [world.connect() for _ in range(5)]
    assert len(world.service._sessions) == 3
    assert all(connection.hosts.list_hosts() for connection in connections)


def test_a_closed_connection_has_no_session() -> None:
    world = World()
    sessions = len(world.service._sessions)
    connection = world.connect()
    assert len(world.service._sessions) == sessions + 1
    connection.close()
    connection.close()
    assert len(world.service._sessions) == sessions
    with pytest.raises(Transient):
        connection.hosts.list_hosts()


@pytest.mark.parametrize(
    ("username", "password"), [("", ""), ("vireo", ""), ("vireo", "wrong"), ("other", "right"), ("vireo\0right", "")]
)
def test_wrong_credentials(username: str, password: str) -> None:
    service = Service(Settings(hosts=1), RealClock(), random=Random(1), credentials=Credentials("vireo", "right"))
    with pytest.raises(AuthFailed):
        SimulatorConnection(LocalTransport(service), Credentials(username, password))
    assert SimulatorConnection(LocalTransport(service), Credentials("vireo", "right")).hosts.list_hosts()


def test_a_hang_in_one_thread_holds_up_no_other() -> None:
    service = Service(Settings(hosts=2), RealClock(), random=Random(1))
    connection = SimulatorConnection(LocalTransport(service, timeout=1.0), Credentials())
    errors: list[BaseException] = []

    def hang() -> None:
        try:
            connection.compute.observe_all()
        except Transient as error:
            errors.append(error)

    def others() -> int:
        """Calls of others while one hangs."""
        service.faults.add(Fault(FaultKind.HANG, "compute.observe_page", count=1), service.clock.now())
        thread = threading.Thread(target=hang)
        thread.start()
        made = 0
        while thread.is_alive():
            connection.hosts.list_hosts()
            made += 1
        return made

    tries = [others()]
    while max(tries) <= 10 and len(tries) < 5:  # a machine that stood still meanwhile does not do so each time
        tries.append(others())
    assert max(tries) > 10
    assert len(errors) == len(tries)


def test_control_needs_a_session_for_all_hosts() -> None:
    world = World()
    with pytest.raises(Exception, match="all hosts"):
        world.connect(HOST)._session.call("control.census")


def test_capabilities_are_those_of_the_settings() -> None:
    some = frozenset({Capability.POWER, Capability.STORAGE})
    assert World(Settings(hosts=2, capabilities=some)).connection.capabilities == some
