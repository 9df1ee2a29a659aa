"""When it is looked where NICs are plugged in, what is told of it, and how they are put back."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from drivers.errors import AuthFailed, DriverError, NetworkMissing, Transient, Unanswered
from drivers.kvm.domain.observe import Key
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.mark import Mark
from drivers.kvm.network.plugs import AGAIN, LOOKS, Plugs
from drivers.kvm.network.wiring import Plug
from drivers.kvm.subject import Subject
from drivers.types import Attachment, DesiredNIC, InstanceID, NetworkBackend, Segment, Unplugged
from tests.unit.kvm.network import test_flows
from tests.unit.kvm.network.iproute import FakeShell, interface
from tests.unit.kvm.network.test_flows import NIC, live, ports

I1 = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
BRIDGED = replace(NIC, attachment=Attachment(NetworkBackend.BRIDGE, "br-vlan10"))
KEY = Key(I1, "3", "vnet0")


class Domains(test_flows.Host):
    """Running VMs of a host; one of them is looked at, the others are somebody's."""

    class Domain(test_flows.Host.Domain):
        def UUIDString(self) -> str:
            return I1

    def listAllDomains(self, flags: int) -> list[Any]:
        return [Domains.Domain(each.text) for each in super().listAllDomains(flags)]


@dataclass
class Site:
    """A host with one VM, whose NIC is on a Linux bridge or on Open vSwitch, and what Vireo knows of it."""

    nic: DesiredNIC = BRIDGED
    shell: FakeShell = field(default_factory=FakeShell)
    told: list[list[InstanceID]] = field(default_factory=list)
    now: float = 1000.0
    reads: int = 0

    def __post_init__(self) -> None:
        self.plugs = Plugs(cast(Shell, self.shell), self.read, lambda vms: self.told.append(list(vms)), lambda: self.now)
        self.shell.links |= {"br-vlan10": interface(), "vnet0": interface(master="br-vlan10")}
        self.shell.ports = ports(vnet0=3)

    def vm(self) -> tuple[ET.Element, Mark]:
        document, marked = live((self.nic, "vnet0"))
        document.set("id", "3")
        return document, marked

    def read(self, function: Callable[[Any], list[Plug]]) -> list[Plug]:
        self.reads += 1
        return function(Domains(self.vm()))

    def later(self, seconds: float = LOOKS) -> list[Command]:
        """What is run on the host at a look so many seconds from now."""
        self.now += seconds
        self.shell.ran.clear()
        self.plugs.look()
        return list(self.shell.ran)

    def cut(self) -> None:
        """The bridge goes."""
        del self.shell.links["br-vlan10"], self.shell.links["vnet0"]["master"]

    def again(self) -> None:
        """The bridge is made again, with nothing plugged in."""
        self.shell.links["br-vlan10"] = interface()

    def subject(self) -> Subject:
        document, marked = self.vm()
        return Subject(None, None, I1, document, document, marked)

    def put_back(self) -> None:
        self.shell.ran.clear()
        self.plugs.put_back(self.subject(), ["eth0"])


def test_what_is_well_costs_one_command_in_five_minutes() -> None:
    site = Site()
    assert site.later(0) == [Command.SHOW_LINKS], "at once after it was connected"
    assert site.later(LOOKS - 1) == []
    assert site.later(1) == [Command.SHOW_LINKS]
    assert (dict(site.plugs.found), site.told) == ({}, [])


def test_open_vswitch_is_asked_for_bridges_and_ports() -> None:
    assert Site(nic=NIC).later(0) == [Command.LIST_SWITCHES, Command.LIST_PORTS]


def test_a_host_without_vms_is_not_logged_in_to() -> None:
    site = Site()
    site.read = lambda function: function(test_flows.Host())  # type: ignore[method-assign,assignment]
    site.plugs = Plugs(cast(Shell, site.shell), site.read, lambda _: None, lambda: site.now)
    assert site.later() == []


def test_a_host_without_ssh_is_not_looked_at() -> None:
    site = Site(shell=FakeShell(missing="no SSH login to the host"))
    site.cut()
    assert (site.later(), site.reads, dict(site.plugs.found)) == ([], 0, {})


