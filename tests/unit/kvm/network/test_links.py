"""Segments on a host: which lines bring them up and down, and what is never touched."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Conflict, InvalidSpec, Transient
from drivers.kvm.carrier import Carrier
from drivers.kvm.link.shell import Command
from drivers.kvm.network import links
from tests.unit.kvm.network.iproute import FakeShell, interface
from tests.unit.kvm.vms import CARRIERS

VLAN = Carrier("eno2")
VXLAN = Carrier("eno2", "239.1.1.1")
SEGMENTS = st.integers(1, 4094)


def raise_on(shell: FakeShell, segment: int, carrier: Carrier) -> list[str]:
    lines = links.raised(segment, carrier, read(shell))
    if lines:
        shell.run(Command.CHANGE_LINKS, "".join(f"{line}\n" for line in lines))
    return lines


def lower_on(shell: FakeShell, segment: int) -> None:
    for line in links.lowered(segment, read(shell)):
        shell.change(line.split(" "))


def read(shell: FakeShell) -> dict[str, links.Link]:
    return links.read(shell.run(Command.SHOW_LINKS))


@pytest.mark.parametrize(
    ("carrier", "way"),
    [(VLAN, "vlan id 120"), (VXLAN, "vxlan id 120 dstport 4789 group 239.1.1.1 local 192.0.2.1 dev eno2 ttl 4")],
    ids=str,
)
def test_a_segment_is_a_bridge_with_a_way_out(carrier: Carrier, way: str) -> None:
    shell = FakeShell()
    raise_on(shell, 120, carrier)
    bridge, port = shell.links["vireo-b120"], shell.links["vireo-u120"]
    assert bridge["made"].startswith("bridge ")
    assert port["made"] == way
    assert port["master"] == "vireo-b120"
    for link in (bridge, port):
        assert {"UP", "NOARP"} <= set(link["flags"])
        assert link["inet6"] == "none"
        assert link["mtu"] == 1500
    assert raise_on(shell, 120, carrier) == []


@given(SEGMENTS, st.booleans(), st.integers(0, 7))
def test_what_broke_off_anywhere_is_completed_or_refused(segment: int, overlay: bool, breaks_at: int) -> None:
    """An interface without its mark is not known to be ours; only the step right after its making can leave one."""
    carrier = VXLAN if overlay else VLAN
    shell = FakeShell(breaks_at=breaks_at)
    with pytest.raises(Transient):
        raise_on(shell, segment, carrier)
    unmarked = [name for name, link in shell.links.items() if name.startswith("vireo-") and "ifalias" not in link]
    if unmarked:
        with pytest.raises(Conflict, match=f"ip link delete {unmarked[0]}"):
            raise_on(shell, segment, carrier)
        return
    raise_on(shell, segment, carrier)
    assert raise_on(shell, segment, carrier) == []
    lower_on(shell, segment)
    assert set(shell.links) == {"lo", "eno2"}


@given(st.lists(SEGMENTS, min_size=1, max_size=5, unique=True), st.booleans())
def test_segments_come_and_go_without_a_trace(segments: list[int], overlay: bool) -> None:
    shell = FakeShell()
    for segment in segments:
        raise_on(shell, segment, VXLAN if overlay else VLAN)
    assert links.segments(read(shell)) == set(segments)
    for segment in segments:
        lower_on(shell, segment)
    assert set(shell.links) == {"lo", "eno2"}


@pytest.mark.parametrize("name", ["vireo-b120", "vireo-u120"])
@pytest.mark.parametrize("alias", [None, "", "somebody's", "vireo", "vireo:", "vireo:0", "vireo:99999", "vireo:1x"])
def test_what_vireo_did_not_make_stays(name: str, alias: str | None) -> None:
    shell = FakeShell()
    shell.links[name] = interface() | ({} if alias is None else {"ifalias": alias})
    before = json.dumps(shell.links)
    with pytest.raises(Conflict, match=name):
        raise_on(shell, 120, VLAN)
    lower_on(shell, 120)
    assert json.dumps(shell.links) == before
    assert links.segments(read(shell)) == set()


def test_a_segment_with_guests_stays_and_is_not_carried_in_another_way() -> None:
    shell = FakeShell()
    raise_on(shell, 120, VLAN)
    shell.links["vnet0"] = interface(master="vireo-b120")
    lower_on(shell, 120)
    assert {"vireo-b120", "vireo-u120"} <= set(shell.links)
    with pytest.raises(Conflict, match="stop them first"):
        raise_on(shell, 120, VXLAN)
    del shell.links["vnet0"]
    raise_on(shell, 120, VXLAN)
    assert shell.links["vireo-u120"]["made"].startswith("vxlan")


@pytest.mark.parametrize("spoiled", ["gone", "down", "elsewhere"])
def test_what_an_administrator_spoiled_is_mended(spoiled: str) -> None:
    shell = FakeShell()
    raise_on(shell, 120, VLAN)
    whole = json.dumps(shell.links, sort_keys=True)
    shell.links["vnet0"] = interface(master="vireo-b120")
    match spoiled:
        case "gone":
            del shell.links["vireo-u120"]
        case "down":
            shell.links["vireo-u120"]["flags"].remove("UP")
        case "elsewhere":
            del shell.links["vireo-u120"]["master"]
    assert raise_on(shell, 120, VLAN)
    del shell.links["vnet0"]
    assert sorted(json.dumps(shell.links, sort_keys=True)) == sorted(whole)


@pytest.mark.parametrize(
    ("uplink", "carrier", "complaint"),
    [
        (None, VLAN, "no interface eno2"),
        (interface(1499), VLAN, "MTU 1499.*needs 1500"),
        (interface(1549, "192.0.2.1"), VXLAN, "MTU 1549.*needs 1550"),
        (interface(1550), VXLAN, "no IPv4 address"),
    ],
)
def test_an_uplink_that_will_not_do(uplink: dict[str, Any] | None, carrier: Carrier, complaint: str) -> None:
    shell = FakeShell()
    shell.links = {"lo": interface()} | ({"eno2": uplink} if uplink else {})
    with pytest.raises(Transient, match=complaint) as caught:
        raise_on(shell, 120, carrier)
    assert caught.value.reason == ("HypervisorUnavailable" if uplink else "NetworkMissing")
    assert "vireo-b120" not in shell.links


@given(CARRIERS, SEGMENTS)
def test_lines_have_no_word_that_is_more_than_a_word(carrier: Carrier, segment: int) -> None:
    """ip -batch splits at blanks, takes quotes and backslashes as a shell does, and # as a comment."""
    shell = FakeShell(links={carrier.uplink: interface(1600, "192.0.2.1")})
    lines = raise_on(shell, segment, carrier)
    lines += links.lowered(segment, read(shell))
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.:-]+( [A-Za-z0-9_.:-]+)*", line)] == []


@pytest.mark.parametrize("segment", [-1, 0, 4095, 10**9])
def test_no_such_segment(segment: int) -> None:
    with pytest.raises(InvalidSpec, match="VLAN"):
        links.raised(segment, VLAN, {})


@pytest.mark.parametrize(
    "output", ["x", "{}", "[1]", '[{"ifname": "a"}]', '[{"ifname": "a", "mtu": "x", "flags": []}]', "[null]", "{"]
)
def test_a_host_that_talks_nonsense(output: str) -> None:
    if output == "{}":
        assert links.read(output) == {}
        return
    with pytest.raises(Transient, match="cannot be read"):
        links.read(output)
