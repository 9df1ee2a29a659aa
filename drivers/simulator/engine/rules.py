"""What the simulated hypervisor refuses. It is no kinder than a real one: names become file names, sizes must make sense."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable

from drivers.errors import InvalidSpec, Unsupported
from drivers.types import Capability, DesiredDisk, DesiredNIC, DesiredVM, Firmware, ImageFile, PoolSpec

__all__ = ["check_image", "check_nic", "check_pool", "check_vm"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_NOT_STORAGE = ("/dev", "/proc", "/sys")


def _refuse(message: str) -> InvalidSpec:
    return InvalidSpec(message, native_code="SIM_INVALID")


def check_pool(pool: PoolSpec) -> None:
    """Raises InvalidSpec unless the path is absolute, normal, and a directory that can be written to on every host."""
    path = pool.path
    clean = path.isprintable() and path.startswith("/") and path == posixpath.normpath(path) and path != "/"
    if not clean or any(path == root or path.startswith(root + "/") for root in _NOT_STORAGE):
        raise _refuse(f"pool {pool.name!r}: {path!r} is not a directory that can be written to")


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


def check_vm(vm: DesiredVM, capabilities: frozenset[Capability]) -> None:
    """Raises InvalidSpec, or Unsupported for UEFI without Capability.UEFI."""
    if not _UUID.fullmatch(vm.instance):
        raise _refuse(f"{vm.instance!r} is not a UUID in lower case")
    if not vm.name or not vm.name.isprintable():
        raise _refuse(f"{vm.name!r} is no name for a VM")
    if vm.cpus < 1 or vm.memory < 1:
        raise _refuse(f"a VM with {vm.cpus} CPUs and {vm.memory} bytes of memory is impossible")
    if vm.firmware is Firmware.UEFI and Capability.UEFI not in capabilities:
        raise Unsupported("this host has no UEFI firmware", native_code="SIM_NO_UEFI")
    _check_unique("disk", (disk.name for disk in vm.disks))
    _check_unique("NIC", (nic.name for nic in vm.nics))
    _check_unique("MAC", (nic.mac for nic in vm.nics))
    for disk in vm.disks:
        _check_disk(disk)
    for nic in vm.nics:
        check_nic(nic)


def _check_disk(disk: DesiredDisk) -> None:
    check_pool(disk.pool)
    if not _FILE.fullmatch(disk.name):
        raise _refuse(f"disk name {disk.name!r} is not a file name")
    if disk.size < 1:
        raise _refuse(f"disk {disk.name!r} has no size")


def _check_unique(what: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _refuse(f"{what} {twice[0]!r} is there twice")
