"""What the simulated hypervisor refuses. It is no kinder than a real one: names become file names, sizes must make sense."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable

from drivers.errors import InvalidSpec, Unsupported
from drivers.types import (
    Capability,
    DesiredDisk,
    DesiredNIC,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DiskLimits,
    Firmware,
    ImageFile,
    PoolSpec,
    RBDPool,
    VolumeAttachment,
)

__all__ = [
    "check_attachment",
    "check_files",
    "check_identity",
    "check_image",
    "check_image_file",
    "check_keeping",
    "check_limits",
    "check_nic",
    "check_pool",
    "check_snapshot",
    "check_token",
    "check_vm",
    "check_volume",
]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_SERVER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_NOT_STORAGE = ("/dev", "/proc", "/sys")
_IQN = re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9][a-z0-9.:-]{0,210}")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+_.-]{0,62}")
_PORTS = range(1, 1 << 16)
_CEPH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def _refuse(message: str) -> InvalidSpec:
    return InvalidSpec(message, native_code="SIM_INVALID")


def check_pool(pool: PoolSpec) -> None:
    """Raises InvalidSpec unless the path is absolute, normal, and a directory that can be written to on every host.

    Likewise for a server's name that is none, an export that is no absolute and normal path, a target, a Ceph pool or a volume
    group without a proper name.
    """
    path, target = pool.path, pool.iscsi
    if pool.rbd is not None:
        if path or not _is_ceph(pool.rbd):
            raise _refuse(f"pool {pool.name!r}: {str(pool.rbd)!r} as {pool.rbd.user!r} is not a Ceph pool")
        return
    if target is not None:
        if path or not (_SERVER.fullmatch(target.server) and _IQN.fullmatch(target.name) and target.port in _PORTS):
            raise _refuse(f"pool {pool.name!r}: {str(target)!r} is not an iSCSI target")
        return
    if not _is_normal(path) or path == "/" or any(path == root or path.startswith(root + "/") for root in _NOT_STORAGE):
        raise _refuse(f"pool {pool.name!r}: {path!r} is not a directory that can be written to")
    if pool.nfs is not None and not (_SERVER.fullmatch(pool.nfs.server) and _is_normal(pool.nfs.export)):
        raise _refuse(f"pool {pool.name!r}: {str(pool.nfs)!r} is not an NFS export")
    if pool.volume_group and not _GROUP.fullmatch(pool.volume_group):
        raise _refuse(f"pool {pool.name!r}: {pool.volume_group!r} is not the name of a volume group")


def _is_ceph(pool: RBDPool) -> bool:
    named = bool(_CEPH.fullmatch(pool.pool) and _CEPH.fullmatch(pool.user) and pool.monitors)
    return named and all(map(_is_monitor, pool.monitors))


def _is_monitor(text: str) -> bool:
    name, colon, port = text.partition(":")
    return _SERVER.fullmatch(name) is not None and (
        not colon or (re.fullmatch("[0-9]{1,5}", port) is not None and int(port) in _PORTS)
    )


def _is_normal(path: str) -> bool:
    return path.isprintable() and path.startswith("/") and path == posixpath.normpath(path)


def check_files(pool: PoolSpec) -> None:
    """Raises InvalidSpec for a pool that no disk, image, or volume with a content can be made in."""
    check_pool(pool)
    if not pool.has_files:
        raise _refuse(f"pool {pool.name!r} is for volumes only, and they are LUNs or empty")


def check_keeping(pool: PoolSpec) -> None:
    """Raises InvalidSpec for a pool that no snapshot can be kept in."""
    check_files(pool)
    if pool.raw:
        raise _refuse(f"pool {pool.name!r} keeps no snapshots")


def check_token(token: str) -> None:
    """Raises InvalidSpec for a restore without a token: nobody could tell a late one from another."""
    if not token:
        raise _refuse("a restore needs a token")


def check_image(name: str) -> None:
    """Raises InvalidSpec for a name that is no plain file name."""
    if not _FILE.fullmatch(name):
        raise _refuse(f"image name {name!r} is not a file name")


def check_image_file(image: ImageFile) -> None:
    """Raises InvalidSpec for a bad name or sizes."""
    check_image(image.name)
    if image.virtual_size <= 0 or image.physical_size < 0:
        raise _refuse(f"image {image.name!r} has no size")


def check_nic(nic: DesiredNIC) -> None:
    """Raises InvalidSpec for a MAC that isn't unicast and lower case, a VLAN out of range, or a missing bridge."""
    if not _MAC.fullmatch(nic.mac):
        raise _refuse(f"NIC {nic.name!r}: {nic.mac!r} is not a unicast MAC")
    if nic.segment.vlan is not None and not 1 <= nic.segment.vlan <= 4094:
        raise _refuse(f"NIC {nic.name!r}: VLAN {nic.segment.vlan} is out of range")
    if not nic.attachment.bridge:
        raise _refuse(f"NIC {nic.name!r} has no bridge to attach to")


