"""A domain while it is changed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.errors import Conflict, NotFound
from drivers.kvm import domains
from drivers.kvm import mark as marks
from drivers.kvm.mark import Mark
from drivers.kvm.xmltext import parse, render
from drivers.types import InstanceID

CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


@dataclass(slots=True)
class Subject:
    """A domain while changes are made to it: its documents as they were read before the first of them."""

    connection: Any
    domain: Any
    instance: InstanceID
    inactive: ET.Element
    live: ET.Element | None
    mark: Mark

    @property
    def both(self) -> int:
        """Flags for what it runs with, if it runs, and for its next start."""
        return int(CONFIG if self.live is None else CONFIG | LIVE)

    @property
    def documents(self) -> tuple[tuple[ET.Element, int], ...]:
        """The documents there are, each with its flag."""
        running = () if self.live is None else ((self.live, int(LIVE)),)
        return ((self.inactive, int(CONFIG)), *running)

    def write_mark(self, changed: Mark) -> None:
        """Replace the owner mark in the documents there are."""
        text = render(marks.build(changed, bare=True))
        self.domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, marks.PREFIX, marks.NAMESPACE, self.both)
        self.mark = changed

    def definition(self) -> ET.Element:
        """The document of the next start as it is now, whole, to be defined again."""
        return parse(self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))

    def require_no_snapshots(self, action: str) -> None:
        """Raises Conflict while the domain has snapshots: they could not be gone back to after `action`."""
        if self.domain.snapshotNum(0):
            raise Conflict(f"the VM has snapshots; delete them to {action}")


def subject(connection: Any, instance: InstanceID) -> Subject:
    """Read the domain. Raises NotFound, Conflict."""
    domain = domains.owned(connection, instance)
    live = parse(domain.XMLDesc(0)) if domains.active(domain) else None
    inactive = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    mark = marks.read(inactive)
    if mark is None:
        raise NotFound(f"the VM {instance} lost its owner mark while it was read")
    return Subject(connection, domain, instance, inactive, live, mark)
