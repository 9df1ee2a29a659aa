"""Where a NIC is plugged in: a bridge of its host, and on Open vSwitch the VLAN tag of its port. Pure.

The owner mark says where a NIC was made, as `ovs:BRIDGE` or `bridge:BRIDGE`, and by its carrier where Vireo makes the segment.
Where it is, libvirt says (https://libvirt.org/formatdomain.html#network-interfaces). What is done past libvirt, with `ovs-vsctl`
or `ip link`, is not seen.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass, replace

from drivers.errors import InvalidSpec
from drivers.kvm import names
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.xmltext import add
from drivers.types import Moved, NetworkBackend, Segment

_LONGEST, _MOST_TAGS = 64, 8
_OVS = "openvswitch"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a bridge, "" for none. `tags` are VLAN ids as libvirt has them; a `trunk` carries them to the guest."""

    bridge: str
    switched: bool = False
    tags: tuple[str, ...] = ()
    trunk: bool = False

    def __str__(self) -> str:
        name = f"bridge {self.bridge[:_LONGEST]}" if self.bridge else "no bridge"
        if not self.switched:
            return name
        listed = " and ".join(f"vlan-{tag[:_LONGEST]}" for tag in self.tags[:_MOST_TAGS]) or str(Segment())
        return f"{name}, {'trunk of ' if self.trunk else ''}{listed}"


def made(nic: MarkedNIC) -> Port | None:
    """Where a NIC was made; None if its mark does not say, as those of earlier versions don't."""
    if nic.carrier:
        with suppress(InvalidSpec):
            return Port(names.bridge(nic.segment.vlan or 0))
    backend, _, bridge = nic.port.partition(":")
    if backend == NetworkBackend.OVS.value.lower():
        return Port(bridge, switched=True, tags=_tags(nic.segment))
    return Port(bridge) if backend == NetworkBackend.BRIDGE.value.lower() else None


def read(interface: ET.Element) -> Port | None:
    """Where an interface is; None if libvirt does not say, as of a network of its own while nothing runs there."""
    source = interface.find("source")
    bridge = source.get("bridge", "") if source is not None else ""
    if not bridge and interface.get("type") == "network":
        return None
    if interface.find(f"virtualport[@type='{_OVS}']") is None:
        return Port(bridge)
    tags = tuple(tag.get("id", "") for tag in interface.iterfind("vlan/tag"))
    trunk = len(tags) > 1 or interface.find("vlan[@trunk='yes']") is not None
    return Port(bridge, switched=True, tags=tags, trunk=trunk)


def segment(interface: ET.Element) -> Segment:
    """The VLAN of a port of Open vSwitch; untagged for a trunk too, and for other ports, which have no tags."""
    there = read(interface)
    if there is None or there.trunk or len(there.tags) != 1 or not there.tags[0].isdecimal():
        return Segment()
    return Segment(int(there.tags[0]))


def moved(interface: ET.Element, next_start: ET.Element | None, nic: MarkedNIC) -> Moved | None:
    """Whether a NIC is elsewhere than it was made, or will be at the next start. Where its mark knows no bridge, its tag counts."""
    for item in (interface, next_start):
        now = None if item is None else read(item)
        was = made(nic) or (replace(now, tags=_tags(nic.segment)) if now and now.switched else None)
        if now and was and now != was:
            return Moved(str(was), str(now))
    return None


def may_stay(interface: ET.Element, wanted: Port) -> bool:
    """Whether a running guest keeps the NIC while it is plugged in there: libvirt can do it for all but bridges of Open vSwitch."""
    now = read(interface)
    if now is None or interface.get("type") != "bridge" or now.switched != wanted.switched:
        return False
    return not wanted.switched or now.bridge == wanted.bridge


def plugged(interface: ET.Element, wanted: Port) -> ET.Element:
    """The interface as it is but there."""
    changed = copy.deepcopy(interface)
    changed.set("type", "bridge")
    switched = changed.find(f"virtualport[@type='{_OVS}']") is not None
    gone = ["source", "vlan"] if switched and wanted.switched else ["source", "vlan", "virtualport", "filterref"]
    for item in [item for item in changed if item.tag in gone]:
        changed.remove(item)
    add(changed, "source", {"bridge": wanted.bridge})
    if wanted.switched and not switched:
        add(changed, "virtualport", {"type": _OVS})
    if wanted.tags:
        vlan = add(changed, "vlan")
        for tag in wanted.tags:
            add(vlan, "tag", {"id": tag})
    return changed


def _tags(segment: Segment) -> tuple[str, ...]:
    return () if segment.vlan is None else (str(segment.vlan),)