def check_attachment(attachment: VolumeAttachment) -> None:
    """Raises InvalidSpec for a name that can't be a disk's, or for a LUN where there are none."""
    check_pool(attachment.pool)
    if (attachment.lun is None) != (attachment.pool.iscsi is None):
        raise _refuse(f"disk {attachment.name!r}: a LUN goes with an iSCSI target, and with nothing else")
    if not _FILE.fullmatch(attachment.name):
        raise _refuse(f"disk name {attachment.name!r} is not a file name")


def check_limits(limits: DiskLimits, capabilities: frozenset[Capability]) -> None:
    """Raises InvalidSpec for a negative limit, Unsupported for limits without their capability."""
    bounds = (limits.read_bytes, limits.write_bytes, limits.read_iops, limits.write_iops)
    if min(bounds) < 0:
        raise _refuse(f"a disk can't have these limits: {limits}")
    if any(bounds) and Capability.DISK_LIMITS not in capabilities:
        raise Unsupported(f"this endpoint lacks {Capability.DISK_LIMITS}", native_code="SIM_UNSUPPORTED")


def check_volume(volume: DesiredVolume) -> None:
    """Raises InvalidSpec for a bad identity, name or size, or for two sources."""
    _check_identity(volume.volume, volume.name, "volume")
    check_pool(volume.pool)
    if volume.pool.rbd is None or volume.image or volume.snapshot is not None:
        check_files(volume.pool)
    if volume.size < 1:
        raise _refuse(f"volume {volume.name!r} has no size")
    if volume.image and volume.snapshot is not None:
        raise _refuse(f"volume {volume.name!r} can't be made from an image and a snapshot")
    if volume.image:
        check_image(volume.image)


def check_snapshot(snapshot: DesiredSnapshot) -> None:
    """Raises InvalidSpec for a bad identity or name, or for memory of a guest that is to be frozen."""
    _check_identity(snapshot.snapshot, snapshot.name, "snapshot")
    if snapshot.memory and snapshot.quiesce:
        raise _refuse(f"snapshot {snapshot.name!r} can't have the memory of a guest that is frozen")


def check_identity(identity: str) -> None:
    """Raises InvalidSpec for text that is no UUID in lower case."""
    if not _UUID.fullmatch(identity):
        raise _refuse(f"{identity!r} is not a UUID in lower case")


def _check_identity(identity: str, name: str, what: str) -> None:
    check_identity(identity)
    if not name or not name.isprintable():
        raise _refuse(f"{name!r} is no name for a {what}")


def check_vm(vm: DesiredVM, capabilities: frozenset[Capability]) -> None:
    """Raises InvalidSpec, or Unsupported for UEFI, volumes or limits of disks without their capability."""
    _check_identity(vm.instance, vm.name, "VM")
    if vm.cpus < 1 or vm.memory < 1:
        raise _refuse(f"a VM with {vm.cpus} CPUs and {vm.memory} bytes of memory is impossible")
    if vm.firmware is Firmware.UEFI and Capability.UEFI not in capabilities:
        raise Unsupported("this host has no UEFI firmware", native_code="SIM_NO_UEFI")
    if vm.volumes and Capability.VOLUMES not in capabilities:
        raise Unsupported(f"this endpoint lacks {Capability.VOLUMES}", native_code="SIM_UNSUPPORTED")
    _check_unique("disk", [disk.name for disk in vm.disks] + [attached.name for attached in vm.volumes])
    _check_unique("volume", (attached.volume for attached in vm.volumes))
    _check_unique("NIC", (nic.name for nic in vm.nics))
    _check_unique("MAC", (nic.mac for nic in vm.nics))
    for disk in vm.disks:
        check_limits(disk.limits, capabilities)
        _check_disk(disk)
    for nic in vm.nics:
        check_nic(nic)
    for attached in vm.volumes:
        check_limits(attached.limits, capabilities)
        check_attachment(attached)


def _check_disk(disk: DesiredDisk) -> None:
    check_files(disk.pool)
    if not _FILE.fullmatch(disk.name):
        raise _refuse(f"disk name {disk.name!r} is not a file name")
    if disk.size < 1:
        raise _refuse(f"disk {disk.name!r} has no size")


def _check_unique(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _refuse(f"{what} {twice[0]!r} is there twice")
