"""What neither capabilities nor domain capabilities tell of a host: libvirt is asked for the command line of a guest that has it.

That parses and checks a description as if it were to be started, and makes nothing.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from drivers.kvm.domain import memory, platform
from drivers.kvm.host.profile import ARCHITECTURE, Guest
from drivers.kvm.xmltext import add, render


def adds_memory(connection: Any, kind: Guest) -> bool:
    """Whether guests of this kind can be given memory while they run."""
    root, devices = _guest(kind, room=True)
    devices.append(memory.device(memory.read(root), memory.BLOCK))
    return _possible(connection, root)


def tells_panics(connection: Any, kind: Guest) -> bool:
    """Whether guests of this kind can have the device by which their kernels tell that they have panicked."""
    root, devices = _guest(kind)
    platform.add_panic(devices)
    return _possible(connection, root)


def unsigned_uefi(connection: Any, kind: Guest) -> bool:
    """Whether guests of this kind can have UEFI that lets them boot what nobody has signed: firmware without Secure Boot.

    libvirt's domain capabilities list UEFI, and Secure Boot, if any firmware has it (those of 12.1 and later tell more). Where UEFI
    can't be tried at all, as it is listed it is believed.
    """
    root, _ = _guest(kind)
    add(add(root, "features"), "acpi")  # which UEFI needs
    for os in root.iterfind("os"):
        platform.add_uefi(os)
    if _possible(connection, root):
        return True
    for os in root.iterfind("os"):
        for restriction in os.findall("firmware"):
            os.remove(restriction)
    return not _possible(connection, root)


def _possible(connection: Any, root: ET.Element) -> bool:
    try:
        connection.domainXMLToNative("qemu-argv", render(root), 0)
    except libvirt.libvirtError:
        return False
    return True


def _guest(kind: Guest, *, room: bool = False) -> tuple[ET.Element, ET.Element]:
    """A guest of one CPU, with `room` for more memory or without, and its devices."""
    root = ET.Element("domain", {"type": kind.domain_type})
    add(root, "name", text="vireo-trial")
    add(root, "vcpu", text="1")
    add(add(root, "os"), "type", {"arch": ARCHITECTURE, "machine": kind.machine}, "hvm")
    memory.write(root, memory.LEAST_WITH_ROOM, room=room)
    devices = add(root, "devices")
    add(devices, "emulator", text=kind.emulator)
    return root, devices