def test_what_is_found_is_told_once_and_looked_at_often_until_it_is_well() -> None:
    site = Site()
    site.later(0)
    site.cut()
    site.later()
    assert dict(site.plugs.found) == {KEY: Unplugged("bridge br-vlan10", missing=True)}
    assert site.told == [[I1]]
    assert site.later(AGAIN - 1) == []
    assert site.later(1) == [Command.SHOW_LINKS]
    assert site.told == [[I1]], "nothing has changed"
    site.again()
    site.later(AGAIN)
    assert dict(site.plugs.found) == {KEY: Unplugged("bridge br-vlan10", missing=False)}
    assert site.told == [[I1], [I1]]
    site.shell.links["vnet0"]["master"] = "br-vlan10"
    site.later(AGAIN)
    assert (dict(site.plugs.found), site.told) == ({}, [[I1]] * 3)
    assert site.later(AGAIN) == [Command.SHOW_LINKS], "once more, as it was amiss a moment ago"
    assert site.later(AGAIN) == []


@pytest.mark.parametrize("failure", [Unanswered("SSH to the host failed"), AuthFailed("cannot log in"), Transient("ip failed")])
def test_a_look_that_fails_tells_nothing_and_is_not_made_all_the_time(failure: DriverError) -> None:
    site = Site()
    site.later(0)
    site.cut()
    site.shell.failure = failure
    assert site.later() == [Command.SHOW_LINKS]
    assert site.later(LOOKS - 1) == []
    assert (dict(site.plugs.found), site.told) == ({}, [])
    site.shell.failure = None
    site.later(1)
    assert site.told == [[I1]]
    site.shell.failure = failure
    site.later(AGAIN)
    assert (len(site.plugs.found), site.told) == (1, [[I1]]), "what was known stays"


def test_one_on_a_linux_bridge_is_plugged_in_there() -> None:
    site = Site()
    site.cut()
    site.later(0)
    site.again()
    site.put_back()
    assert site.shell.links["vnet0"]["master"] == "br-vlan10"
    assert (dict(site.plugs.found), site.told) == ({}, [[I1]])
    site.put_back()
    assert site.shell.ran == [], "what is not known to be amiss is not looked at"


@pytest.mark.parametrize("vlan", [10, None])
def test_one_on_open_vswitch_has_its_tag_from_the_first_moment(vlan: int | None) -> None:
    site = Site(nic=replace(NIC, segment=Segment(vlan)))
    site.shell.ports = ports(other=1)
    site.later(0)
    site.put_back()
    assert site.shell.tags == {"vnet0": vlan}
    assert json.loads(site.shell.ports)["data"] == [["other", 1], ["vnet0", 2]]


@pytest.mark.parametrize("nic", [BRIDGED, NIC], ids=["Bridge", "OVS"])
def test_where_there_is_nothing_to_plug_it_in_to_nothing_is_done(nic: DesiredNIC) -> None:
    site = Site(nic=nic)
    site.cut()
    site.shell.switches, site.shell.ports = "br-ex\n", ports()
    site.later(0)
    links = dict(site.shell.links)
    with pytest.raises(NetworkMissing, match=r"the host has no bridge \S+ which the NIC eth0 needs|has no bridge ovsbr0, vlan-10"):
        site.put_back()
    assert (site.shell.links, site.shell.tags, len(site.plugs.found)) == (links, {}, 1)
    assert not {Command.CHANGE_LINKS, Command.ADD_PORT, Command.ADD_TAGGED_PORT} & set(site.shell.ran)


def test_what_somebody_has_put_back_meanwhile_is_left() -> None:
    site = Site()
    site.cut()
    site.later(0)
    site.again()
    site.shell.links["vnet0"]["master"] = "br-vlan10"
    site.put_back()
    assert site.shell.ran == [Command.SHOW_LINKS]
    assert dict(site.plugs.found) == {}


def test_a_call_that_fails_leaves_it_known_as_it_was() -> None:
    site = Site()
    site.cut()
    site.later(0)
    site.again()
    site.shell.breaks_at = 0
    with pytest.raises(Transient, match="ip failed"):
        site.put_back()
    assert len(site.plugs.found) == 1
    site.put_back()
    assert dict(site.plugs.found) == {}


def test_other_nics_and_a_vm_that_is_off_are_left_alone() -> None:
    site = Site()
    site.cut()
    site.later(0)
    site.again()
    site.shell.ran.clear()
    site.plugs.put_back(site.subject(), ["eth1"])
    site.plugs.put_back(replace(site.subject(), live=None), ["eth0"])
    assert site.shell.ran == []
