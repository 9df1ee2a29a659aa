"""Disks, and the seed as a small read-only disk on the same bus.

A guest that boots from virtio finds its seed there too. A CD-ROM would need another driver: kernels made for clouds have none for
the SATA controller of q35, and on virtio-scsi a drive appears about a second after the disks.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from drivers.kvm import names
from drivers.kvm.mark import target
from drivers.kvm.xmltext import add
from drivers.types import DesiredDisk, DesiredVM

SEED_TARGET = "vdzz"
"""After every other disk, so that those keep their names in the guest."""

DISK_STEP = 1 << 10
"""Disks are whole KiB: libvirt rounds up to that."""


def path(vm: DesiredVM, disk: DesiredDisk) -> str:
    """Path of the disk's volume on the host. Raises InvalidSpec for names that would lead out of the pool."""
    return f"{names.pool_path(disk.pool.path)}/{names.disk(vm.instance, disk.name)}"


def add_disks(devices: ET.Element, vm: DesiredVM) -> None:
    """The disks in order. The chain below each is read by QEMU from the file itself, which only Vireo writes."""
    for index, disk in enumerate(vm.disks):
        item = add(devices, "disk", {"type": "file", "device": "disk"})
        add(item, "driver", {"name": "qemu", "type": "qcow2", "discard": "unmap"})
        add(item, "source", {"file": path(vm, disk)})
        add(item, "target", {"dev": target(index), "bus": "virtio"})
        add(item, "serial", text=disk.name[:20])


def seed_disk(seed_path: str) -> ET.Element:
    """The disk that cloud-init finds by its label."""
    item = ET.Element("disk", {"type": "file", "device": "disk"})
    add(item, "driver", {"name": "qemu", "type": "raw"})
    add(item, "source", {"file": seed_path})
    add(item, "target", {"dev": SEED_TARGET, "bus": "virtio"})
    add(item, "serial", text="cidata")
    add(item, "readonly")
    return item
