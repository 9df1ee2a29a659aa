"""When segments are made on a host and when they go, by the marks of its VMs."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from typing import cast

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Conflict, InvalidSpec, Transient, Unsupported
from drivers.kvm import mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.mark import Mark, MarkedNIC
from drivers.kvm.network.segments import Segments
from drivers.types import Owner, Segment
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.network.iproute import FakeShell, interface

BARE = {"lo", "eno2"}


def nic(segment: int, carrier: str = "vxlan:eno2:239.1.1.1") -> MarkedNIC:
    return MarkedNIC(f"n{segment}", "02:00:00:00:00:01", "shop/net", Segment(segment), "", carrier)


@dataclass
class Domain:
    """A domain with a mark, or somebody's, or one that goes away while it is read."""

    mark: Mark | None
    gone: bool = False

    def XMLDesc(self, _flags: int) -> str:  # libvirt's name
        if self.gone:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN)
        root = ET.Element("domain")
        if self.mark is not None:
            mark.write(root, self.mark)
        return ET.tostring(root, encoding="unicode")


@dataclass
class Host:
    """Domains of a host, and its interfaces."""

    shell: FakeShell = field(default_factory=FakeShell)
    domains: list[Domain] = field(default_factory=list)

    def segments(self) -> Segments:
        return Segments(cast(Shell, self.shell), 5.0)

    def listAllDomains(self, _flags: int) -> list[Domain]:  # libvirt's name
        return self.domains

    def define(self, *nics: MarkedNIC) -> Domain:
        self.domains.append(Domain(Mark(Owner("uid", "shop", "web"), 0, "", nics=nics)))
        return self.domains[-1]

    @property
    def made(self) -> set[str]:
        return set(self.shell.links) - BARE


def test_the_last_user_takes_the_segment_along() -> None:
    host = Host()
    segments = host.segments()
    one, two = host.define(nic(10)), host.define(nic(10), nic(20))
    for domain in (one, two):
        segments.ensure(domain.mark.nics if domain.mark else ())
    host.domains.remove(two)
    segments.release(host)
    assert host.made == {"vireo-b10", "vireo-u10"}
    host.domains.remove(one)
    segments.release(host)
    assert host.made == set()


def test_nics_that_others_carry_need_no_command() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10, "")])
    segments.release(host)
    assert host.shell.ran == []


def test_a_new_controller_knows_what_is_there_from_before() -> None:
    host = Host()
    host.segments().ensure([nic(10)])
    later = host.segments()
    later.release(host)
    assert host.made == {"vireo-b10", "vireo-u10"}, "nobody looked yet"
    later.look()
    later.release(host)
    assert host.made == set()


def test_a_segment_with_a_guest_that_does_not_let_go_goes_next_time() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    host.shell.links["vnet0"] = interface(master="vireo-b10")
    segments.release(host)
    assert "vireo-b10" in host.made
    del host.shell.links["vnet0"]
    segments.release(host)
    assert (host.made, segments.left) == (set(), False)
    before = len(host.shell.ran)
    segments.release(host)
    segments.tidy(host)
    assert len(host.shell.ran) == before


def test_what_could_not_go_is_removed_later_one_by_one_though_nothing_else_changes() -> None:
    """One whose guest never lets go keeps no other from its turn."""
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10), nic(20)])
    for number in (10, 20):
        host.shell.links[f"vnet{number}"] = interface(master=f"vireo-b{number}")
    segments.release(host)
    assert segments.left
    del host.shell.links["vnet20"]
    for _ in range(2):
        segments.tidy(host)
    assert (host.made, segments.left) == ({"vireo-b10", "vireo-u10", "vnet10"}, True)
    del host.shell.links["vnet10"]
    segments.tidy(host)
    assert (host.made, segments.left) == (set(), False)


def test_a_removal_whose_command_failed_is_due_again() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    host.shell.failure = Transient("SSH to the host failed")
    for remove in (segments.release, segments.tidy):
        with pytest.raises(Transient):
            remove(host)
        assert segments.left
    host.shell.failure = None
    segments.tidy(host)
    assert (host.made, segments.left) == (set(), False)


