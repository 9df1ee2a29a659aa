"""Volume groups of LVM as pools of libvirt (type `logical`, https://libvirt.org/storage.html#logical-volume-pool).

libvirt can neither rename nor tag logical volumes, and has no empty ones. So images, seeds and the notes of what is complete are
files in a directory beside the group, and both are one pool here. Of the group only what has our names is ever looked at.

The libvirt pool is never built or deleted: that would make the group, or remove it. It is stopped only while the group has no
volume at all: stopping it switches off all that nobody has open, those of others too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import libvirt

from drivers.errors import Conflict, DriverError, StorageUnavailable, Unsupported
from drivers.kvm import errors, names
from drivers.kvm.xmltext import add, element, parse, render
from drivers.types import PoolSpec

KIND = "logical"
STEP = 4 << 20
"""Sizes of logical volumes in bytes are rounded up to this, an extent of most volume groups."""

_ABSENT = {
    "missing backend": "its libvirt has no storage driver for LVM",
    "Cannot find": "LVM is not installed: install lvm2",
    "No such file or directory": "LVM is not installed: install lvm2",
}


@dataclass(frozen=True, slots=True)
class GroupPool:
    """The volume group `name` with the directory beside it, to be used as a pool of libvirt.

    Its logical volumes are those whose names end with `.raw`; all else are files. Its room is that of the group.
    """

    files: Any
    group: Any
    name: str

    def UUIDString(self) -> str:
        """Of the directory."""
        return str(self.files.UUIDString())

    def XMLDesc(self, flags: int) -> str:
        """Of the directory."""
        return str(self.files.XMLDesc(flags))

    def info(self) -> Any:
        """State, capacity, allocation and room of the group."""
        return self.group.info()

    def listVolumes(self) -> list[str]:
        """Names in both."""
        return [*self.files.listVolumes(), *filter(_is_block, self.group.listVolumes())]

    def listAllVolumes(self, flags: int) -> list[Any]:
        """Volumes of both."""
        return [*self.files.listAllVolumes(flags), *(each for each in self.group.listAllVolumes(flags) if _is_block(each.name()))]

    def storageVolLookupByName(self, name: str) -> Any:
        """Where its name belongs."""
        return (self.group if _is_block(name) else self.files).storageVolLookupByName(name)

    def createXML(self, document: str, flags: int) -> Any:
        """A file: logical volumes come by `blocks.write` alone, so that none shows what was there before."""
        return self.files.createXML(document, flags)

    def device(self, name: str) -> str:
        """Path of a logical volume on the host."""
        return names.device(self.name, name)


def _is_block(name: str) -> bool:
    return name.endswith(f".{names.RAW}")


def find(connection: Any, pool: PoolSpec, *, refresh: bool = False) -> Any | None:
    """The running libvirt pool of the group, ours or somebody's; None if there is none yet.

    Raises InvalidSpec for a name that is none, StorageUnavailable while the host has no such group, Unsupported without LVM.
    """
    name = names.volume_group(pool.volume_group)
    listed = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL)
    found = next((each for each in listed if _group_of(each) == name), None)
    if found is not None:
        _settle(connection, found, name, refresh=refresh)
    return found


def _group_of(pool: Any) -> str:
    """The volume group of a libvirt pool; empty for one that has just gone."""
    with suppress(libvirt.libvirtError):
        return parse(pool.XMLDesc(0)).findtext("source/name", "")
    return ""


def ensure(connection: Any, pool: PoolSpec, cloud: str) -> Any:
    """The libvirt pool of the group, which is started with the host if it is ours. Raises like `find`; then nothing is left."""
    found = find(connection, pool, refresh=True)
    if found is None:
        return _define(connection, names.volume_group(pool.volume_group), cloud)
    if names.pool_of(str(found.name()), str(found.UUIDString()), cloud) is not None:
        found.setAutostart(1)  # it may be one that could not be let go
    return found


def _define(connection: Any, name: str, cloud: str) -> Any:
    with told(connection, name):
        made = connection.storagePoolDefineXML(render(_describe(name, cloud)), 0)
    try:
        _settle(connection, made, name, refresh=False)
        made.setAutostart(1)
    except BaseException:
        if not made.isActive():
            with suppress(libvirt.libvirtError):
                made.undefine()
        raise
    return made


def let_go(connection: Any, group: Any, name: str) -> None:
    """Stop the libvirt pool of the group, if that switches nothing off, and undefine it.

    Raises Conflict while the group has volumes, whoever's: then it is not started with the host any more, so that it can be
    undefined after the next restart of that.
    """
    group.setAutostart(0)
    if group.isActive():
        with suppress(libvirt.libvirtError):  # a group that is gone is stopped by that
            group.refresh(0)
    if group.isActive():
        if int(group.info()[2]):
            raise Conflict(f"the volume group {name} has volumes, which libvirt would switch off")
        with told(connection, name):
            group.destroy()
    group.undefine()


def _describe(name: str, cloud: str) -> Any:
    root, native = element("pool", {"type": KIND}), names.group_pool(name)
    add(root, "name", text=native)
    add(root, "uuid", text=names.pool_uuid(native, cloud))
    source = add(root, "source")
    add(source, "name", text=name)
    add(source, "format", {"type": "lvm2"})
    add(add(root, "target"), "path", text=f"/dev/{name}")
    return root


def _settle(connection: Any, group: Any, name: str, *, refresh: bool) -> None:
    """Have it active, and what is in it read. A group that is gone is stopped by libvirt when it is read."""
    with told(connection, name):
        try:
            if not group.isActive():
                group.create(0)
            elif refresh:
                group.refresh(0)
        except libvirt.libvirtError:
            if not group.isActive():  # else another call works in it, and libvirt knows what that does
                raise


@contextmanager
def told(connection: Any, name: str) -> Iterator[None]:
    """Have libvirt's errors say what is wrong with the group; those of a lost connection pass."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not connection.isAlive():
            raise
        raise explain(error, name) from None


def explain(error: libvirt.libvirtError, name: str) -> DriverError:
    """What an error of starting or reading the group means."""
    text = error.get_error_message() or "libvirt gave no reason"
    for sign, meaning in _ABSENT.items():
        if sign in text and "olume group" not in text:
            return Unsupported(f"the host cannot use LVM: {meaning}", native_code=errors.native(error))
    if f'"{name}" not found' in text:
        return StorageUnavailable(f"the host has no volume group {name}", native_code=errors.native(error))
    said = errors.redact(text.rpartition("unexpected exit status")[2].partition(":")[2].strip() or text)
    return StorageUnavailable(f"the volume group {name} cannot be used: {said}", native_code=errors.native(error))
