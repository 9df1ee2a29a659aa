"""Looks at all VMs of a host: what is there is seen, however little of it is read; and what did not change is not read."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Transient
from drivers.kvm import mark
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import NOTHING, Key
from drivers.kvm.machine import looking
from drivers.kvm.machine.looking import STATISTICS, Looks
from drivers.kvm.xmltext import parse, render
from drivers.types import InstanceID, Owner, Power, Unplugged
from tests.unit.kvm.domain.test_build import INSTANCE, VM
from tests.unit.kvm.domain.test_snapshots import FIRST, SECOND, document
from tests.unit.kvm.fakes import HOST, libvirt_error

OTHER = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12")
FOREIGN = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b13")
ON, OFF = (libvirt.VIR_DOMAIN_RUNNING, 1), (libvirt.VIR_DOMAIN_SHUTOFF, 1)


class Snapshot:
    def __init__(self, text: str, *, current: bool) -> None:
        self.text, self.current = text, current

    def getXMLDesc(self, _flags: int) -> str:
        return self.text

    def isCurrent(self, _flags: int) -> bool:
        return self.current


@dataclass
class Domain:
    """One of libvirt's: `calls` are those that it answered over the wire, so not that of its UUID."""

    instance: str
    power: tuple[int, int]
    inactive: str
    live: str
    snapshots: dict[str, str] = field(default_factory=dict)
    current: str = ""
    gone: bool = False
    calls: list[str] = field(default_factory=list)

    def UUIDString(self) -> str:
        return self.instance

    def XMLDesc(self, flags: int) -> str:
        if self.gone:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN)
        self.calls.append("inactive" if flags & libvirt.VIR_DOMAIN_XML_INACTIVE else "live")
        return self.inactive if flags & libvirt.VIR_DOMAIN_XML_INACTIVE else self.live

    def listAllSnapshots(self, _flags: int) -> list[Snapshot]:
        self.calls.append("snapshots")
        return [Snapshot(text, current=name == self.current) for name, text in self.snapshots.items()]


class Host:
    """What libvirt lists."""

    def __init__(self, *domains: Domain) -> None:
        self.domains = list(domains)

    def listAllDomains(self, flags: int) -> list[Domain]:
        assert flags == libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT
        return [each for each in self.domains if each.snapshots]

    def getAllDomainStats(self, statistics: int, _flags: int) -> list[tuple[Domain, dict[str, Any]]]:
        assert statistics == STATISTICS, "no QEMU is asked"
        return [(each, {"state.state": each.power[0], "state.reason": each.power[1]}) for each in self.domains]


def text(instance: InstanceID = INSTANCE, *, marked: bool = True, **changes: Any) -> str:
    root = build(replace(VM, instance=instance, **changes), HOST)
    if not marked:
        root.remove(root.find("metadata"))  # type: ignore[arg-type]
    return render(root)