def test_a_new_controller_removes_what_nobody_needs_and_keeps_the_rest() -> None:
    host = Host()
    host.segments().ensure([nic(10), nic(20), nic(30)])
    host.define(nic(20))
    later = host.segments()
    assert not later.left
    later.look()
    for _ in range(2):
        later.tidy(host)
    assert (host.made, later.left) == ({"vireo-b20", "vireo-u20"}, False)
    before = len(host.shell.ran)
    later.tidy(host)
    assert len(host.shell.ran) == before


def test_a_segment_that_is_needed_again_is_not_left() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    host.shell.links["vnet0"] = interface(master="vireo-b10")
    segments.release(host)
    host.define(nic(10))
    segments.tidy(host)
    assert ("vireo-b10" in host.made, segments.left) == (True, False)


def test_a_segment_that_is_made_afresh_is_not_left_even_before_a_mark_says_who_needs_it() -> None:
    """As when a VM goes back to a running state of a time when it had another NIC."""
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    segments.look()
    segments.ensure([nic(10)])
    segments.tidy(host)
    assert (host.made, segments.left) == ({"vireo-b10", "vireo-u10"}, False)


def test_domains_of_others_and_those_that_go_meanwhile_hold_nothing() -> None:
    host = Host(domains=[Domain(None), Domain(None, gone=True)])
    segments = host.segments()
    segments.ensure([nic(10)])
    segments.release(host)
    assert host.made == set()


def test_a_reboot_takes_all_and_the_next_vm_brings_it_back() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    host.shell.links = FakeShell().links
    segments.ensure([nic(10)])
    assert host.made == {"vireo-b10", "vireo-u10"}


def test_who_needs_the_segment_when_its_turn_comes_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that is defined after the first look at the marks, and before the lock."""
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    looks = iter([[], [host.define(nic(10))]])
    monkeypatch.setattr(host, "listAllDomains", lambda _flags: next(looks))
    segments.release(host)
    assert host.made == {"vireo-b10", "vireo-u10"}


def test_without_ssh_it_says_so() -> None:
    host = Host(FakeShell(failure=Unsupported("no SSH login to the host")))
    with pytest.raises(Unsupported, match="no SSH login"):
        host.segments().ensure([nic(10)])


def test_a_removal_that_failed_is_tried_again() -> None:
    host = Host()
    segments = host.segments()
    segments.ensure([nic(10)])
    host.shell.failure = Transient("SSH to the host failed")
    with pytest.raises(Transient):
        segments.release(host)
    host.shell.failure = None
    segments.release(host)
    assert host.made == set()


@pytest.mark.parametrize(
    "wrong", [replace(nic(10), segment=Segment()), nic(10, "vlan:eno2;reboot"), nic(10, "anything"), nic(4095)]
)
def test_a_mark_that_says_nonsense_runs_nothing(wrong: MarkedNIC) -> None:
    host = Host()
    with pytest.raises(InvalidSpec):
        host.segments().ensure([wrong])
    assert Command.CHANGE_LINKS not in host.shell.ran


@pytest.mark.parametrize("line", range(9))
def test_what_could_not_be_completed_is_removed_again(line: int) -> None:
    """But for an interface that has no mark yet: then nobody can know that it is ours."""
    host = Host(FakeShell(breaks_at=line))
    with pytest.raises(Transient, match="ip failed"):
        host.segments().ensure([nic(10)])
    assert [name for name in host.made if "ifalias" in host.shell.links[name]] == []


def test_an_interface_of_others_is_refused_and_stays() -> None:
    host = Host()
    host.shell.links["vireo-b10"] = interface()
    segments = host.segments()
    with pytest.raises(Conflict, match="vireo-b10"):
        segments.ensure([nic(10)])
    segments.look()
    segments.release(host)
    assert host.made == {"vireo-b10"}


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(1, 4), max_size=3)), max_size=12))
def test_the_host_has_what_its_vms_need_and_no_more(steps: list[tuple[bool, list[int]]]) -> None:
    host = Host()
    segments = host.segments()
    for arrives, numbers in steps:
        if arrives or not host.domains:
            domain = host.define(*map(nic, numbers))
            segments.ensure(domain.mark.nics if domain.mark else ())
        else:
            host.domains.pop(sum(numbers) % len(host.domains))
            segments.release(host)
        needed = {each.segment.vlan for domain in host.domains if domain.mark for each in domain.mark.nics}
        assert host.made == {f"vireo-{kind}{number}" for number in needed for kind in "bu"}
