"""Subscriptions: what is told, what counts as a loss, and what is taken back."""

from collections.abc import Callable
from typing import Any

import libvirt
import pytest

from drivers.errors import Transient
from drivers.kvm.events import KINDS, KVMEvents
from drivers.kvm.link.session import Role
from drivers.types import InstanceID, VMChanged
from tests.unit.kvm.fakes import libvirt_error

FIRST = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
SECOND = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12")


class FakeConnection:
    """Keeps callbacks as libvirt does: one for its end, any number for events, of which the `fails_at`-th is refused."""

    def __init__(self, fails_at: int = -1) -> None:
        self.close_callback: Callable[..., None] | None = None
        self.callbacks: dict[int, tuple[int, Callable[..., None], object]] = {}
        self._made = 0
        self._fails_at = fails_at

    def registerCloseCallback(self, callback: Callable[..., None], _opaque: object) -> None:
        if self.close_callback is not None:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "A close callback is already registered")
        self.close_callback = callback

    def unregisterCloseCallback(self) -> None:
        self.close_callback = None

    def domainEventRegisterAny(self, _domain: object, kind: int, callback: Callable[..., None], opaque: object) -> int:
        self._made += 1
        if self._made == self._fails_at:
            raise libvirt_error(libvirt.VIR_ERR_RPC, "no more callbacks")
        self.callbacks[self._made] = kind, callback, opaque
        return self._made

    def domainEventDeregisterAny(self, callback: int) -> None:
        del self.callbacks[callback]

    def happen(self, instance: str) -> None:
        """Every kind of event about that VM."""
        for kind, _, _ in list(self.callbacks.values()):
            self.tell(kind, instance)

    def tell(self, wanted: int, instance: str, *details: object) -> None:
        """One kind of event about that VM, with what libvirt says of it."""
        for kind, callback, opaque in list(self.callbacks.values()):
            if kind == wanted:
                callback(self, FakeDomain(instance), *(details or (0, 0)), opaque)

    def die(self) -> None:
        """The connection breaks; libvirt tells once."""
        assert self.close_callback is not None
        self.close_callback(self, 0, None)


class FakeDomain:
    def __init__(self, instance: str) -> None:
        self._instance = instance

    def UUIDString(self) -> str:
        return self._instance


class FakeSession:
    """Gives out the connections in turn; the last one stays."""

    def __init__(self, *connections: FakeConnection) -> None:
        self.farewells: dict[Role, Callable[[Any], None]] = {}
        self._connections = list(connections)

    def run(self, _role: Role, action: str, function: Callable[[Any], Any]) -> Any:
        connection = self._connections[0]
        if len(self._connections) > 1:
            self._connections.pop(0)
        try:
            return function(connection)
        except libvirt.libvirtError:
            raise Transient(f"cannot {action}") from None


def subscribed(*connections: FakeConnection, port_gone: Callable[[], None] = lambda: None) -> KVMEvents:
    return KVMEvents(FakeSession(*connections), port_gone)  # type: ignore[arg-type]  # what a subscription needs of one


def test_each_vm_is_told_once() -> None:
    connection = FakeConnection()
    events = subscribed(connection)
    assert len(connection.callbacks) == len(KINDS)
    for instance in (FIRST, SECOND, FIRST):
        connection.happen(instance)
    assert list(events.fetch()) == [VMChanged(FIRST), VMChanged(SECOND)]
    assert list(events.fetch()) == []


def test_what_was_found_otherwise_is_told_with_the_rest() -> None:
    connection, rung = FakeConnection(), []
    events = subscribed(connection)
    events.subscribe(lambda: rung.append(1))
    events.tell([])
    assert (rung, list(events.fetch())) == ([], [])
    events.tell([FIRST])
    connection.happen(FIRST)
    events.tell([SECOND])
    assert (len(rung), list(events.fetch())) == (1, [VMChanged(FIRST), VMChanged(SECOND)])


def test_a_loss_is_told_once_and_what_follows_is_kept() -> None:
    old, new = FakeConnection(), FakeConnection()
    events = subscribed(old, new)
    old.happen(FIRST)
    old.die()
    with pytest.raises(Transient, match="is back"):
        events.fetch()
    new.happen(SECOND)
    assert list(events.fetch()) == [VMChanged(SECOND)]


def test_what_happens_while_it_subscribes_again_is_kept() -> None:
    """Events that come between the new subscription and the Transient that tells of the loss."""
    old, new = FakeConnection(), FakeConnection()
    register = new.domainEventRegisterAny

    def busy(*arguments: Any) -> int:
        made = register(*arguments)
        new.happen(FIRST)
        return made

    new.domainEventRegisterAny = busy  # type: ignore[method-assign]
    events = subscribed(old, new)
    old.die()
    with pytest.raises(Transient):
        events.fetch()
    assert list(events.fetch()) == [VMChanged(FIRST)]


