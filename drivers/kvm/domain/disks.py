"""Disks and the seed's CD-ROM drive.

The drive sits on virtio-scsi: kernels made for clouds have no driver for the SATA controller of q35.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from drivers.kvm import names
from drivers.kvm.mark import target
from drivers.kvm.xmltext import add
from drivers.types import DesiredDisk, DesiredVM

SEED_TARGET = "sda"

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


def drive(seed_path: str) -> ET.Element:
    """The CD-ROM drive, empty if `seed_path` is; it is always there, so that a seed can come later."""
    item = ET.Element("disk", {"type": "file", "device": "cdrom"})
    add(item, "driver", {"name": "qemu", "type": "raw"})
    if seed_path:
        add(item, "source", {"file": seed_path})
    add(item, "target", {"dev": SEED_TARGET, "bus": "scsi"})
    add(item, "readonly")
    return item
