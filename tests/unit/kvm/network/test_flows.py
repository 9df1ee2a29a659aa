"""The address guard as OpenFlow rules: what passes at a port, whose ports they are, and text that means harm."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import cast

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec, Transient
from drivers.kvm import mark
from drivers.kvm.domain import nics
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.mark import Mark, MarkedNIC
from drivers.kvm.names import COOKIE
from drivers.kvm.network import flows
from drivers.kvm.network.switches import Switches
from drivers.kvm.subject import Subject
from drivers.types import Attachment, DesiredNIC, InstanceID, NetworkBackend, Owner, Segment
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.network.iproute import FakeShell, changed
from tests.unit.kvm.vms import NICS

OVS = Attachment(NetworkBackend.OVS, "ovsbr0")
NIC = DesiredNIC("eth0", "02:00:00:00:0a:01", "shop/front", Segment(10), OVS, "10.0.0.5")
OWN, OTHER = NIC.mac, "02:00:00:00:0a:02"
Frame = dict[str, str]
FRAMES: list[tuple[str, Frame, bool, bool]] = [
    ("IPv4 from its own", {"is": "ip", "dl_src": OWN, "nw_src": "10.0.0.5"}, True, True),
    ("IPv4 with another's address", {"is": "ip", "dl_src": OWN, "nw_src": "10.0.0.6"}, False, True),
    ("IPv4 with another's MAC", {"is": "ip", "dl_src": OTHER, "nw_src": "10.0.0.5"}, False, False),
    ("ARP of its own", {"is": "arp", "dl_src": OWN, "arp_sha": OWN, "arp_spa": "10.0.0.5"}, True, True),
    ("ARP for another's address", {"is": "arp", "dl_src": OWN, "arp_sha": OWN, "arp_spa": "10.0.0.6"}, False, True),
    ("ARP with another's MAC inside", {"is": "arp", "dl_src": OWN, "arp_sha": OTHER, "arp_spa": "10.0.0.5"}, False, False),
    ("ARP from another's MAC", {"is": "arp", "dl_src": OTHER, "arp_sha": OWN, "arp_spa": "10.0.0.5"}, False, False),
    ("reverse ARP of another", {"is": "rarp", "dl_src": OWN, "arp_sha": OTHER}, False, False),
    ("IPv6", {"is": "ipv6", "dl_src": OWN}, False, True),
    ("IPv6 from another's MAC", {"is": "ipv6", "dl_src": OTHER}, False, False),
]
"""Frames, and whether they pass with an address and without."""


def passes(lines: list[str], frame: Frame) -> bool:
    """The rule with the highest priority that matches decides; it must be the only one of its priority."""
    decisions: dict[int, set[str]] = {}
    for line in lines:
        fields = dict(word.partition("=")[::2] for word in line.removeprefix("add ").split(","))
        kinds = {kind for kind in ("arp", "rarp", "ip") if kind in fields}
        if line.startswith("add ") and kinds <= {frame["is"]} and all(frame.get(k, v) == v for k, v in fields.items() if k in KEYS):
            decisions.setdefault(int(fields["priority"]), set()).add(fields["actions"])
    [decision] = decisions[max(decisions)]
    return decision == "NORMAL"


KEYS = {"dl_src", "nw_src", "arp_sha", "arp_spa"}


@pytest.mark.parametrize(("what", "frame", "addressed", "bare"), FRAMES, ids=[each[0] for each in FRAMES])
def test_what_passes(what: str, frame: Frame, addressed: bool, bare: bool) -> None:
    assert passes(flows.guarded(7, mark.of_nic(NIC)), frame) is addressed
    assert passes(flows.guarded(7, mark.of_nic(replace(NIC, ip=""))), frame) is bare


@given(NICS, st.integers(1, 65279))
def test_rules_are_for_one_port_ours_and_one_line_each(nic: DesiredNIC, number: int) -> None:
    lines = flows.guarded(number, mark.of_nic(nic))
    assert lines[0].startswith("delete ")
    assert all(f"cookie={COOKIE}" in line for line in lines)
    assert all(f"in_port={number}" in line.split(",") for line in lines)
    assert [line for line in lines if not re.fullmatch(r"(add|delete) [A-Za-z0-9_.:,=/-]+", line)] == []


@pytest.mark.parametrize("ip", ["10.0.0", "10.0.0.0/8", "10.0.0.5,actions=NORMAL", "fe80::1", "10.0.0.5\nadd actions=NORMAL"])
def test_what_is_no_address_is_refused(ip: str) -> None:
    with pytest.raises(InvalidSpec, match="IPv4"):
        flows.guarded(7, mark.of_nic(replace(NIC, ip=ip)))


def live(*nics_of: tuple[DesiredNIC, str], told: tuple[MarkedNIC, ...] | None = None) -> tuple[ET.Element, Mark]:
    """A running domain with these NICs, each with its device."""
    domain = ET.Element("domain")
    devices = ET.SubElement(domain, "devices")
    for nic, device in nics_of:
        item = nics.build(nic, filters=True)
        ET.SubElement(item, "target", {"dev": device})
        devices.append(item)
    marked = told if told is not None else tuple(mark.of_nic(nic) for nic, _ in nics_of)
    return domain, Mark(Owner("uid", "shop", "web"), 0, "", nics=marked)


def test_ports_are_those_of_our_nics_on_open_vswitch() -> None:
    linux = replace(NIC, mac=OTHER, attachment=Attachment(NetworkBackend.BRIDGE, "br0"))
    assert list(flows.ports(*live((NIC, "vnet0"), (linux, "vnet1")))) == [flows.Port("ovsbr0", "vnet0", mark.of_nic(NIC))]
    assert list(flows.ports(*live((NIC, "vnet0"), told=()))) == []


@pytest.mark.parametrize("device", ["", "-x", "vnet0 x", "v" * 16, "vnet0\nadd actions=NORMAL"])
def test_a_device_with_a_name_that_means_harm_has_no_port(device: str) -> None:
    assert list(flows.ports(*live((NIC, device)))) == []


def test_a_port_that_could_not_be_made_has_no_number() -> None:
    assert flows.numbers('{"data": [["vnet0", 3], ["broken", -1], ["new", ["set", []]], ["zero", 0]], "headings": []}') == {
        "vnet0": 3
    }


@pytest.mark.parametrize("output", ["", "x", "[]", "{}", '{"data": 1}', '{"data": [[1]]}', "null"])
def test_a_host_that_talks_nonsense(output: str) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        flows.numbers(output)


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("OFPST_AGGREGATE reply (OF1.4) (xid=0x2): packet_count=0 byte_count=0 flow_count=0\n", 0),
        ("NXST_AGGREGATE reply (xid=0x4): packet_count=12 byte_count=720 flow_count=4096\n", 4096),
    ],
)
def test_rules_are_counted(output: str, count: int) -> None:
    assert flows.count(output) == count


@pytest.mark.parametrize("output", ["", "flow_count=", "flow_count=-1", "flow_count=x", "overflow_count=3"])
def test_a_count_that_makes_no_sense(output: str) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        flows.count(output)


@given(NICS, st.integers(1, 65279))
def test_rules_that_lines_set_are_counted(nic: DesiredNIC, number: int) -> None:
    lines = flows.guarded(number, mark.of_nic(nic))
    assert flows.set_by(lines) == len(changed([], lines)), "no two of them have the same match"
    assert flows.set_by([flows.cleared()]) == 0


def ports(**numbers: int) -> str:
    return json.dumps({"data": [[name, number] for name, number in numbers.items()]})


def subject(domain: ET.Element, told: Mark) -> Subject:
    return Subject(None, None, InstanceID("i"), domain, domain, told)


class Host:
    """What libvirt lists: running domains, one of others, and one that goes away meanwhile."""

    def __init__(self, *domains: tuple[ET.Element, Mark]) -> None:
        self.texts = ["<domain/>"]
        for domain, told in domains:
            mark.write(domain, told)
            self.texts.append(ET.tostring(domain, encoding="unicode"))

    def listAllDomains(self, _flags: int) -> list["Host.Domain"]:
        return [Host.Domain(text) for text in [*self.texts, ""]]

    class Domain:
        def __init__(self, text: str) -> None:
            self.text = text

        def XMLDesc(self, _flags: int) -> str:
            if not self.text:
                raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN)
            return self.text


def test_a_vm_s_ports_are_guarded_once_the_host_is_able() -> None:
    shell = FakeShell(ports=ports(vnet0=3))
    switches = Switches(cast(Shell, shell))
    vm = subject(*live((NIC, "vnet0")))
    switches.guard(vm)
    assert shell.ran == []
    switches.able = True
    switches.guard(vm)
    assert shell.rules == {"ovsbr0": flows.guarded(3, mark.of_nic(NIC))}


def test_a_vm_without_such_ports_or_that_is_off_costs_no_command() -> None:
    shell = FakeShell()
    switches = Switches(cast(Shell, shell))
    switches.able = True
    domain, told = live()
    switches.guard(subject(domain, told))
    switches.guard(replace(subject(*live((NIC, "vnet0"))), live=None))
    assert shell.ran == []


def test_a_port_that_is_missing_is_no_guarded_port() -> None:
    switches = Switches(cast(Shell, FakeShell(ports=ports(vnet1=4))))
    switches.able = True
    with pytest.raises(Transient, match="vnet0"):
        switches.guard(subject(*live((NIC, "vnet0"))))


def test_all_are_guarded_afresh_and_what_is_stale_goes() -> None:
    shell = FakeShell(ports=ports(vnet0=3, vnet1=4))
    elsewhere = replace(NIC, mac=OTHER, attachment=Attachment(NetworkBackend.OVS, "ovsbr1"))
    host = Host(live((NIC, "vnet0")), live((elsewhere, "vnet1")), live((replace(NIC, mac="02:00:00:00:0a:03"), "gone")))
    Switches(cast(Shell, shell)).sync(host, ["ovsbr0", "br-ex"])
    assert shell.rules == {
        "ovsbr0": [flows.cleared(), *flows.guarded(3, mark.of_nic(NIC))],
        "ovsbr1": [flows.cleared(), *flows.guarded(4, mark.of_nic(elsewhere))],
        "br-ex": [flows.cleared()],
    }


def test_a_host_without_vms_needs_no_list_of_ports() -> None:
    shell = FakeShell()
    Switches(cast(Shell, shell)).sync(Host(), ["ovsbr0"])
    assert Command.LIST_PORTS not in shell.ran
