"""A host with libvirt's netfs pools, its table of mounts, and an NFS server, as the real ones behave."""

from __future__ import annotations

import errno
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import libvirt

from tests.unit.kvm.fakes import libvirt_error

COMMAND = "internal error: Child process (mount -t nfs -o nodev,nosuid,noexec,soft nfs1:/vms /mnt/vms) unexpected exit status 32: "
AWAY = "mount.nfs: Connection refused for nfs1:/vms on /mnt/vms"


@dataclass
class NFSWorld:
    """`export` is what lies on the server, `below` what lies in the host's own directory."""

    export: set[str] = field(default_factory=set)
    below: set[str] = field(default_factory=set)
    serving: bool = True
    mounted: bool = False
    in_use: bool = False
    alive: bool = True
    refusal: int = 0
    """The errno of writing."""

    @property
    def seen(self) -> set[str]:
        """What a program finds in the directory. Raises libvirtError where the server does not answer."""
        if self.mounted and not self.serving:
            raise libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "cannot open path '/mnt/vms': Input/output error", errno.EIO)
        return self.export if self.mounted else self.below

    def isAlive(self) -> int:
        return int(self.alive)


@dataclass
class NetPool:
    """A netfs pool: libvirt looks at the mounts when it starts and stops it, and at no other time."""

    world: NFSWorld
    active: bool = False
    listed: set[str] = field(default_factory=set)

    def connect(self) -> NFSWorld:
        return self.world

    def isActive(self) -> bool:
        return self.active

    def create(self, _flags: int) -> None:
        if self.active:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "storage pool is already active")
        if not self.world.mounted:
            if not self.world.serving:
                raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, COMMAND + AWAY)
            self.world.mounted = True
        self._read()
        self.active = True

    def refresh(self, _flags: int) -> None:
        if not self.active:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "storage pool is not active")
        try:
            self._read()
        except libvirt.libvirtError:
            self._unmount()
            self.active = False
            raise

    def destroy(self) -> None:
        if self.world.mounted and self.world.in_use:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "umount: /mnt/vms: target is busy.")
        self._unmount()
        self.active = False

    def storageVolLookupByName(self, name: str) -> object:
        if name not in self.listed:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL)
        return name

    def createXML(self, document: str, _flags: int) -> None:
        name = ET.fromstring(document).findtext("name", "")
        if self.world.refusal:
            raise libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, f"Failed to create file '/mnt/vms/{name}'", self.world.refusal)
        if name in self.world.seen:
            raise libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "File exists", errno.EEXIST)
        self.world.seen.add(name)
        self.listed.add(name)

    def _read(self) -> None:
        self.listed = set(self.world.seen)

    def _unmount(self) -> None:
        self.world.mounted = self.world.mounted and self.world.in_use
