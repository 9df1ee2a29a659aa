"""A restore that has begun: the definition that the VM must have after it, carried in the definition that libvirt brings back.

Going back to a snapshot makes libvirt replace the domain's definition by the one of that moment, its metadata included. So our mark
with the restore's token, and the definition to return to, are written into the snapshot's own definition first: they come into
force with the disks, in one step, and whoever finds them knows that only the return is left to do.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from drivers.kvm.xmltext import add

NAMESPACE = "https://vireo.dev/libvirt/restore/1"
PREFIX = "vireo-restore"
_TAG = f"{{{NAMESPACE}}}pending"


@dataclass(frozen=True, slots=True)
class Pending:
    """`token` names the restore, `definition` is the domain's document after it."""

    token: str
    definition: str


def read(domain: ET.Element) -> Pending | None:
    """The restore that a domain's document tells of."""
    item = domain.find(f"metadata/{_TAG}")
    return None if item is None else Pending(item.get("token", ""), item.text or "")


def write(domain: ET.Element, pending: Pending) -> None:
    """Put it into a domain's document in place of an older one."""
    ET.register_namespace(PREFIX, NAMESPACE)
    metadata = domain.find("metadata")
    metadata = add(domain, "metadata") if metadata is None else metadata
    clear(domain)
    add(metadata, _TAG, {"token": pending.token}, pending.definition)


def clear(domain: ET.Element) -> bool:
    """Take it out of a domain's document; whether it was there."""
    found = [(metadata, old) for metadata in domain.iterfind("metadata") for old in metadata.findall(_TAG)]
    for metadata, old in found:
        metadata.remove(old)
    return bool(found)
