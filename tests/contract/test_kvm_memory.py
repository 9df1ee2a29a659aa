"""Memory that comes while a guest runs: in a real guest, and in VMs without one that could take it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import libvirt
import pytest

from drivers.kvm.connection import KVMConnection
from drivers.kvm.domain import memory
from drivers.kvm.machine import enlarging
from drivers.types import (
    ApplyMode,
    AttachNIC,
    Change,
    DesiredVM,
    Devices,
    ObservedVM,
    Power,
    SetCPUs,
    SetMemory,
    StopMode,
    VMChanged,
)
from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host, stocked
from tests.contract.suite.storebase import Store
from tests.contract.suite.tools import Maker, eventually
from tests.lab.guests import execute, wait_for_agent

pytestmark = pytest.mark.lab

GIB = 1024 * MIB
ODD = GIB + 512 * MIB + 3 * MIB + 5
"""Neither whole MiB nor whole blocks of what gives memory."""
DEVICE = "devices/memory"


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, bootable_image(), memory=GIB)


@pytest.fixture(scope="module")
def connection(binding: KVMBinding) -> Iterator[KVMConnection]:
    with stocked(binding) as connection:
        assert isinstance(connection, KVMConnection)
        yield connection


@dataclass(frozen=True)
class Machine:
    """A VM of 1 GiB and what an administrator sees of it."""

    make: Maker
    vm: DesiredVM
    domain: Any

    @property
    def seen(self) -> ObservedVM:
        return self.make.observe(self.vm)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Memory of the next start, what the guest has, and what it was given and has not taken."""
        seen = self.seen
        return seen.memory, seen.running_memory, seen.offered_memory

    def mode(self, change: Change) -> ApplyMode:
        return self.make.connection.compute.apply_mode(change, self.seen)

    def apply(self, *changes: Change) -> None:
        self.make.connection.compute.apply(self.make.binding.host, self.vm.instance, changes)

    def restart(self) -> None:
        self.make.stop(self.vm, StopMode.HARD)
        self.make.start(self.vm)

    def document(self, flags: int = 0) -> ET.Element:
        return ET.fromstring(self.domain.XMLDesc(flags))

    def give_by_hand(self, amount: int) -> None:
        """As `virsh update-memory-device` does."""
        device = self.document().find(DEVICE)
        assert device is not None
        device.find("target/requested").text = str(amount >> 10)  # type: ignore[union-attr]
        self.domain.updateDeviceFlags(ET.tostring(device, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def run(self, script: str) -> str:
        return execute(self.domain, script).strip()

    @property
    def boot(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")

    @property
    def total(self) -> int:
        """Bytes that the guest's kernel counts as its memory, less than it has."""
        return int(self.run("awk '/MemTotal/ {print $2}' /proc/meminfo")) << 10


@contextmanager
def machine(binding: KVMBinding, connection: KVMConnection, vm: DesiredVM) -> Iterator[Machine]:
    """The VM, powered on; gone afterwards."""
    make = Maker(binding, connection)
    make.create(vm)
    make.start(vm)
    with binding.admin() as admin:
        yield Machine(make, vm, admin.lookupByUUIDString(vm.instance))
    make.delete(vm)
    assert binding.leftovers(vm.instance) == set()


@pytest.fixture(scope="module")
def guest(binding: KVMBinding, connection: KVMConnection) -> Iterator[Machine]:
    """Its guest's agent answers."""
    with machine(binding, connection, Maker(binding, connection).vm()) as found:
        wait_for_agent(found.domain)
        yield found


@pytest.fixture
def blank(binding: KVMBinding, connection: KVMConnection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Nobody in it takes anything, and nobody waits for that."""
    monkeypatch.setattr(enlarging, "PATIENCE", 0.0)
    with machine(binding, connection, Maker(binding, connection).vm(empty=True)) as found:
        yield found


def test_memory_comes_while_the_guest_runs_and_stays(binding: KVMBinding, guest: Machine) -> None:
    """Twice, in sizes that nothing is aligned to; then it is snapshotted and restarted, and goes back to where it ran."""
    boot, before = guest.boot, guest.total
    for wanted in (ODD, 2 * GIB):
        assert guest.mode(SetMemory(wanted)) is ApplyMode.LIVE
        guest.apply(SetMemory(wanted))
        eventually(lambda: guest.sizes, lambda sizes, wanted=wanted: sizes == (wanted, wanted, 0))  # type: ignore[misc]
        eventually(lambda: guest.total, lambda total, wanted=wanted: total - before > wanted - GIB - 64 * MIB)  # type: ignore[misc]
    assert (guest.boot, guest.seen.power) == (boot, Power.ON)
    store = Store(binding, guest.make.connection, guest.make)
    taken, ran_with = store.take(guest.vm, store.snapshot(memory=True)), guest.total
    guest.restart()
    wait_for_agent(guest.domain)
    assert guest.document().find(DEVICE) is None, "the next start has it all from the beginning"
    assert guest.total > 2 * GIB - 256 * MIB
    assert (guest.sizes, guest.seen.most_memory) == ((2 * GIB, 2 * GIB, 0), 8 * GIB)
    store.restore(guest.vm, taken)
    wait_for_agent(guest.domain)
    assert (guest.boot, guest.total) == (boot, ran_with)
    assert guest.sizes == (2 * GIB, 2 * GIB, 0)
    store.drop(taken)


def test_what_is_given_by_hand_is_told_and_seen(guest: Machine) -> None:
    wanted = guest.seen.running_memory + 128 * MIB
    guest.apply(SetMemory(wanted))
    eventually(lambda: guest.sizes, (wanted, wanted, 0).__eq__)
    with closing(guest.make.binding.connect()) as listener:
        listener.events.subscribe(lambda: None)
        guest.give_by_hand(memory.read(guest.document()).given + 128 * MIB)
        eventually(lambda: VMChanged(guest.vm.instance) in listener.events.fetch())
    eventually(lambda: guest.sizes, (wanted, wanted + 128 * MIB, 0).__eq__)
    assert guest.mode(SetMemory(wanted)) is ApplyMode.RESTART


def test_a_guest_that_takes_nothing_has_it_after_a_restart(blank: Machine) -> None:
    assert blank.mode(SetMemory(2 * GIB)) is ApplyMode.LIVE
    blank.apply(SetMemory(2 * GIB))
    assert blank.sizes == (2 * GIB, GIB, 2 * GIB)
    assert blank.mode(SetMemory(2 * GIB)) is ApplyMode.RESTART
    before = blank.domain.XMLDesc()
    blank.apply(SetMemory(2 * GIB))
    assert blank.domain.XMLDesc() == before
    assert blank.mode(SetMemory(3 * GIB)) is ApplyMode.LIVE
    blank.apply(SetMemory(3 * GIB))
    assert blank.sizes == (3 * GIB, GIB, 3 * GIB)
    blank.apply(SetCPUs(2))
    blank.restart()
    assert (blank.sizes, blank.seen.most_memory) == ((3 * GIB, 3 * GIB, 0), 12 * GIB)
    assert blank.seen.running_cpus == 2


def test_what_was_not_taken_can_be_withdrawn(blank: Machine) -> None:
    blank.apply(SetMemory(2 * GIB))
    assert blank.mode(SetMemory(GIB)) is ApplyMode.LIVE
    blank.apply(SetMemory(GIB))
    assert blank.sizes == (GIB, GIB, 0)
    assert blank.document().findtext(f"{DEVICE}/target/requested") == "0"


def test_beyond_the_room_it_waits_for_a_restart(blank: Machine) -> None:
    assert (blank.mode(SetMemory(4 * GIB)), blank.mode(SetMemory(4 * GIB + 1))) == (ApplyMode.LIVE, ApplyMode.RESTART)
    blank.apply(SetMemory(4 * GIB + 1))
    assert blank.sizes == (4 * GIB + 1, GIB, 0)
    assert blank.document().find(DEVICE) is None
    blank.apply(SetMemory(512 * MIB))
    assert blank.document(libvirt.VIR_DOMAIN_XML_INACTIVE).find("maxMemory") is None
    blank.restart()
    assert (blank.sizes, blank.seen.most_memory) == ((512 * MIB, 512 * MIB, 0), 0)


def test_there_is_a_port_for_it_beside_those_of_eight_nics(blank: Machine) -> None:
    blank.apply(*(AttachNIC(blank.make.nic(f"late-{number}")) for number in range(8)))
    blank.apply(SetMemory(2 * GIB))
    assert blank.sizes == (2 * GIB, GIB, 2 * GIB)
    assert len(blank.seen.nics) == 8


def test_a_definition_without_room_gets_it_with_the_next_size(binding: KVMBinding, connection: KVMConnection) -> None:
    """As VMs have that were made before there was any, or on a host that could not."""
    able = connection.hosts.profile
    assert able.adds_memory
    connection.hosts.profile = replace(able, adds_memory=False)
    with machine(binding, connection, Maker(binding, connection).vm(empty=True)) as old:
        connection.hosts.profile = able
        assert old.seen.most_memory == 0
        assert old.mode(SetMemory(2 * GIB)) is ApplyMode.RESTART
        old.apply(SetMemory(2 * GIB))
        assert old.sizes == (2 * GIB, GIB, 0)
        old.restart()
        assert (old.sizes, old.seen.most_memory) == ((2 * GIB, 2 * GIB, 0), 8 * GIB)


def test_a_guest_without_virtio_drivers_has_no_room(binding: KVMBinding, connection: KVMConnection) -> None:
    make = Maker(binding, connection)
    with machine(binding, connection, replace(make.vm(), devices=Devices.EMULATED)) as old:
        assert old.seen.most_memory == 0
        old.apply(SetMemory(2 * GIB))
        assert old.document(libvirt.VIR_DOMAIN_XML_INACTIVE).find("maxMemory") is None
        assert old.sizes == (2 * GIB, GIB, 0)