def domain(instance: InstanceID = INSTANCE, power: tuple[int, int] = ON, **changes: Any) -> Domain:
    return Domain(instance, power, text(instance, **changes), text(instance, **changes))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Documents that were read."""
    found: list[str] = []

    def noted(document: str) -> ET.Element:
        found.append(document)
        return parse(document)

    monkeypatch.setattr(looking, "parse", noted)
    return found


def look(looks: Looks, host: Host, in_the_air: dict[Key, Unplugged] | None = None) -> dict[InstanceID, Any]:
    return looks.all(host, in_the_air or NOTHING)


def fresh(host: Host) -> dict[InstanceID, Any]:
    """What somebody sees who never looked before."""
    return look(Looks(HOST.host), host)


def test_every_vm_of_ours_is_seen_and_nobody_else_s() -> None:
    host = Host(domain(), domain(OTHER, OFF), domain(FOREIGN, marked=False))
    found = look(Looks(HOST.host), host)
    assert {instance: vm.power for instance, vm in found.items()} == {INSTANCE: Power.ON, OTHER: Power.OFF}
    assert {vm.host for vm in found.values()} == {HOST.host}


def test_what_is_said_again_is_not_read_again(read: list[str]) -> None:
    host, looks = Host(domain(), domain(OTHER, OFF), domain(FOREIGN, marked=False)), Looks(HOST.host)
    before = look(looks, host)
    assert len(read) == 4, "two of one that runs, one of one that is off, and one of somebody else's"
    for each in host.domains:
        each.calls.clear()
    read.clear()
    assert look(looks, host) == before
    assert read == []
    assert [each.calls for each in host.domains] == [["inactive", "live"], ["inactive"], ["inactive"]]


CHANGES: dict[str, Callable[[Domain], object]] = {
    "power": lambda it: setattr(it, "power", (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)),
    "reason": lambda it: setattr(it, "power", (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)),
    "off": lambda it: setattr(it, "power", OFF),
    "next start": lambda it: setattr(it, "inactive", text(cpus=1)),
    "what runs": lambda it: setattr(it, "live", text(cpus=1)),
    "both": lambda it: (setattr(it, "inactive", text(cpus=1)), setattr(it, "live", text(cpus=1))),
    "swapped": lambda it: (setattr(it, "inactive", it.live), setattr(it, "live", it.inactive)),
    "mark": lambda it: setattr(it, "inactive", text(owner=Owner("uid-2", "shop", "web"))),
    "no mark": lambda it: setattr(it, "inactive", text(marked=False)),
    "snapshot": lambda it: it.snapshots.update({SECOND: document(SECOND, FIRST)}),
    "snapshot's content": lambda it: it.snapshots.update({FIRST: document(FIRST, memory="internal")}),
    "current snapshot": lambda it: setattr(it, "current", FIRST),
    "no snapshot": lambda it: it.snapshots.clear(),
}


def changing() -> Domain:
    found = domain(cpus=2)
    found.live = text(cpus=4)
    found.snapshots = {FIRST: document(FIRST)}
    return found


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_is_seen(what: str) -> None:
    one = changing()
    host, looks = Host(one), Looks(HOST.host)
    before = look(looks, host)
    CHANGES[what](one)
    after = look(looks, host)
    assert after != before
    assert after == fresh(host)


PAUSED = libvirt.VIR_DOMAIN_PAUSED
POWERS = [
    ((PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER), (PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)),
    ((PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER), (PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)),
    ((libvirt.VIR_DOMAIN_RUNNING, 12), (11, 2)),
]


@pytest.mark.parametrize(("then", "now"), POWERS, ids=["failed", "starting", "the same digits"])
def test_the_reason_alone_is_a_change_and_no_number_runs_into_the_next(then: tuple[int, int], now: tuple[int, int]) -> None:
    one = domain(power=then)
    host, looks = Host(one), Looks(HOST.host)
    before = look(looks, host)
    one.power = now
    assert look(looks, host) == fresh(host) != before


@given(st.lists(st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 1)), max_size=3), max_size=6))
def test_what_is_seen_does_not_depend_on_what_was(turns: list[list[tuple[str, int]]]) -> None:
    """Whatever is changed between looks, undone with the next, or comes and goes."""
    looks = Looks(HOST.host)
    for changes in turns:
        host = Host(changing(), domain(OTHER, OFF))
        for what, which in changes:
            CHANGES[what](host.domains[which])
        assert look(looks, host) == fresh(host)


def test_one_that_is_adopted_is_seen_from_then_on_and_one_that_is_let_go_no_more() -> None:
    one = domain(marked=False)
    host, looks = Host(one), Looks(HOST.host)
    assert look(looks, host) == look(looks, host) == {}
    one.inactive = text()
    assert set(look(looks, host)) == {INSTANCE}
    one.inactive = text(marked=False)
    assert look(looks, host) == look(looks, host) == {}


def test_a_domain_that_is_gone_is_forgotten(read: list[str]) -> None:
    """Nobody keeps what once was; one that is made again is read again."""
    one, other = domain(), domain(OTHER)
    looks = Looks(HOST.host)
    look(looks, Host(one, other))
    assert set(look(looks, Host(other))) == {OTHER}
    read.clear()
    assert set(look(looks, Host(one, other))) == {INSTANCE, OTHER}
    assert read == [one.inactive, one.live]


def test_one_that_goes_while_it_is_looked_at_is_left_out() -> None:
    one, other = domain(), domain(OTHER)
    host, looks = Host(one, other), Looks(HOST.host)
    look(looks, host)
    one.gone = True
    assert set(look(looks, host)) == {OTHER}
    one.gone = False
    assert look(looks, host) == fresh(host)


def test_a_nic_in_the_air_is_seen_at_once_and_no_longer_than_it_is() -> None:
    root = build(VM, HOST)
    root.set("id", "7")
    for item in root.iterfind("devices/interface"):
        ET.SubElement(item, "target", {"dev": "vnet0"})
    one = domain()
    one.live = render(root)
    host, looks = Host(one, domain(OTHER)), Looks(HOST.host)
    astray = {Key(INSTANCE, "7", "vnet0"): Unplugged("bridge ovsbr0, vlan-10", missing=True)}

    def seen(in_the_air: dict[Key, Unplugged]) -> list[Unplugged | None]:
        found = look(looks, host, in_the_air)
        return [nic.unplugged for instance in (INSTANCE, OTHER) for nic in found[instance].nics]

    assert seen({}) == [None, None]
    for _ in range(2):
        assert seen(astray) == [*astray.values(), None]
    assert seen({}) == [None, None]


def test_a_look_that_fails_spoils_no_later_one() -> None:
    one, other = domain(), domain(OTHER)
    host, looks = Host(one, other), Looks(HOST.host)
    before = look(looks, host)
    kept, other.inactive = other.inactive, "<domain"
    one.live = text(cpus=1)
    with pytest.raises(Transient, match="not XML"):
        look(looks, host)
    other.inactive = kept
    assert look(looks, host) == fresh(host) != before


def test_somebody_else_s_domain_is_judged_by_its_definition_alone() -> None:
    """Whatever it runs with; and what makes no sense there fails no look."""
    one = domain(FOREIGN, marked=False)
    host, looks = Host(one), Looks(HOST.host)
    for one.live in ("<domain/>", "<domain", text(FOREIGN)):
        assert look(looks, host) == {}
    root = parse(one.inactive)
    mark.write(root, mark.of(VM))
    one.inactive = render(root)
    assert set(look(looks, host)) == {FOREIGN}


class Meeting(Host):
    """Its two looks at once each see the host as it was at another time, and end together."""

    def __init__(self, *versions: Host) -> None:
        self.versions: Iterator[Host] = iter(versions)
        self.barrier = threading.Barrier(len(versions))
        self.mine = threading.local()

    def listAllDomains(self, flags: int) -> list[Domain]:
        self.mine.host = next(self.versions)
        return list(self.mine.host.listAllDomains(flags))

    def getAllDomainStats(self, statistics: int, flags: int) -> list[tuple[Domain, dict[str, Any]]]:
        found = self.mine.host.getAllDomainStats(statistics, flags)
        self.barrier.wait(60)
        return list(found)


def test_looks_at_once_do_not_mix() -> None:
    looks, changed = Looks(HOST.host), domain()
    CHANGES["both"](changed)
    versions = [Host(domain(), domain(OTHER)), Host(changed, domain(OTHER))]
    both, found = Meeting(*versions), list[dict[InstanceID, Any]]()
    threads = [threading.Thread(target=lambda: found.append(look(looks, both))) for _ in versions]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert sorted(vms[INSTANCE].cpus for vms in found) == [1, 2]
    for host in versions:
        assert look(looks, host) == fresh(host)