def test_the_end_of_an_old_connection_is_no_loss_of_the_new_one() -> None:
    old, new = FakeConnection(), FakeConnection()
    events = subscribed(old, new)
    old.die()
    with pytest.raises(Transient):
        events.fetch()
    old.die()
    assert list(events.fetch()) == []


@pytest.mark.parametrize("fails_at", range(1, len(KINDS) + 1))
def test_a_subscription_that_fails_halfway_is_taken_back(fails_at: int) -> None:
    """The connection may live on, and takes one close callback only: a leftover would refuse every later attempt."""
    old, new = FakeConnection(), FakeConnection(fails_at)
    events = subscribed(old, new)
    old.die()
    with pytest.raises(Transient, match="cannot subscribe"):
        events.fetch()
    assert (new.callbacks, new.close_callback) == ({}, None)
    with pytest.raises(Transient, match="is back"):
        events.fetch()
    new.happen(FIRST)
    assert list(events.fetch()) == [VMChanged(FIRST)]


def test_closing_ends_it() -> None:
    connection, bell = FakeConnection(), Bell()
    events = subscribed(connection)
    events.subscribe(bell)
    events.close()
    connection.happen(FIRST)  # libvirt may just be telling it
    for _ in range(2):
        with pytest.raises(Transient, match="closed"):
            events.fetch()


class Bell:
    """Counts how often it is rung."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        self.rung += 1


def test_a_storm_rings_once_until_somebody_fetches() -> None:
    connection, bell = FakeConnection(), Bell()
    events = subscribed(connection)
    events.subscribe(bell)
    assert bell.rung == 0
    for turn in (1, 2):
        for _ in range(50):
            connection.happen(FIRST)
            connection.happen(SECOND)
        assert bell.rung == turn
        assert list(events.fetch()) == [VMChanged(FIRST), VMChanged(SECOND)]


def test_what_came_before_anybody_subscribed_rings_at_once() -> None:
    connection, bell = FakeConnection(), Bell()
    events = subscribed(connection)
    connection.happen(FIRST)
    events.subscribe(bell)
    assert bell.rung == 1
    assert list(events.fetch()) == [VMChanged(FIRST)]
    old, late = FakeConnection(), Bell()
    events = subscribed(old, FakeConnection())
    old.die()
    events.subscribe(late)
    assert late.rung == 1


def test_a_loss_rings_though_nobody_has_fetched_what_came_before_it() -> None:
    old, bell = FakeConnection(), Bell()
    events = subscribed(old, FakeConnection())
    events.subscribe(bell)
    old.happen(FIRST)
    old.die()
    assert bell.rung == 2
    with pytest.raises(Transient, match="is back"):
        events.fetch()


def test_the_end_of_a_connection_that_was_replaced_does_not_ring() -> None:
    old, new, bell = FakeConnection(), FakeConnection(), Bell()
    events = subscribed(old, new)
    events.subscribe(bell)
    old.die()
    with pytest.raises(Transient):
        events.fetch()
    old.die()
    assert bell.rung == 1
    new.happen(SECOND)
    assert bell.rung == 2


ENDS = [
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)),
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)),
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED)),
    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, ("net0",)),
]
OTHERS = [
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED)),
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_GUEST)),
    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_CRASHED, libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED)),
    (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, (libvirt.VIR_DOMAIN_EVENT_STOPPED, 0)),
    (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, ("net0",)),
    (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, ()),
]


@pytest.mark.parametrize(("kind", "details", "gone"), [(*each, True) for each in ENDS] + [(*each, False) for each in OTHERS])
def test_what_may_have_left_a_port_is_passed_on(kind: int, details: tuple[object, ...], gone: bool) -> None:
    """However a VM ended; one that shuts down, or whose guest has panicked, has its ports still."""
    connection, bell = FakeConnection(), Bell()
    events = subscribed(connection, port_gone=bell)
    connection.tell(kind, FIRST, *details)
    assert bell.rung == gone
    assert list(events.fetch()) == [VMChanged(FIRST)]


def test_what_ended_while_nobody_heard_may_have_left_a_port() -> None:
    old, bell = FakeConnection(), Bell()
    events = subscribed(old, FakeConnection(), port_gone=bell)
    assert bell.rung == 0
    old.die()
    with pytest.raises(Transient, match="is back"):
        events.fetch()
    assert bell.rung == 1
