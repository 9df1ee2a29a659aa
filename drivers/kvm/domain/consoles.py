"""Graphical consoles of a domain (`graphics`), whose passwords no document may tell that everybody can read.

libvirt leaves them out of what it shows, but it cannot know them inside metadata.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET

from drivers.kvm.xmltext import add


def conceal(domain: ET.Element) -> None:
    """Take the passwords out of a document."""
    for console in domain.iterfind("devices/graphics"):
        console.attrib.pop("passwd", None)


def give(source: ET.Element, target: ET.Element) -> None:
    """Let `target` have the consoles of `source` in place of its own, with their passwords."""
    devices = target.find("devices")
    devices = add(target, "devices") if devices is None else devices
    for old in devices.findall("graphics"):
        devices.remove(old)
    devices.extend(copy.deepcopy(console) for console in source.iterfind("devices/graphics"))
