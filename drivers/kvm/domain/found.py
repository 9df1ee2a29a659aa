"""Domain XML → FoundVM: any domain, whoever made it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from contextlib import suppress

from drivers.adoption import FoundDisk, FoundNIC, FoundVM
from drivers.errors import InvalidSpec
from drivers.kvm import carrier, mark
from drivers.kvm.domain import limits, memory, observe, port
from drivers.kvm.domain.observe import Documents
from drivers.kvm.mark import MarkedNIC
from drivers.types import Attachment, Firmware, HostID, InstanceID, NetworkBackend


def found(documents: Documents, host: HostID, sizes: Mapping[str, int], snapshots: int) -> FoundVM:
    """The VM as it runs, or as it would start. `sizes` are the bytes of its disks by device, `snapshots` how many it has."""
    inactive, devices = documents.inactive, documents.inactive if documents.live is None else documents.live
    marked, seen = mark.read(inactive), observe.observe(documents, host)
    instance = InstanceID(inactive.findtext("uuid", "").strip().lower())
    disks = [item for item in boot_sequence(devices) if marked is None or not observe.is_seed(item, instance)]
    known = {nic.mac: nic for nic in marked.nics} if marked else {}
    later = {observe.device(item): item for item in inactive.iterfind("devices/disk")}
    return FoundVM(
        instance=instance,
        host=host,
        name=inactive.findtext("name", ""),
        power=observe.power(documents.state, documents.reason),
        cpus=observe.cpus(inactive),
        memory=seen.memory if seen else memory.read(inactive).total,
        running_cpus=observe.cpus(devices),
        running_memory=seen.running_memory if seen else memory.read(devices).total,
        firmware=_firmware(inactive),
        owner=marked.owner if marked else None,
        disks=tuple(_disk(item, later.get(observe.device(item)), sizes) for item in disks),
        nics=tuple(_nic(item, known.get(observe.mac(item))) for item in devices.iterfind("devices/interface")),
        snapshots=snapshots,
        volumes=seen.volumes if seen else (),
        most_cpus=observe.most_cpus(documents.live),
    )


def boot_sequence(domain: ET.Element) -> list[ET.Element]:
    """Disks and drives, first the one that the VM boots from: by <boot order>, else disks before drives, as they are listed."""

    def rank(item: ET.Element) -> tuple[float, bool]:
        order = item.find("boot")
        number = order.get("order", "") if order is not None else ""
        return (float(number) if number.isdecimal() else math.inf), item.get("device", "disk") != "disk"

    return sorted(domain.iterfind("devices/disk"), key=rank)


def _disk(item: ET.Element, later: ET.Element | None, sizes: Mapping[str, int]) -> FoundDisk:
    name = observe.device(item)
    shared = item.find("readonly") is not None or item.find("shareable") is not None
    exclusive = item.get("device", "disk") == "disk" and not shared
    return FoundDisk(name, observe.medium(item), sizes.get(name, 0), exclusive, limits.agreed(item, later))


def _nic(item: ET.Element, known: MarkedNIC | None) -> FoundNIC:
    """As libvirt has it; what our mark knows of it, where there is one, beside that."""
    source = item.find("source")
    bridge = source.get("bridge", "") if source is not None else ""
    switched = item.find("virtualport[@type='openvswitch']") is not None
    segment = port.segment(item)
    backend = NetworkBackend.OVS if switched else NetworkBackend.BRIDGE
    there = FoundNIC(observe.mac(item), segment, Attachment(backend, bridge))
    if known is None:
        return there
    carried = None if switched or port.read(item) != port.made(known) else _carried(known)
    attachment = carried or there.attachment
    return FoundNIC(there.mac, segment if switched else known.segment, attachment, known.name, known.ip)


def _carried(known: MarkedNIC) -> Attachment | None:
    """How a segment that Vireo makes on the host is carried; None for any other, and for a text that Vireo has not written."""
    with suppress(InvalidSpec):
        carried = carrier.read(known.carrier)
        return Attachment(NetworkBackend.LINUX, uplink=carried.uplink, group=carried.group)
    return None


def _firmware(domain: ET.Element) -> Firmware:
    loader = domain.find("os/loader[@type='pflash']")
    efi = any(item.get("firmware") == "efi" for item in domain.iterfind("os"))
    return Firmware.UEFI if efi or loader is not None else Firmware.BIOS
