"""Network interfaces: ports of an Open vSwitch bridge with the segment as a VLAN tag, or of a Linux bridge, ours or others'."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from drivers.errors import InvalidSpec
from drivers.kvm import carrier, names
from drivers.kvm.domain import guard
from drivers.kvm.xmltext import add
from drivers.types import DesiredNIC, Devices, NetworkBackend

_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


def build(nic: DesiredNIC, devices: Devices = Devices.VIRTIO, *, filters: bool) -> ET.Element:
    """The interface, held to its addresses where the host has `filters`.

    Raises InvalidSpec for a bridge, MAC, VLAN or address that no host could have.
    """
    _check(nic)
    item = ET.Element("interface", {"type": "bridge"})
    add(item, "mac", {"address": nic.mac})
    add(item, "source", {"bridge": _bridge(nic)})
    if nic.attachment.backend is NetworkBackend.OVS:
        add(item, "virtualport", {"type": "openvswitch"})
        if nic.segment.vlan is not None:
            add(add(item, "vlan"), "tag", {"id": str(nic.segment.vlan)})
    add(item, "model", {"type": "e1000e" if devices is Devices.EMULATED else "virtio"})
    if filters and guard.guardable(item):
        item.append(guard.reference(nic.ip))
    return item


def _bridge(nic: DesiredNIC) -> str:
    if nic.attachment.backend is not NetworkBackend.LINUX:
        if not names.INTERFACE.fullmatch(nic.attachment.bridge):
            raise InvalidSpec(f"{nic.attachment.bridge[:32]!r} cannot be the name of a bridge")
        return nic.attachment.bridge
    if nic.segment.vlan is None:
        raise InvalidSpec(f"the NIC {nic.name} has no segment; the backend Linux carries none but VLANs and VXLANs")
    carrier.of(nic.attachment)
    return names.bridge(nic.segment.vlan)


def _check(nic: DesiredNIC) -> None:
    if not _MAC.fullmatch(nic.mac):
        raise InvalidSpec(f"{nic.mac[:32]!r} is not a unicast MAC address in lower case")
    if nic.segment.vlan is not None and not 1 <= nic.segment.vlan <= 4094:
        raise InvalidSpec(f"a VLAN is 1 to 4094, not {nic.segment.vlan}")
