"""Snapshots of a domain in libvirt's terms: internal ones, that is, kept inside its qcow2 files.

Ours are those whose name is a UUID. https://libvirt.org/formatsnapshot.html
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any, NamedTuple

from drivers.kvm import names
from drivers.kvm.xmltext import add, parse
from drivers.types import DesiredSnapshot, ObservedSnapshot, SnapshotID

REDEFINED = ("shutoff", "no")
"""State and memory of a snapshot that has disks only, as libvirt calls them."""


class Told(NamedTuple):
    """What libvirt says of a snapshot: its document as text, and whether it is the current one."""

    document: str
    current: bool


def observe(domain: Any) -> tuple[ObservedSnapshot, ...]:
    """Ours, in an order that stays the same. libvirt knows them by itself: no QEMU is asked."""
    return read_all(told(domain)) if domain.snapshotNum(0) else ()


def told(domain: Any) -> tuple[Told, ...]:
    """All of a domain, as libvirt has them."""
    return tuple(Told(item.getXMLDesc(0), bool(item.isCurrent(0))) for item in domain.listAllSnapshots(0))


def read_all(listed: Iterable[Told]) -> tuple[ObservedSnapshot, ...]:
    """Ours among them, in an order that stays the same. Raises Transient for what is not XML."""
    documents = ((parse(each.document), each.current) for each in listed)
    found = [read(document, current=current) for document, current in documents if names.is_uuid(document.findtext("name", ""))]
    return tuple(sorted(found, key=lambda snapshot: (snapshot.created, snapshot.snapshot)))


def read(document: ET.Element, *, current: bool = False) -> ObservedSnapshot:
    """A snapshot from its document."""
    parent = document.findtext("parent/name", "")
    created = document.findtext("creationTime", "")
    return ObservedSnapshot(
        snapshot=SnapshotID(document.findtext("name", "")),
        parent=SnapshotID(parent) if names.is_uuid(parent) else None,
        memory=has_memory(document),
        created=float(created) if created.isdecimal() else 0.0,
        current=current,
    )


def has_memory(document: ET.Element) -> bool:
    """Whether the snapshot has the running state too."""
    memory = document.find("memory")
    return memory is not None and memory.get("snapshot") != "no"


def build(snapshot: DesiredSnapshot, domain: ET.Element) -> ET.Element:
    """A snapshot to be taken of every disk that the domain can write to."""
    root = ET.Element("domainsnapshot")
    add(root, "name", text=names.uuid_text(snapshot.snapshot))
    add(root, "description", text=f"{snapshot.owner.namespace}/{snapshot.owner.name}")
    disks = add(root, "disks")
    for disk in domain.iterfind("devices/disk"):
        for target in disk.iterfind("target"):
            add(disks, "disk", {"name": target.get("dev", ""), "snapshot": "internal" if writable(disk) else "no"})
    return root


def taken(snapshot: DesiredSnapshot, domain: ET.Element, created: int, parent: str) -> ET.Element:
    """A snapshot of disks only that is in the files already, with the definition `domain`, for libvirt to take note of."""
    state, memory = REDEFINED
    root = build(snapshot, domain)
    add(root, "state", text=state)
    add(root, "creationTime", text=str(created))
    add(root, "memory", {"snapshot": memory})
    if parent:
        add(add(root, "parent"), "name", text=parent)
    root.append(domain)
    return root


def writable(disk: ET.Element) -> bool:
    """Whether the disk has a medium that the guest may write to."""
    return disk.find("readonly") is None and disk.find("source") is not None


def unfit(domain: ET.Element) -> list[str]:
    """Device names of disks that can be written to and cannot keep a snapshot: only qcow2 can."""
    disks = (disk for disk in domain.iterfind("devices/disk") if writable(disk) and disk.find("driver[@type='qcow2']") is None)
    return [target.get("dev", "") for disk in disks for target in disk.iterfind("target")]
