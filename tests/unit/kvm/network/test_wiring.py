"""NICs in the air: what libvirt says of them beside what the host has."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given

from drivers.errors import Transient
from drivers.kvm import mark
from drivers.kvm.carrier import Carrier
from drivers.kvm.domain.observe import Key
from drivers.kvm.network import links, wiring
from drivers.kvm.network.links import Link
from drivers.kvm.network.wiring import Plug, Ports
from drivers.types import Attachment, DesiredNIC, InstanceID, NetworkBackend, Segment, Unplugged
from tests.unit.kvm.network.test_flows import NIC, live, ports
from tests.unit.kvm.vms import NICS

I1 = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
BRIDGED = replace(NIC, attachment=Attachment(NetworkBackend.BRIDGE, "br-vlan10"))
MADE = replace(NIC, attachment=Attachment(NetworkBackend.LINUX, uplink="eno2", group="239.1.1.1"))
PLACES = {
    NetworkBackend.OVS: "bridge ovsbr0, vlan-10",
    NetworkBackend.BRIDGE: "bridge br-vlan10",
    NetworkBackend.LINUX: "bridge vireo-b10",
}


def plugs(nic: DesiredNIC, device: str = "vnet0", run: str = "3") -> list[Plug]:
    document, told = live((nic, device))
    document.set("id", run)
    return list(wiring.plugs(I1, document, told))


def plug(nic: DesiredNIC) -> Plug:
    [found] = plugs(nic)
    return found


def there(*found: Link, switches: str = "", plugged: str = "") -> Ports:
    return Ports({link.name: link for link in found}, switches.split(), plugged.split())


def segment() -> tuple[Link, ...]:
    """All that Vireo makes for segment 10, and its uplink."""
    carried = Carrier("eno2", "239.1.1.1")
    return (
        Link("eno2", mtu=1600, up=True, addresses=("192.0.2.1",)),
        Link("vireo-b10", alias="vireo:10", up=True),
        Link("vireo-u10", alias=f"vireo:10:{carried}", master="vireo-b10", up=True),
    )


def told(nic: DesiredNIC, *, missing: bool) -> Unplugged:
    return Unplugged(PLACES[nic.attachment.backend], missing)


CASES = [
    ("a port", NIC, there(switches="ovsbr0", plugged="vnet0"), None),
    ("no port", NIC, there(switches="ovsbr0 br-ex", plugged="vnet1"), told(NIC, missing=False)),
    ("no bridge", NIC, there(switches="br-ex", plugged="vnet1"), told(NIC, missing=True)),
    ("on its bridge", BRIDGED, there(Link("br-vlan10"), Link("vnet0", master="br-vlan10")), None),
    ("on none", BRIDGED, there(Link("br-vlan10"), Link("vnet0")), told(BRIDGED, missing=False)),
    ("on another", BRIDGED, there(Link("br-vlan10"), Link("vnet0", master="br0")), told(BRIDGED, missing=False)),
    ("bridge gone", BRIDGED, there(Link("br0"), Link("vnet0")), told(BRIDGED, missing=True)),
    ("gone itself", BRIDGED, there(Link("br0")), None),
    ("a whole segment", MADE, there(*segment(), Link("vnet0", master="vireo-b10")), None),
    ("not on its bridge", MADE, there(*segment(), Link("vnet0")), told(MADE, missing=False)),
    ("segment gone", MADE, there(segment()[0], Link("vnet0")), told(MADE, missing=False)),
    ("no way out", MADE, there(*segment()[:2], Link("vnet0", master="vireo-b10")), told(MADE, missing=False)),
    ("uplink gone", MADE, there(segment()[1], Link("vnet0", master="vireo-b10")), told(MADE, missing=True)),
    ("somebody's bridge", MADE, there(segment()[0], Link("vireo-b10"), Link("vnet0")), told(MADE, missing=True)),
]


@pytest.mark.parametrize(("nic", "present", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_in_the_air(nic: DesiredNIC, present: Ports, expected: Unplugged | None) -> None:
    assert wiring.astray(plug(nic), present) == expected


def test_a_nic_is_known_by_its_vm_its_run_and_its_device() -> None:
    assert plug(NIC).key == Key(I1, "3", "vnet0")
    assert plugs(NIC, run="4")[0].key != plug(NIC).key, "a name that the host gives again is not that of the same NIC"


def elsewhere(nic: DesiredNIC) -> ET.Element:
    document, _ = live((nic, "vnet0"))
    source = document.find("devices/interface/source")
    assert source is not None
    source.set("bridge", "other")
    return document


def test_what_libvirt_itself_says_is_elsewhere_was_moved() -> None:
    _, marked = live((NIC, "vnet0"))
    assert list(wiring.plugs(I1, elsewhere(NIC), marked)) == []


def test_one_of_an_earlier_version_belongs_where_libvirt_says() -> None:
    """Its mark names no bridge."""
    document = elsewhere(BRIDGED)
    _, marked = live((BRIDGED, "vnet0"), told=(replace(mark.of_nic(BRIDGED), port=""),))
    [found] = wiring.plugs(I1, document, marked)
    assert found.place.bridge == "other"


def test_nics_of_others_are_none_of_ours() -> None:
    document, marked = live((NIC, "vnet0"), told=())
    assert list(wiring.plugs(I1, document, marked)) == []


@pytest.mark.parametrize("device", ["", "-x", "vnet0 x", "v" * 16, "vnet0\nlink delete dev eno2"])
def test_a_device_with_a_name_that_means_harm_is_left_alone(device: str) -> None:
    assert plugs(BRIDGED, device) == []


@given(NICS)
def test_what_is_plugged_in_again_is_no_longer_in_the_air(nic: DesiredNIC) -> None:
    """Whatever was declared: the lines are of plain words, and have the effect."""
    for each in plugs(replace(nic, mac="02:00:00:00:00:01")):
        if each.place.switched:
            assert wiring.astray(each, there(switches=each.place.bridge, plugged=each.device)) is None
            continue
        lines = wiring.plugged(each)
        assert all(line.split(" ") == line.split() and "\n" not in line for line in lines)
        assert lines[0] == f"link set dev vnet0 master {each.place.bridge}"


def test_ports_of_open_vswitch_count_whatever_their_number() -> None:
    output = '{"data": [["vnet0", 3], ["broken", -1], ["new", ["set", []]]], "headings": []}'
    assert wiring.names(output) == {"vnet0", "broken", "new"}
    assert wiring.names(ports(vnet1=1)) == {"vnet1"}


@pytest.mark.parametrize("output", ["", "x", "[]", "{}", '{"data": 1}', '{"data": [[1]]}', "null"])
def test_a_host_that_talks_nonsense(output: str) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        wiring.names(output)


def test_a_segment_that_the_host_has_needs_nothing() -> None:
    """What the cases above count as whole is what the maker of segments counts as whole."""
    present = {link.name: link for link in segment()}
    assert links.raised(10, Carrier("eno2", "239.1.1.1"), present) == []
    assert plug(replace(MADE, segment=Segment(20))).place.bridge == "vireo-b20"
