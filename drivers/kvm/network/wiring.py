"""Whether the NICs of running VMs are plugged in on their host: what libvirt says beside what the host has. Pure.

libvirt keeps a NIC's bridge in the document of a running VM, whatever becomes of that bridge, or of the NIC's port there.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from drivers.errors import DriverError, Transient
from drivers.kvm import carrier
from drivers.kvm.domain import port
from drivers.kvm.domain.observe import Key, key, mac
from drivers.kvm.domain.port import Port
from drivers.kvm.mark import Mark, MarkedNIC
from drivers.kvm.names import INTERFACE
from drivers.kvm.network import links
from drivers.kvm.network.links import Link
from drivers.types import InstanceID, Unplugged


class Plug(NamedTuple):
    """A NIC of a running VM, where it was made: `device` is the host's name for it."""

    key: Key
    device: str
    place: Port
    nic: MarkedNIC


@dataclass(frozen=True, slots=True)
class Ports:
    """What a host has: `links` are its interfaces, `switches` the bridges of its Open vSwitch, `plugged` what has a port there."""

    links: Mapping[str, Link]
    switches: Collection[str]
    plugged: Collection[str]


def plugs(instance: InstanceID, live: ET.Element, mark: Mark) -> Iterator[Plug]:
    """NICs that we made, of the document that a VM runs with. One that is elsewhere by libvirt's own word is told of as moved."""
    marked = {nic.mac: nic for nic in mark.nics}
    for item in live.iterfind("devices/interface[@type='bridge']"):
        nic, now = marked.get(mac(item)), port.read(item)
        if nic is None or now is None or now != (port.made(nic) or now):
            continue
        found = key(instance, live, item)
        if INTERFACE.fullmatch(found.device) and INTERFACE.fullmatch(now.bridge):
            yield Plug(found, found.device, now, nic)


def astray(plug: Plug, there: Ports) -> Unplugged | None:
    """Whether a NIC is plugged in to nothing, or not where libvirt says. An interface that is gone itself can't be plugged in."""
    if plug.place.switched:
        lost = plug.device not in there.plugged
        return Unplugged(str(plug.place), plug.place.bridge not in there.switches) if lost else None
    link = there.links.get(plug.device)
    if link is None:
        return None
    if plug.nic.carrier:
        return _off_segment(plug, link, there.links)
    missing = plug.place.bridge not in there.links
    return Unplugged(str(plug.place), missing) if missing or link.master != plug.place.bridge else None


def _off_segment(plug: Plug, link: Link, present: Mapping[str, Link]) -> Unplugged | None:
    """A segment that Vireo makes is not all there, or the NIC is not on its bridge. It can be made unless it lacks its uplink."""
    with suppress(DriverError):
        lines = links.raised(plug.nic.segment.vlan or 0, carrier.read(plug.nic.carrier), present)
        return Unplugged(str(plug.place), missing=False) if lines or link.master != plug.place.bridge else None
    return Unplugged(str(plug.place), missing=True)


def names(output: str) -> frozenset[str]:
    """Devices with a port, of `ovs-vsctl --format=json --columns=name,ofport list Interface`. Raises Transient for other text."""
    try:
        return frozenset(str(name) for name, _number in json.loads(output)["data"])
    except (ValueError, TypeError, KeyError):
        raise Transient("the host's list of Open vSwitch ports cannot be read") from None


def plugged(plug: Plug) -> list[str]:
    """Lines that make an interface a port of its Linux bridge."""
    return [f"link set dev {plug.device} master {plug.place.bridge}", f"link set dev {plug.device} up"]
