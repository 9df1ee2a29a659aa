"""Segments that Vireo makes on a host: a bridge for each, with one port that carries it to other hosts. Pure.

From what `ip -json -details address show` tells, to the lines for `ip -batch` that are still needed. Every interface made here has
an alias that begins with `vireo:`; one without it is never changed, whatever its name.

    vireo-b120   bridge of segment 120; the host has no address on it and does not answer there
    vireo-u120   its way out: VLAN 120 on the uplink, or VXLAN 120 in a multicast group over the uplink
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.errors import Conflict, NetworkMissing, Transient
from drivers.kvm import names
from drivers.kvm.carrier import Carrier

GUEST_MTU = 1500
VXLAN_OVERHEAD = 50
"""Bytes around a guest's packet: Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)."""
VXLAN_PORT = 4789

_OWN = re.compile(r"vireo:([1-9][0-9]{0,3})(?::(.+))?")


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of the host. `master` is the bridge that it is a port of; `addresses` are IPv4."""

    name: str
    alias: str = ""
    master: str = ""
    mtu: int = GUEST_MTU
    up: bool = False
    addresses: tuple[str, ...] = ()


def read(output: str) -> dict[str, Link]:
    """The host's interfaces by name. Raises Transient for what is no such list."""
    try:
        return {item["ifname"]: _link(item) for item in json.loads(output or "[]")}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Transient("the host's list of interfaces cannot be read") from None


def segments(links: Mapping[str, Link]) -> frozenset[int]:
    """Segments that Vireo made something for on the host."""
    aliases = (_OWN.fullmatch(link.alias) for link in links.values())
    return frozenset(int(found[1]) for found in aliases if found)


def raised(segment: int, wanted: Carrier, links: Mapping[str, Link]) -> list[str]:
    """Lines that bring the segment up on the host; none if it is.

    Raises NetworkMissing while the uplink is not there, Transient while it is not fit, Conflict if an interface of others has one
    of the names, or if the segment has guests and is carried in another way.
    """
    lines: list[str] = []
    over, out = links.get(names.bridge(segment)), links.get(names.port(segment))
    _require_own(over, out)
    if out is not None and out.alias != _mark(segment, wanted):
        _require_idle(segment, links)
        lines.append(f"link delete dev {names.port(segment)}")
        out = None
    if over is None:
        lines += _bridge(segment)
    if out is None:
        lines += _port(segment, wanted, links)
    if over is None or out is None or out.master != names.bridge(segment):
        lines.append(f"link set dev {names.port(segment)} master {names.bridge(segment)}")
    needs_up = ((names.port(segment), out), (names.bridge(segment), over))
    return lines + [f"link set dev {name} up" for name, link in needs_up if link is None or not link.up]


def lowered(segment: int, links: Mapping[str, Link]) -> list[str]:
    """Lines that remove what Vireo made for the segment; none while anything else is a port of its bridge."""
    if _guests(segment, links):
        return []
    ours = (links.get(name) for name in (names.port(segment), names.bridge(segment)))
    return [f"link delete dev {link.name}" for link in ours if link is not None and _OWN.fullmatch(link.alias)]


def _bridge(segment: int) -> Iterator[str]:
    """Without ARP and link-local address: the host is not to be reached from a guest network."""
    name = names.bridge(segment)
    yield f"link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    yield f"link set dev {name} alias vireo:{segment}"
    yield f"link set dev {name} addrgenmode none arp off mtu {GUEST_MTU}"


def _port(segment: int, wanted: Carrier, links: Mapping[str, Link]) -> Iterator[str]:
    name, uplink = names.port(segment), _uplink(wanted, links)
    if wanted.group:
        what = f"vxlan id {segment} dstport {VXLAN_PORT} group {wanted.group} local {uplink.addresses[0]} dev {uplink.name} ttl 4"
        yield f"link add name {name} type {what}"
    else:
        yield f"link add link {uplink.name} name {name} type vlan id {segment}"
    yield f"link set dev {name} alias {_mark(segment, wanted)}"
    yield f"link set dev {name} addrgenmode none arp off mtu {GUEST_MTU}"


def _uplink(wanted: Carrier, links: Mapping[str, Link]) -> Link:
    found = links.get(wanted.uplink)
    if found is None:
        raise NetworkMissing(f"the host has no interface {wanted.uplink}, which carries its guests' segments")
    needed = GUEST_MTU + (VXLAN_OVERHEAD if wanted.group else 0)
    if found.mtu < needed:
        raise Transient(f"the interface {found.name} has MTU {found.mtu}; to carry guests' {GUEST_MTU} bytes it needs {needed}")
    if wanted.group and not found.addresses:
        raise Transient(f"the interface {found.name} has no IPv4 address, which VXLAN needs")
    return found


def _mark(segment: int, wanted: Carrier) -> str:
    return f"vireo:{segment}:{wanted}"


def _require_own(*links: Link | None) -> None:
    for link in links:
        if link is not None and not _OWN.fullmatch(link.alias):
            raise Conflict(f"the host has an interface {link.name} that Vireo did not make; remove it: ip link delete {link.name}")


def _require_idle(segment: int, links: Mapping[str, Link]) -> None:
    if _guests(segment, links):
        raise Conflict(f"segment {segment} is carried in another way on the host, and has VMs that run; stop them first")


def _guests(segment: int, links: Mapping[str, Link]) -> Sequence[Link]:
    return [link for link in links.values() if link.master == names.bridge(segment) and link.name != names.port(segment)]


def _link(item: Mapping[str, Any]) -> Link:
    return Link(
        name=str(item["ifname"]),
        alias=str(item.get("ifalias", "")),
        master=str(item.get("master", "")),
        mtu=int(item["mtu"]),
        up="UP" in item["flags"],
        addresses=tuple(_addresses(item.get("addr_info", []))),
    )


def _addresses(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in told:
        if each.get("family") == "inet":
            yield str(ipaddress.IPv4Address(each["local"]))
