"""Where NICs are plugged in: as the mark says, as libvirt says, and the way back."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt
import pytest
from hypothesis import given, settings

from drivers.kvm import mark
from drivers.kvm.domain import nics, port
from drivers.kvm.domain.build import build
from drivers.kvm.domain.found import found
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.domain.port import Port
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.xmltext import parse, render
from drivers.types import Attachment, DesiredNIC, HostID, Moved, NetworkBackend, Segment
from tests.unit.kvm.domain.test_build import BRIDGE, NIC, VM
from tests.unit.kvm.fakes import HOST
from tests.unit.kvm.vms import NICS

LINUX = Attachment(NetworkBackend.LINUX, uplink="eno2")
ON_OVS, ON_BRIDGE, ON_LINUX = NIC, replace(NIC, attachment=BRIDGE), replace(NIC, attachment=LINUX)
UNTAGGED = replace(NIC, segment=Segment())
ON = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)
OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN)


def interface(inside: str, kind: str = "bridge") -> ET.Element:
    return parse(f"<interface type='{kind}'><mac address='{NIC.mac}'/>{inside}</interface>")


def switched(bridge: str, *tags: str, trunk: str = "") -> ET.Element:
    listed = "".join(f"<tag id='{tag}'/>" for tag in tags)
    return interface(f"<source bridge='{bridge}'/><virtualport type='openvswitch'/><vlan{trunk}>{listed}</vlan>")


def bridged(bridge: str) -> ET.Element:
    return interface(f"<source bridge='{bridge}'/>")


READ = [
    (switched("ovsbr0", "10"), Port("ovsbr0", switched=True, tags=("10",)), "bridge ovsbr0, vlan-10"),
    (switched("ovsbr0"), Port("ovsbr0", switched=True), "bridge ovsbr0, untagged"),
    (
        switched("ovsbr0", "10", "20"),
        Port("ovsbr0", switched=True, tags=("10", "20"), trunk=True),
        "bridge ovsbr0, trunk of vlan-10 and vlan-20",
    ),
    (
        switched("ovsbr0", "10", trunk=" trunk='yes'"),
        Port("ovsbr0", switched=True, tags=("10",), trunk=True),
        "bridge ovsbr0, trunk of vlan-10",
    ),
    (bridged("br-vlan10"), Port("br-vlan10"), "bridge br-vlan10"),
    (interface("<source network='default' bridge='virbr0'/>", "network"), Port("virbr0"), "bridge virbr0"),
    (interface("<source dev='eth0' mode='vepa'/>", "direct"), Port(""), "no bridge"),
    (interface("", "user"), Port(""), "no bridge"),
    (bridged("x" * 5000), Port("x" * 5000), f"bridge {'x' * 64}"),
]


@pytest.mark.parametrize(("item", "expected", "words"), READ, ids=[words for *_, words in READ])
def test_what_libvirt_says(item: ET.Element, expected: Port, words: str) -> None:
    seen = port.read(item)
    assert (seen, str(seen)) == (expected, words)


def test_a_network_of_libvirt_s_own_says_no_bridge_while_nothing_runs() -> None:
    assert port.read(interface("<source network='default'/>", "network")) is None


@settings(deadline=None, max_examples=200)
@given(NICS)
def test_a_nic_is_where_it_was_made_and_its_mark_says_so(nic: DesiredNIC) -> None:
    made = nics.build(nic, filters=True)
    known = mark.of_nic(nic)
    assert port.read(made) == port.made(known)
    assert port.moved(made, made, known) is None
    assert port.segment(made) == (nic.segment if nic.attachment.backend is NetworkBackend.OVS else Segment())


MADE = [
    (mark.of_nic(ON_OVS), Port("ovsbr0", switched=True, tags=("10",))),
    (mark.of_nic(UNTAGGED), Port("ovsbr0", switched=True)),
    (mark.of_nic(ON_BRIDGE), Port("br-vlan10")),
    (mark.of_nic(ON_LINUX), Port("vireo-b10")),
    (replace(mark.of_nic(ON_OVS), port=""), None),
    (replace(mark.of_nic(ON_BRIDGE), port="nonsense"), None),
    (replace(mark.of_nic(ON_LINUX), segment=Segment(99999)), None),
    (replace(mark.of_nic(ON_LINUX), segment=Segment()), None),
]


@pytest.mark.parametrize(("known", "expected"), MADE)
def test_what_the_mark_says(known: MarkedNIC, expected: Port | None) -> None:
    assert port.made(known) == expected


MOVES = [
    (ON_OVS, switched("ovsbr0", "20"), "on bridge ovsbr0, vlan-20 instead of bridge ovsbr0, vlan-10"),
    (ON_OVS, switched("ovsbr1", "10"), "on bridge ovsbr1, vlan-10 instead of bridge ovsbr0, vlan-10"),
    (ON_OVS, switched("ovsbr0"), "on bridge ovsbr0, untagged instead of bridge ovsbr0, vlan-10"),
    (ON_OVS, switched("ovsbr0", "10", "20"), "on bridge ovsbr0, trunk of vlan-10 and vlan-20 instead of bridge ovsbr0, vlan-10"),
    (UNTAGGED, switched("ovsbr0", "20"), "on bridge ovsbr0, vlan-20 instead of bridge ovsbr0, untagged"),
    (ON_OVS, bridged("br-vlan10"), "on bridge br-vlan10 instead of bridge ovsbr0, vlan-10"),
    (ON_BRIDGE, bridged("br-vlan20"), "on bridge br-vlan20 instead of bridge br-vlan10"),
    (ON_BRIDGE, interface("<source dev='eth0'/>", "direct"), "on no bridge instead of bridge br-vlan10"),
    (ON_LINUX, bridged("vireo-b20"), "on bridge vireo-b20 instead of bridge vireo-b10"),
]
moves = pytest.mark.parametrize(("nic", "there", "words"), MOVES, ids=[words for *_, words in MOVES])


@moves
def test_a_nic_that_is_elsewhere_was_moved(nic: DesiredNIC, there: ET.Element, words: str) -> None:
    made, known = nics.build(nic, filters=True), mark.of_nic(nic)
    for now, later in ((there, there), (there, made), (made, there), (there, None)):
        assert str(port.moved(now, later, known)) == words


OLDER = [
    (ON_OVS, switched("other", "10"), None),
    (ON_OVS, switched("ovsbr0", "20"), Moved("bridge ovsbr0, vlan-10", "bridge ovsbr0, vlan-20")),
    (ON_OVS, switched("ovsbr0", "10", trunk=" trunk='yes'"), None),
    (ON_OVS, bridged("br-vlan20"), None),
    (ON_BRIDGE, bridged("br-vlan20"), None),
    (ON_BRIDGE, interface("<source network='default'/>", "network"), None),
    (ON_LINUX, bridged("vireo-b20"), Moved("bridge vireo-b10", "bridge vireo-b20")),
]


@pytest.mark.parametrize(("nic", "there", "expected"), OLDER)
def test_of_a_vm_of_an_earlier_version_only_what_its_mark_knows_counts(
    nic: DesiredNIC, there: ET.Element, expected: Moved | None
) -> None:
    """Those marks name no bridge, and the Cluster may name another one by now."""
    known, made = replace(mark.of_nic(nic), port=""), nics.build(nic, filters=True)
    assert port.moved(made, made, known) is None
    assert port.moved(there, there, known) == expected


@moves
def test_the_way_back_leads_to_where_it_was_made(nic: DesiredNIC, there: ET.Element, words: str) -> None:
    known = mark.of_nic(nic)
    wanted = port.made(known)
    assert wanted is not None
    before = render(there)
    back = port.plugged(there, wanted)
    assert port.moved(back, back, known) is None
    assert render(there) == before
    assert [item.tag for item in back if item.tag in ("mac", "source")] == ["mac", "source"]
    assert back.get("type") == "bridge"


def test_a_port_of_open_vswitch_keeps_its_identity_on_the_way_back() -> None:
    there = interface(
        "<source bridge='ovsbr0'/><vlan><tag id='20'/></vlan><target dev='vnet3'/><alias name='net0'/>"
        "<virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>"
    )
    back = port.plugged(there, Port("ovsbr0", switched=True, tags=("10",)))
    assert back.find("virtualport/parameters[@interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f']") is not None
    assert [tag.attrib for tag in back.iterfind("vlan/tag")] == [{"id": "10"}]
    assert (back.find("alias") is not None, back.find("target") is not None) == (True, True)


def test_a_filter_of_a_linux_bridge_does_not_go_to_open_vswitch() -> None:
    there = interface("<source bridge='br0'/><filterref filter='vireo-mac-1'/>")
    assert port.plugged(there, Port("ovsbr0", switched=True)).find("filterref") is None


STAYS = [
    (switched("ovsbr0", "20"), Port("ovsbr0", switched=True, tags=("10",)), True),
    (switched("ovsbr1", "10"), Port("ovsbr0", switched=True, tags=("10",)), False),
    (bridged("br-vlan20"), Port("br-vlan10"), True),
    (bridged("br-vlan20"), Port("ovsbr0", switched=True), False),
    (switched("ovsbr0", "10"), Port("br-vlan10"), False),
    (interface("<source network='default' bridge='virbr0'/>", "network"), Port("br-vlan10"), False),
    (interface("<source network='default'/>", "network"), Port("br-vlan10"), False),
]


@pytest.mark.parametrize(("there", "wanted", "stays"), STAYS)
def test_whether_a_guest_keeps_it_meanwhile(there: ET.Element, wanted: Port, stays: bool) -> None:
    assert port.may_stay(there, wanted) is stays


def test_the_whole_vm_tells_of_it_in_what_runs_and_in_the_next_start() -> None:
    made, elsewhere = build(VM, HOST), build(VM, HOST)
    tag = elsewhere.find("devices/interface/vlan/tag")
    assert tag is not None
    tag.set("id", "20")
    both = Moved("bridge ovsbr0, vlan-10", "bridge ovsbr0, vlan-20")
    cases = [((made, made, *ON), None), ((made, elsewhere, *ON), both), ((elsewhere, made, *ON), both), ((made, None, *OFF), None)]
    for documents, expected in cases:
        seen = observe(Documents(*documents), HostID("h1"))
        assert seen is not None
        assert [(nic.segment, nic.moved) for nic in seen.nics] == [(Segment(10), expected)]


@pytest.mark.parametrize(
    ("bridge", "expected"), [("vireo-b10", LINUX), ("vireo-b20", Attachment(NetworkBackend.BRIDGE, "vireo-b20"))]
)
def test_a_vm_that_lost_its_object_is_found_where_its_nic_is(bridge: str, expected: Attachment) -> None:
    root = build(replace(VM, nics=(ON_LINUX,)), HOST)
    source = root.find("devices/interface/source")
    assert source is not None
    source.set("bridge", bridge)
    [seen] = found(Documents(root, None, *OFF), HostID("h1"), {}, 0).nics
    assert seen.attachment == expected
