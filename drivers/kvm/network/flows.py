"""The address guard on ports of Open vSwitch, as OpenFlow rules of the bridge: what `drivers.kvm.domain.guard` is elsewhere. Pure.

Rules are known by their cookie and the number of their port. They come before the bridge's own: what passes is switched as the
action NORMAL does, within the port's VLAN (https://docs.openvswitch.org/, ovs-fields(7) and ovs-ofctl(8)).
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from drivers.errors import Transient
from drivers.kvm.domain import guard
from drivers.kvm.domain.observe import mac
from drivers.kvm.mark import Mark, MarkedNIC
from drivers.kvm.names import COOKIE, INTERFACE

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ADD = "add "
_COUNT = re.compile(r"\bflow_count=([0-9]+)\b")


class Port(NamedTuple):
    """A NIC's port on an Open vSwitch bridge while its VM runs; `device` is the host's name for it."""

    bridge: str
    device: str
    nic: MarkedNIC


def ports(live: ET.Element, mark: Mark) -> Iterator[Port]:
    """Of a running domain's document: the ports of its NICs that we made."""
    marked = {nic.mac: nic for nic in mark.nics}
    for item in live.iterfind("devices/interface"):
        source, target = item.find("source"), item.find("target")
        nic = marked.get(mac(item))
        if nic is None or source is None or target is None or item.find("virtualport[@type='openvswitch']") is None:
            continue
        bridge, device = source.get("bridge", ""), target.get("dev", "")
        if INTERFACE.fullmatch(bridge) and INTERFACE.fullmatch(device) and _MAC.fullmatch(nic.mac):
            yield Port(bridge, device, nic)


def numbers(output: str) -> dict[str, int]:
    """OpenFlow port numbers by device, of `ovs-vsctl --format=json --columns=name,ofport list Interface`.

    Raises Transient for what is no such table. A port that could not be made has none, and is left out.
    """
    try:
        rows = json.loads(output)["data"]
        return {str(name): number for name, number in rows if isinstance(number, int) and number > 0}
    except (ValueError, TypeError, KeyError):
        raise Transient("the host's list of Open vSwitch ports cannot be read") from None


def set_by(lines: Iterable[str]) -> int:
    """How many rules these lines set."""
    return sum(line.startswith(_ADD) for line in lines)


def count(output: str) -> int:
    """How many rules of ours a bridge has, of `ovs-ofctl dump-aggregate`. Raises Transient for what does not say so."""
    found = _COUNT.search(output)
    if found is None:
        raise Transient("how many rules a bridge of Open vSwitch has cannot be read")
    return int(found[1])


def cleared() -> str:
    """The line that removes all rules of ours."""
    return f"delete cookie={COOKIE}/-1"


def freed(number: int) -> str:
    """The line that removes rules of ours from the number of a port."""
    return f"delete cookie={COOKIE}/-1,in_port={number}"


def guarded(number: int, nic: MarkedNIC) -> list[str]:
    """Lines after which only what the NIC may send comes in at the port. Raises InvalidSpec for an address that is none."""
    own = f"dl_src={nic.mac}"
    arp = f"{own},arp,arp_sha={nic.mac}"
    if nic.ip:
        address = guard.address(nic.ip)
        passing = [f"{arp},arp_spa={address}", f"{own},ip,nw_src={address}"]
        stopped = [""]
    else:
        passing = [arp, f"{own},rarp,arp_sha={nic.mac}"]
        stopped = [",arp", ",rarp"]
    lines = [freed(number)]
    lines += [_rule(50020, number, f",{match}", "NORMAL") for match in passing]
    lines += [_rule(50010, number, match, "drop") for match in stopped]
    if not nic.ip:
        lines += [_rule(50005, number, f",{own}", "NORMAL"), _rule(50000, number, "", "drop")]
    return lines


def _rule(priority: int, number: int, match: str, action: str) -> str:
    return f"{_ADD}cookie={COOKIE},priority={priority},in_port={number}{match},actions={action}"
