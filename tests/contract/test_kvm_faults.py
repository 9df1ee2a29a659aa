"""The KVM driver when its host fails: lost replies, a daemon that hangs, dies and comes back."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Transient, Unanswered
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link.session import Timeouts
from drivers.types import (
    Credentials,
    DesiredVM,
    Endpoint,
    Event,
    HostID,
    InstanceID,
    ObservedVM,
    Owner,
    Power,
    SetCPUs,
    StopMode,
    VMChanged,
)
from tests.contract.kvm_binding import MIB, PATIENT, LossyBinding, empty_image, one_host
from tests.contract.suite import LostReplies, LostStorageReplies
from tests.lab.host import Host, run_in

pytestmark = pytest.mark.lab

PATIENCE = 240.0
Found = TypeVar("Found")
IMPATIENT = Timeouts(connect=10.0, keepalive=5, keepalive_count=1, agent=1)
"""For hosts that hang: they are waited for to the end."""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as host:
        yield host


class TestLostReplies(LostReplies, LostStorageReplies):
    """A relay in between breaks the connection instead of passing a reply on."""

    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LossyBinding]:
        binding = LossyBinding(host, empty_image(tmp_path_factory.mktemp("image")))
        yield binding
        assert binding.proxy.lost == 17, "each reply was really lost"
        binding.proxy.close()


@pytest.fixture
def connection(host: Host) -> Iterator[Connection]:
    """A connection that gives up early."""
    connection = eventually(lambda: KVMDriver(IMPATIENT).connect(Endpoint(host.uri)))
    yield connection
    connection.close()


def eventually(look: Callable[[], Found], good: Callable[[Found], bool] = lambda _: True) -> Found:
    """What `look` gives once it is good; Transient means: not yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen: object = "Transient"
        with suppress(Transient):
            seen = found = look()
            if good(found):
                return found
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


@pytest.fixture
def patient(host: Host) -> Iterator[Connection]:
    """A connection that a busy machine does not lose: one that is lost has no events of what happened meanwhile."""
    connection = KVMDriver(PATIENT).connect(Endpoint(host.uri))
    yield connection
    connection.close()


@pytest.fixture
def blank(host: Host, patient: Connection) -> Iterator[DesiredVM]:
    """A running VM without disks."""
    instance = InstanceID(str(uuid.uuid4()))
    vm = DesiredVM(instance, "blank", Owner("uid", "shop", "blank"), 1, 16 * MIB, ())
    patient.compute.create(HostID(host.name), vm)
    patient.power.start(HostID(host.name), instance)
    yield vm
    eventually(lambda: patient.compute.delete(HostID(host.name), instance))


def observed(connection: Connection, host: Host, vm: DesiredVM) -> ObservedVM:
    return connection.compute.observe(HostID(host.name), vm.instance)


@contextmanager
def hung(host: Host) -> Iterator[None]:
    host.hang()
    try:
        yield
    finally:
        host.unhang()


def openers() -> set[threading.Thread]:
    """By identity: those of earlier tests may still be ending."""
    return {thread for thread in threading.enumerate() if thread.name == "libvirt-open"}


def test_a_daemon_that_hangs_is_given_up_and_used_again_when_it_goes_on(host: Host, connection: Connection) -> None:
    with hung(host):
        with pytest.raises(Unanswered) as caught:
            connection.compute.observe_all()
        assert not caught.value.outcome_unknown
        with pytest.raises(Unanswered, match="did not answer within"):
            connection.compute.observe_all()
    eventually(connection.compute.observe_all)


def test_a_change_on_a_daemon_that_hangs_has_an_unknown_outcome(host: Host, connection: Connection, blank: DesiredVM) -> None:
    connection.compute.apply(HostID(host.name), blank.instance, [SetCPUs(3)])  # by now it has a way that changes take
    with hung(host):
        with pytest.raises(Unanswered) as caught:
            connection.compute.apply(HostID(host.name), blank.instance, [SetCPUs(2)])
        assert caught.value.outcome_unknown


def test_a_daemon_that_hangs_costs_one_thread_however_often_it_is_tried(host: Host) -> None:
    driver = KVMDriver(IMPATIENT)
    before = openers()
    with hung(host):
        for _ in range(3):
            with pytest.raises(Unanswered, match="did not answer within"):
                driver.connect(Endpoint(host.uri))
        assert len(openers() - before) == 1
    connected = eventually(lambda: driver.connect(Endpoint(host.uri)))
    assert connected.hosts.list_hosts()
    connected.close()
    eventually(lambda: openers() - before, lambda alive: not alive)


