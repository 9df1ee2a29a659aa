"""What a guest may send: the filters, and which interface has which."""

import ipaddress
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm import mark
from drivers.kvm.domain import guard, nics
from drivers.types import Attachment, DesiredNIC, NetworkBackend, Segment
from tests.unit.kvm.vms import NICS

NIC = DesiredNIC("eth0", "02:00:00:00:00:01", "shop/front", Segment(10), Attachment(NetworkBackend.BRIDGE, "br-vlan10"), "10.0.0.5")


def reference(nic: DesiredNIC) -> tuple[str, dict[str, str]] | None:
    item = nics.build(nic, filters=True).find("filterref")
    if item is None:
        return None
    return item.get("filter", ""), {each.get("name", ""): each.get("value", "") for each in item}


def test_a_nic_with_an_address_is_held_to_it() -> None:
    assert reference(NIC) == (guard.ADDRESS_FILTER.name, {"IP": "10.0.0.5"})


def test_a_nic_without_an_address_is_held_to_its_mac() -> None:
    assert reference(replace(NIC, ip="")) == (guard.MAC_FILTER.name, {})


def test_ports_of_open_vswitch_pass_no_filter_so_they_claim_none() -> None:
    assert reference(replace(NIC, attachment=Attachment(NetworkBackend.OVS, "ovsbr0"))) is None


def test_a_host_without_filters_gets_none() -> None:
    assert nics.build(NIC, filters=False).find("filterref") is None


@pytest.mark.parametrize(
    "ip", ["10.0.0", "10.0.0.5/24", "10.0.0.5,10.0.0.6", "fe80::1", "$MAC", "0.0.0.0'/><x", "١.2.3.4", "10.0.0.05"]
)
def test_what_is_no_address_is_refused(ip: str) -> None:
    with pytest.raises(InvalidSpec, match="IPv4"):
        nics.build(replace(NIC, ip=ip), filters=True)


@given(NICS, NICS)
def test_an_interface_gets_the_guard_of_its_mark_once(old: DesiredNIC, new: DesiredNIC) -> None:
    """Whatever it was made with; nothing else of it changes."""
    item = nics.build(old, filters=True)
    changed = guard.guarded(item, mark.of_nic(new))
    if changed is None:
        wanted = new.ip == old.ip or not guard.guardable(item)
        assert wanted
        return
    assert guard.guardable(item)
    assert guard.guarded(changed, mark.of_nic(new)) is None
    assert [ET.tostring(each) for each in changed if each.tag != "filterref"] == [
        ET.tostring(each) for each in item if each.tag != "filterref"
    ]
    assert len(changed.findall("filterref")) == 1


def test_what_libvirt_adds_to_a_reference_is_no_difference() -> None:
    """It writes the MAC out, which it found itself."""
    item = nics.build(NIC, filters=True)
    ET.SubElement(item.find("filterref"), "parameter", {"name": "MAC", "value": NIC.mac})  # type: ignore[arg-type]
    assert guard.guarded(item, mark.of_nic(NIC)) is None


@pytest.mark.parametrize("described", guard.FILTERS, ids=lambda each: each.name)
def test_rules_count_in_their_order_and_only_for_what_guests_send(described: guard.Filter) -> None:
    rules = guard.document(described).findall("rule")
    priorities = [int(rule.get("priority", "")) for rule in rules]
    assert priorities == sorted(set(priorities))
    assert {rule.get("direction") for rule in rules} == {"out"}


Frame = dict[str, str]
FRAMES: list[tuple[str, Frame, bool, bool]] = [
    ("IPv4 from its own", {"is": "ip", "from": "own", "ip": "own"}, True, True),
    ("IPv4 with another's address", {"is": "ip", "from": "own", "ip": "other"}, False, True),
    ("IPv4 with another's MAC", {"is": "ip", "from": "other", "ip": "own"}, False, False),
    ("ARP of its own", {"is": "arp", "from": "own", "says": "own", "ip": "own"}, True, True),
    ("ARP for another's address", {"is": "arp", "from": "own", "says": "own", "ip": "other"}, False, True),
    ("ARP with another's MAC inside", {"is": "arp", "from": "own", "says": "other", "ip": "own"}, False, False),
    ("reverse ARP of another", {"is": "rarp", "from": "own", "says": "other", "ip": "own"}, False, False),
    ("IPv6", {"is": "ipv6", "from": "own"}, False, True),
    ("a VLAN tag", {"is": "vlan", "from": "own"}, False, True),
]
"""Frames, and whether they pass with an address and without."""


@pytest.mark.parametrize(("what", "frame", "addressed", "bare"), FRAMES, ids=[each[0] for each in FRAMES])
def test_what_passes(what: str, frame: Frame, addressed: bool, bare: bool) -> None:
    assert passes(guard.ADDRESS_FILTER, frame) is addressed
    assert passes(guard.MAC_FILTER, frame) is bare


def passes(described: guard.Filter, frame: Frame) -> bool:
    """The first rule that matches decides, as in ebtables; a frame that none matches passes."""
    for rule in described.rules:
        if rule.protocol in ("", "mac", frame["is"]) and _matches(dict(rule.match), frame):
            return rule.action == "accept"
    return True


def _matches(match: dict[str, str], frame: Frame) -> bool:
    fields = {"srcmacaddr": "from", "arpsrcmacaddr": "says", "arpsrcipaddr": "ip", "srcipaddr": "ip"}
    found = all(frame[fields[key]] == "own" for key in match if key != "match")
    return found is (match.get("match") != "no")


@given(st.ip_addresses(v=4))
def test_every_address_is_named_as_it_is(address: ipaddress.IPv4Address) -> None:
    [parameter] = guard.reference(str(address))
    assert parameter.attrib == {"name": "IP", "value": str(address)}
