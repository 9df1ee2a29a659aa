"""Disks, and the seed as a small read-only disk on the same bus.

A guest that boots from virtio finds its seed there too. A CD-ROM would need another driver: kernels made for clouds have none for
the SATA controller of q35, and on virtio-scsi a drive appears about a second after the disks. Where a guest has SATA disks, the
seed is a CD-ROM beside them: QEMU has no SATA disk that is read-only.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from drivers.errors import InvalidSpec
from drivers.kvm import names
from drivers.kvm.domain import limits
from drivers.kvm.mark import target
from drivers.kvm.xmltext import add
from drivers.types import DesiredDisk, DesiredVM, Devices, PoolSpec

SEED_TARGET = "vdzz"
"""After every other disk, so that those keep their names in the guest."""

_BUS = {Devices.VIRTIO: "virtio", Devices.EMULATED: "sata"}

_SATA_PORTS = 6
"""Of q35's own controller; the last one is the seed's."""

DISK_STEP = 1 << 10
"""Disks are whole KiB: libvirt rounds up to that."""


def _place(disk: ET.Element, port: int) -> None:
    """Where libvirt would put it goes by the device's name, and that is the same whatever the bus."""
    add(disk, "address", {"type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": str(port)})


def path(vm: DesiredVM, disk: DesiredDisk) -> str:
    """Path of the disk's volume on the host. Raises InvalidSpec for names that would lead out of the pool."""
    if disk.pool.volume_group:
        return names.device(disk.pool.volume_group, names.disk(vm.instance, disk.name, names.RAW))
    return f"{names.pool_path(disk.pool.path)}/{names.disk(vm.instance, disk.name)}"


def driver(pool: PoolSpec) -> dict[str, str]:
    """How QEMU treats the qcow2 file, or the logical volume, of a disk or volume in a pool.

    A disk on NFS waits for its server: the VM is suspended on an error, and what failed is done again when it goes on. For that
    QEMU must learn of each write whether it arrived, so the host's page cache is left out; as it is for logical volumes.
    """
    if pool.volume_group:
        return {"name": "qemu", "type": "raw", "discard": "unmap", "cache": "none"}
    plain = {"name": "qemu", "type": "qcow2", "discard": "unmap"}
    return plain | {"cache": "none", "error_policy": "stop"} if pool.nfs is not None else plain


def medium(pool: PoolSpec, where: str) -> ET.Element:
    """A disk of the VM that is the file or the logical volume at that path."""
    kind, place = ("block", "dev") if pool.volume_group else ("file", "file")
    item = ET.Element("disk", {"type": kind, "device": "disk"})
    add(item, "driver", driver(pool))
    add(item, "source", {place: where})
    return item


def add_disks(devices: ET.Element, vm: DesiredVM) -> None:
    """The disks in order. The chain below each is read by QEMU from the file itself, which only Vireo writes.

    Raises InvalidSpec for more disks than there are SATA ports.
    """
    if vm.devices is Devices.EMULATED and len(vm.disks) >= _SATA_PORTS:
        raise InvalidSpec(f"a VM with emulated devices has at most {_SATA_PORTS - 1} disks")
    for index, disk in enumerate(vm.disks):
        item = medium(disk.pool, path(vm, disk))
        devices.append(item)
        add(item, "target", {"dev": target(index), "bus": _BUS[vm.devices]})
        add(item, "serial", text=disk.name[:20])
        limits.build(item, disk.limits)
        if vm.devices is Devices.EMULATED:
            _place(item, index)


def devices_of(domain: ET.Element) -> Devices:
    """What a domain's disks and NICs are, as its first disk tells."""
    return Devices.EMULATED if domain.find("devices/disk/target[@dev='vda'][@bus='sata']") is not None else Devices.VIRTIO


def seed_disk(seed_path: str, devices: Devices) -> ET.Element:
    """The disk that cloud-init finds by its label."""
    emulated = devices is Devices.EMULATED
    item = ET.Element("disk", {"type": "file", "device": "cdrom" if emulated else "disk"})
    add(item, "driver", {"name": "qemu", "type": "raw"})
    add(item, "source", {"file": seed_path})
    add(item, "target", {"dev": SEED_TARGET, "bus": _BUS[devices]})
    if emulated:
        _place(item, _SATA_PORTS - 1)
    add(item, "serial", text="cidata")
    add(item, "readonly")
    return item
