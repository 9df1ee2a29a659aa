"""Which calls a change of memory makes, and which it does not."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import libvirt
import pytest

from drivers.errors import Conflict, InvalidSpec
from drivers.kvm import mark
from drivers.kvm.domain import memory
from drivers.kvm.domain.build import build
from drivers.kvm.machine import enlarging
from drivers.kvm.mark import read
from drivers.kvm.subject import CONFIG, LIVE, Subject
from drivers.kvm.xmltext import parse, render
from tests.unit.kvm.domain.test_build import INSTANCE, VM
from tests.unit.kvm.fakes import HOST

GIB = 1 << 30
ABLE = replace(HOST, adds_memory=True)
DIMM = "<memory model='dimm'><target><size unit='KiB'>131072</size><node>0</node></target></memory>"


class Domain:
    """Notes what it is told; its guest takes all that it is given, at the `looks`-th look."""

    def __init__(self, live: ET.Element | None, definition: ET.Element, looks: int = 1) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._live, self._definition, self._looks = live, definition, looks

    def XMLDesc(self, flags: int) -> str:
        if flags & libvirt.VIR_DOMAIN_XML_INACTIVE:
            return render(self._definition)
        assert self._live is not None
        self._looks -= 1
        target = self._live.find("devices/memory/target")
        if self._looks <= 0 and target is not None:
            target.append(parse(f"<current>{target.findtext('requested')}</current>"))
        return render(self._live)

    def setMemoryFlags(self, amount: int, flags: int) -> None:
        self.calls.append(("set", amount, flags))

    def setMetadata(self, *_arguments: object) -> None:
        self.calls.append(("mark",))

    def attachDeviceFlags(self, text: str, flags: int) -> None:
        assert self._live is not None
        devices = self._live.find("devices")
        assert devices is not None
        devices.append(parse(text))
        self.calls.append(("attach", given(parse(text)), flags))

    def updateDeviceFlags(self, text: str, flags: int) -> None:
        self.calls.append(("update", given(parse(text)), flags))


class Connection:
    def __init__(self) -> None:
        self.defined: list[ET.Element] = []

    def defineXMLFlags(self, text: str, _flags: int) -> None:
        self.defined.append(parse(text))


def given(device: ET.Element) -> int:
    return int(device.findtext("target/requested") or 0) << 10


def subject(start: int, *, room: bool = True, runs: bool = True, adopted: bool = False, looks: int = 1) -> Subject:
    """A VM that was made, and maybe started, with that memory."""
    inactive, live = (build(replace(VM, memory=start), ABLE if room else HOST) for _ in range(2))
    known = read(inactive)
    assert known is not None
    known = replace(known, adopted=adopted)
    mark.write(inactive, known)
    domain = Domain(live if runs else None, inactive, looks)
    return Subject(Connection(), domain, INSTANCE, inactive, live if runs else None, known)


def with_devices(vm: Subject, text: str, sizes: int) -> Subject:
    """Somebody plugged memory into what runs."""
    assert vm.live is not None
    devices, total = vm.live.find("devices"), vm.live.find("memory")
    assert devices is not None
    assert total is not None
    devices.append(parse(text))
    total.text = str(int(total.text or 0) + (sizes >> 10))
    return vm


def test_a_vm_that_is_off_gets_another_definition() -> None:
    vm = subject(GIB, runs=False)
    enlarging.apply(vm, 2 * GIB, ABLE)
    [defined] = vm.connection.defined
    assert (defined.findtext("memory"), defined.findtext("maxMemory")) == (str(2 << 20), str(8 << 20))
    assert vm.domain.calls == [("mark",)]
    assert vm.mark.memory == 2 * GIB


def test_one_that_runs_is_given_it_as_well() -> None:
    vm = subject(GIB)
    enlarging.apply(vm, 2 * GIB, ABLE)
    assert vm.domain.calls == [("mark",), ("attach", GIB, LIVE)]
    assert len(vm.connection.defined) == 1


@pytest.mark.parametrize(
    ("start", "wanted", "room"),
    [(GIB, GIB // 2, True), (GIB, 4 * GIB + 1, True), (GIB, 2 * GIB, False)],
    ids=["less", "beyond the room", "without room"],
)
def test_what_runs_stays_as_it_is_where_it_cannot_have_it(start: int, wanted: int, room: bool) -> None:
    vm = subject(start, room=room)
    enlarging.apply(vm, wanted, ABLE)
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == []
    assert len(vm.connection.defined) == 1


@pytest.mark.parametrize(
    ("given_now", "taken", "wanted", "told"),
    [(0, 0, 2 * GIB, GIB), (2 * GIB, 0, GIB, 0), (GIB, GIB, 3 * GIB, 2 * GIB)],
)
def test_a_device_that_is_there_gives_more_or_withdraws(given_now: int, taken: int, wanted: int, told: int) -> None:
    vm = subject(GIB, looks=2)
    device = memory.device(memory.read(vm.inactive), given_now)
    ET.SubElement(device.find("target"), "current").text = str(taken >> 10)  # type: ignore[arg-type]
    with_devices(vm, render(device), 3 * GIB)
    enlarging.apply(vm, wanted, ABLE)
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == [("update", told, LIVE)]


@pytest.mark.parametrize(("given_now", "taken", "wanted"), [(GIB, 0, 2 * GIB), (2 * GIB, 2 * GIB, 2 * GIB), (0, GIB, GIB)])
def test_nothing_is_given_twice_or_taken_away(given_now: int, taken: int, wanted: int) -> None:
    vm = subject(GIB)
    device = memory.device(memory.read(vm.inactive), given_now)
    ET.SubElement(device.find("target"), "current").text = str(taken >> 10)  # type: ignore[arg-type]
    with_devices(vm, render(device), 3 * GIB)
    enlarging.apply(vm, wanted, ABLE)
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == []


def test_again_it_makes_no_call() -> None:
    vm = subject(GIB)
    enlarging.apply(vm, GIB, ABLE)
    assert (vm.domain.calls, vm.connection.defined) == ([], [])


def test_what_a_balloon_would_take_at_the_next_start_is_given_back() -> None:
    vm = subject(GIB)
    vm.inactive.find("currentMemory").text = str(512 << 10)  # type: ignore[union-attr]
    enlarging.apply(vm, GIB, ABLE)
    [defined] = vm.connection.defined
    assert (defined.findtext("memory"), defined.findtext("currentMemory")) == (str(1 << 20), str(1 << 20))
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == []


@pytest.mark.parametrize("size", [512 << 20, 2 * GIB])
@pytest.mark.parametrize("adopted", [False, True])
def test_a_definition_that_has_no_room_and_gets_none_is_changed_in_place(size: int, adopted: bool) -> None:
    vm = subject(GIB, room=False, adopted=adopted)
    enlarging.apply(vm, size, ABLE if adopted else HOST)
    amount = size >> 10
    assert vm.domain.calls == [("set", amount, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM), ("set", amount, CONFIG), ("mark",)]
    assert vm.connection.defined == []


def test_a_vm_that_others_made_with_room_keeps_its_definition() -> None:
    vm = subject(GIB, adopted=True)
    enlarging.apply(vm, 2 * GIB, ABLE)
    assert vm.connection.defined == []
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == []


def test_memory_that_somebody_plugged_is_left() -> None:
    vm = with_devices(subject(GIB), DIMM, 128 << 20)
    enlarging.apply(vm, 2 * GIB, ABLE)
    assert [call for call in vm.domain.calls if call[-1] == LIVE] == []


def test_memory_that_somebody_put_into_the_definition_is_refused() -> None:
    vm = subject(GIB, runs=False)
    devices = vm.inactive.find("devices")
    assert devices is not None
    devices.append(parse(DIMM))
    with pytest.raises(Conflict, match="memory devices"):
        enlarging.apply(vm, 2 * GIB, ABLE)
    assert vm.connection.defined == []


def test_a_guest_is_waited_for_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enlarging, "PAUSE", 0.0)
    patient = subject(GIB, looks=5)
    monkeypatch.setattr(enlarging, "PATIENCE", 60.0)
    enlarging.apply(patient, 2 * GIB, ABLE)
    assert memory.read(parse(patient.domain.XMLDesc(0))).taken == GIB
    monkeypatch.setattr(enlarging, "PATIENCE", 0.0)
    enlarging.apply(subject(GIB, looks=1 << 30), 2 * GIB, ABLE)


@pytest.mark.parametrize("size", [-1, 0, (1 << 20) - 1])
def test_sizes_that_no_vm_has(size: int) -> None:
    with pytest.raises(InvalidSpec, match="memory"):
        enlarging.check(size)
