"""The address guard: what a guest may send, enforced by libvirt's network filters on its port of a Linux bridge. Pure.

A NIC with an address may send ARP and IPv4 from its own MAC and IPv4 address, and nothing else: no IPv6, no VLAN tags, no DHCP, as
its address comes with cloud-init. A NIC without one (its network gives addresses itself, or none) may send anything from its own
MAC. The rules are two filters of the host that all NICs share, with MAC and IP as parameters, after libvirt's `clean-traffic`
(https://libvirt.org/formatnwfilter.html). Ports of Open vSwitch never pass the hooks that these use:
see `drivers.kvm.network.flows`.
"""

from __future__ import annotations

import copy
import ipaddress
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from drivers.errors import InvalidSpec
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.xmltext import add

_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://vireo.dev/libvirt/nwfilter/1")
_OUT = "out"  # libvirt's word for what comes out of the guest


@dataclass(frozen=True, slots=True)
class Rule:
    """What a filter does with frames from the guest that match: `protocol` is an element of libvirt's, "" matches every frame."""

    action: str
    protocol: str = ""
    match: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of the host; its name ends in the version of its rules, so that hosts can have several."""

    name: str
    rules: tuple[Rule, ...]

    @property
    def uuid(self) -> str:
        """The same on every host: a filter of that name with another one is not ours."""
        return str(uuid.uuid5(_SPACE, self.name))


_OWN_MAC = Rule("drop", "mac", (("match", "no"), ("srcmacaddr", "$MAC")))
MAC_FILTER = Filter(
    "vireo-mac-1",
    (
        _OWN_MAC,
        Rule("drop", "arp", (("match", "no"), ("arpsrcmacaddr", "$MAC"))),
        Rule("drop", "rarp", (("match", "no"), ("arpsrcmacaddr", "$MAC"))),
    ),
)
ADDRESS_FILTER = Filter(
    "vireo-address-1",
    (
        _OWN_MAC,
        Rule("accept", "arp", (("arpsrcmacaddr", "$MAC"), ("arpsrcipaddr", "$IP"))),
        Rule("accept", "ip", (("srcipaddr", "$IP"),)),
        Rule("drop"),
    ),
)
FILTERS = (MAC_FILTER, ADDRESS_FILTER)


def document(described: Filter) -> ET.Element:
    """The filter as libvirt wants it; rules count in their order."""
    root = ET.Element("filter", {"name": described.name, "chain": "root"})
    add(root, "uuid", text=described.uuid)
    for number, rule in enumerate(described.rules):
        item = add(root, "rule", {"action": rule.action, "direction": _OUT, "priority": str(100 + number)})
        if rule.protocol:
            add(item, rule.protocol, dict(rule.match))
    return root


def reference(ip: str) -> ET.Element:
    """What guards an interface, inside it; libvirt fills in its MAC itself. Raises InvalidSpec for what is no IPv4 address."""
    item = ET.Element("filterref", {"filter": (ADDRESS_FILTER if ip else MAC_FILTER).name})
    if ip:
        add(item, "parameter", {"name": "IP", "value": address(ip)})
    return item


def guardable(interface: ET.Element) -> bool:
    """Whether filters have an effect on the interface: a port of a Linux bridge."""
    return interface.get("type") == "bridge" and interface.find("virtualport") is None


def guarded(interface: ET.Element, nic: MarkedNIC) -> ET.Element | None:
    """The interface with the guard that its NIC must have; None if it has that, or can't have one."""
    wanted = reference(nic.ip)
    present = interface.findall("filterref")
    if not guardable(interface) or [_told(item) for item in present] == [_told(wanted)]:
        return None
    changed = copy.deepcopy(interface)
    for item in changed.findall("filterref"):
        changed.remove(item)
    changed.append(wanted)
    return changed


def _told(item: ET.Element) -> tuple[str, list[tuple[str, str]]]:
    parameters = [(each.get("name", ""), each.get("value", "")) for each in item.iterfind("parameter")]
    return item.get("filter", ""), sorted(each for each in parameters if each[0] != "MAC")


def address(ip: str) -> str:
    """`ip` if it is an IPv4 address. Raises InvalidSpec."""
    try:
        return str(ipaddress.IPv4Address(ip))
    except ValueError:
        raise InvalidSpec(f"{ip[:40]!r} is not an IPv4 address that a NIC could be held to") from None