def test_other_credentials_do_not_wait_for_an_old_attempt(host: Host) -> None:
    driver = KVMDriver(IMPATIENT)
    with hung(host), pytest.raises(Unanswered):
        driver.connect(Endpoint(host.uri, Credentials(username="old")))
    eventually(lambda: driver.connect(Endpoint(host.uri, Credentials(username="new")))).close()


def complaint(connection: Connection) -> str:
    """What the next Transient of the events says."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            connection.events.fetch()
            time.sleep(0.1)
        except Transient as error:
            return error.message
    raise AssertionError("no complaint")


def test_guests_outlive_the_daemon_and_events_come_back(host: Host, patient: Connection, blank: DesiredVM) -> None:
    host.daemon_kill()
    assert "cannot" in complaint(patient)
    assert "cannot" in complaint(patient)
    host.daemon_start()
    eventually(lambda: complaint(patient), lambda said: "is back" in said)
    assert eventually(lambda: observed(patient, host, blank).power) is Power.ON
    eventually(lambda: patient.power.stop(HostID(host.name), blank.instance, StopMode.HARD))
    assert observed(patient, host, blank).power is Power.OFF
    assert VMChanged(blank.instance) in told(patient, blank)


def told(connection: Connection, vm: DesiredVM) -> Sequence[Event]:
    """The events until there is one of that VM. A Transient fails the test: it would say that events are lost."""
    deadline = time.monotonic() + PATIENCE
    events: list[Event] = []
    while VMChanged(vm.instance) not in events and time.monotonic() < deadline:
        events += connection.events.fetch()
        time.sleep(0.1)
    return events


def test_a_guest_whose_qemu_is_killed_is_told_is_off_and_starts_again(host: Host, patient: Connection, blank: DesiredVM) -> None:
    """It is told by an event: nothing is asked between the kill and that."""
    while patient.events.fetch():
        time.sleep(1)  # what is still told of its start
    run_in(host, "sh", "-c", f"kill -KILL $(cat /run/libvirt/qemu/blank-{blank.instance[:8]}.pid)")
    assert VMChanged(blank.instance) in told(patient, blank)
    eventually(lambda: observed(patient, host, blank).power, lambda power: power is Power.OFF)
    patient.power.start(HostID(host.name), blank.instance)
    assert observed(patient, host, blank).power is Power.ON


def test_a_paused_guest_goes_on_when_it_is_started(host: Host, patient: Connection, blank: DesiredVM) -> None:
    admin = libvirt.open(host.uri)
    admin.lookupByUUIDString(blank.instance).suspend()
    assert observed(patient, host, blank).power is Power.PAUSED
    patient.power.start(HostID(host.name), blank.instance)
    assert observed(patient, host, blank).power is Power.ON
    admin.close()


def test_a_host_that_lost_power_has_its_vms_off(host: Host, patient: Connection, blank: DesiredVM) -> None:
    host.crash()
    with pytest.raises(Transient):
        patient.compute.observe_all()
    host.start()
    assert eventually(lambda: observed(patient, host, blank).power) is Power.OFF
    patient.power.start(HostID(host.name), blank.instance)
    assert observed(patient, host, blank).power is Power.ON


def sockets() -> frozenset[str]:
    """Of this process, by identity: those of earlier tests may still be closing."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            found.add(os.readlink(entry.path))
        except OSError:
            continue  # the one that lists the directory
    return frozenset(name for name in found if name.startswith("socket:"))


def test_a_closed_connection_holds_no_socket(host: Host) -> None:
    """libvirt keeps one open for callbacks that nobody took back."""
    driver = KVMDriver(IMPATIENT)
    for _ in range(3):
        before = sockets()
        opened = eventually(lambda: driver.connect(Endpoint(host.uri)))
        opened.compute.observe_all()
        made = sockets() - before
        assert made
        opened.close()
        eventually(lambda made=made: sockets() & made, lambda left: not left)


def test_a_lost_connection_holds_no_socket(host: Host) -> None:
    before = sockets()
    opened = eventually(lambda: KVMDriver(IMPATIENT).connect(Endpoint(host.uri)))
    made = sockets() - before
    host.daemon_kill()
    host.daemon_start()
    assert complaint(opened)
    made |= sockets() - before
    opened.close()
    eventually(lambda: sockets() & made, lambda left: not left)
