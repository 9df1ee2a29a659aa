"""What neither capabilities nor domain capabilities tell of a host: libvirt is asked for the command line of a guest that has it.

That parses and checks a description as if it were to be started, and makes nothing.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from drivers.kvm.domain import memory
from drivers.kvm.host.profile import ARCHITECTURE, Guest
from drivers.kvm.xmltext import add, render


def adds_memory(connection: Any, kind: Guest) -> bool:
    """Whether guests of this kind can be given memory while they run."""
    try:
        connection.domainXMLToNative("qemu-argv", render(_growing(kind)), 0)
    except libvirt.libvirtError:
        return False
    return True


def _growing(kind: Guest) -> ET.Element:
    """A guest with the device that memory is given by."""
    root = ET.Element("domain", {"type": kind.domain_type})
    add(root, "name", text="vireo-trial")
    add(root, "vcpu", text="1")
    add(add(root, "os"), "type", {"arch": ARCHITECTURE, "machine": kind.machine}, "hvm")
    memory.write(root, memory.LEAST_WITH_ROOM, room=True)
    devices = add(root, "devices")
    add(devices, "emulator", text=kind.emulator)
    devices.append(memory.device(memory.read(root), memory.BLOCK))
    return root
