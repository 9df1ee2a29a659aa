"""Volumes as disks of a VM, on virtio-scsi: such a disk goes at once when it is detached, without waiting for the guest.

A guest finds a volume by its serial number, which is the volume's identity; udev shows its first 20 characters in
/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_….
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from drivers.errors import InvalidSpec
from drivers.kvm import names
from drivers.kvm.domain import limits
from drivers.kvm.domain.disks import medium as disk_at
from drivers.kvm.mark import MarkedVolume, target
from drivers.kvm.names import Kind
from drivers.kvm.xmltext import add
from drivers.types import ISCSITarget, RBDPool, VolumeAttachment


@dataclass(frozen=True, slots=True)
class LUN:
    """A LUN that QEMU itself reaches over the network, logged in as `initiator`."""

    target: ISCSITarget
    number: int
    initiator: str

    @property
    def name(self) -> str:
        """How libvirt calls it."""
        return f"{self.target.name}/{self.number}"


@dataclass(frozen=True, slots=True)
class RBDImage:
    """An image of a Ceph pool that QEMU itself reaches; libvirt's secret `secret` has the key of the pool's user."""

    pool: RBDPool
    image: str
    secret: str

    @property
    def name(self) -> str:
        """How libvirt calls it."""
        return f"{self.pool.pool}/{self.image}"


Remote = LUN | RBDImage
"""What QEMU reaches over the network by itself."""

Medium = str | Remote
"""What a volume is on the host: the path of its file or logical volume, or something remote."""

BUS = "sd"
LIMIT = 64
"""Most volumes of a VM."""


def controller() -> ET.Element:
    """The controller that all volumes of a VM are on."""
    return ET.Element("controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})


def has_controller(domain: ET.Element) -> bool:
    """Whether the domain has it."""
    return domain.find("devices/controller[@type='scsi'][@index='0'][@model='virtio-scsi']") is not None


def build(volume: MarkedVolume, medium: Medium, wanted: VolumeAttachment) -> ET.Element:
    """The disk with that medium. Raises InvalidSpec for limits that no disk can have."""
    if isinstance(medium, LUN):
        item = _network_disk(medium)
    elif isinstance(medium, RBDImage):
        item = _rbd_disk(medium)
    else:
        item = disk_at(wanted.pool, medium)
    add(item, "target", {"dev": volume.target, "bus": "scsi"})
    add(item, "serial", text=volume.volume)
    where = {"controller": "0", "bus": "0", "target": "0", "unit": str(_targets().index(volume.target))}
    add(item, "address", {"type": "drive", **where})
    limits.build(item, wanted.limits)
    return item


def _network_disk(lun: LUN) -> ET.Element:
    item = ET.Element("disk", {"type": "network", "device": "disk"})
    add(item, "driver", {"name": "qemu", "type": "raw", "discard": "unmap"})
    source = add(item, "source", {"protocol": "iscsi", "name": lun.name})
    add(source, "host", {"name": lun.target.server, "port": str(lun.target.port)})
    add(add(source, "initiator"), "iqn", {"name": lun.initiator})
    return item


def _rbd_disk(image: RBDImage) -> ET.Element:
    item = ET.Element("disk", {"type": "network", "device": "disk"})
    add(item, "driver", {"name": "qemu", "type": "raw", "discard": "unmap"})
    auth = add(item, "auth", {"username": image.pool.user})
    add(auth, "secret", {"type": "ceph", "uuid": image.secret})
    source = add(item, "source", {"protocol": "rbd", "name": image.name})
    for each in image.pool.monitors:
        add(source, "host", names.monitor(each))
    return item


def is_rbd(disk: ET.Element) -> bool:
    """Whether a disk is an image of a Ceph pool, whoever made it."""
    return disk.find("source[@protocol='rbd']") is not None


def lun_of(disk: ET.Element) -> str:
    """The LUN that a disk is, whoever made it, by libvirt's name: the target's is the same whatever the way there. Else empty."""
    source = disk.find("source[@protocol='iscsi']")
    name = "" if source is None else source.get("name", "")
    return name if "/" in name or not name else f"{name}/0"


def free_target(domains: Iterable[ET.Element], taken: Iterable[str] = ()) -> str:
    """A device name that neither the documents nor `taken` use. Raises InvalidSpec when there is none."""
    used = set(taken)
    for domain in domains:
        for disk in domain.iterfind("devices/disk"):
            used |= {item.get("dev", "") for item in disk.iterfind("target")}
            used |= {_at(item) for item in disk.iterfind("address[@type='drive']")}
    for name in _targets():
        if name not in used:
            return name
    raise InvalidSpec(f"a VM has at most {LIMIT} volumes")


def find(domain: ET.Element, volume: str) -> ET.Element | None:
    """The disk that has a content of the volume."""
    for disk in domain.iterfind("devices/disk"):
        if volume in identities(disk):
            return disk
    return None


def identities(disk: ET.Element) -> Iterator[str]:
    """The volume whose content the disk has, if it is one: by the name of its file or image, or of a LUN by its serial number."""
    serial = disk.findtext("serial", "")
    if lun_of(disk) and names.is_uuid(serial):
        yield serial
    for source in disk.iterfind("source[@protocol='rbd']"):
        if (volume := names.rbd_volume(source.get("name", "").rpartition("/")[2])) is not None:
            yield volume
    for source in disk.iterfind("source"):
        content = names.content_of(PurePosixPath(source.get("file", "") or source.get("dev", "")).name)
        if content is not None and content.kind is Kind.VOLUME:
            yield content.identity


def _at(address: ET.Element) -> str:
    """The name of the place where a disk of somebody else sits on our controller."""
    unit = address.get("unit", "")
    ours = address.get("controller") == "0" and unit.isdecimal() and int(unit) < LIMIT
    return _targets()[int(unit)] if ours else ""


def _targets() -> list[str]:
    return [target(index, BUS) for index in range(LIMIT)]
