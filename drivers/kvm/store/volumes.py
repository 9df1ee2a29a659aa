"""Volumes of one libvirt pool. Runs on the caller's connection; libvirt's errors pass through to its `Session.use`."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import libvirt

from drivers.errors import Busy, DriverError, InvalidSpec, NotFound
from drivers.kvm import errors
from drivers.kvm.domain.disks import DISK_STEP
from drivers.kvm.xmltext import add, element, parse, render

MAX_DISK = 64 << 40
"""Largest disk in bytes; qcow2 with 64 KiB clusters ends near 2 EiB, file systems end earlier."""

EXISTS = {libvirt.VIR_ERR_STORAGE_VOL_EXIST, libvirt.VIR_ERR_OPERATION_INVALID}
"""libvirt has the volume, or only its directory has the file."""


def find(pool: Any, name: str) -> Any | None:
    """The volume, or None."""
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return None
        raise


def create_disk(pool: Any, name: str, size: int, backing: str = "", form: str = "qcow2") -> bool:
    """A thin qcow2 disk of `size` bytes, layered on the file or device `backing` of that format if given.

    One that is there already, known to libvirt or not, is kept; the answer tells whether this call made it.
    """
    check_size(size)
    volume = _volume(name, rounded(size), "qcow2")
    if backing:
        store = add(volume, "backingStore")
        add(store, "path", text=backing)
        add(store, "format", {"type": form})
    try:
        pool.createXML(render(volume), 0)
    except libvirt.libvirtError as error:
        if errors.code(error) not in EXISTS:
            raise
        pool.refresh(0)
        if find(pool, name) is None:
            raise
        return False
    return True


def check_size(size: int) -> None:
    """Raises InvalidSpec for a size that a disk cannot have."""
    if not DISK_STEP <= size <= MAX_DISK:
        raise InvalidSpec(f"a disk has {DISK_STEP} to {MAX_DISK} bytes, not {size}")


def rounded(size: int) -> int:
    """`size` in bytes as libvirt makes it."""
    return -(-size // DISK_STEP) * DISK_STEP


def description(name: str, size: int) -> str:
    """The document of a qcow2 volume of `size` bytes that stands alone."""
    return render(_volume(name, size, "qcow2"))


def block(name: str, size: int) -> str:
    """The document of a logical volume of `size` bytes, all of them allocated: without that libvirt makes a sparse one."""
    root = _volume(name, size, "raw")
    root.remove(root.findall("allocation")[0])
    return render(root)


def create_empty(pool: Any, name: str) -> None:
    """A file of no bytes."""
    pool.createXML(render(_volume(name, 0, "raw")), 0)


def upload_raw(connection: Any, pool: Any, name: str, content: BinaryIO, length: int) -> None:
    """Make the volume `name` of `length` bytes of `content`; whatever had that name is replaced. On failure it is removed."""
    _upload(connection, pool, _volume(name, length, "raw"), content, length)


def upload_qcow2(connection: Any, pool: Any, name: str, content: BinaryIO, length: int, virtual_size: int) -> None:
    """Like `upload_raw`, of a qcow2 file with disk size `virtual_size`, so that libvirt knows what it is."""
    _upload(connection, pool, _volume(name, virtual_size, "qcow2"), content, length)


def _upload(connection: Any, pool: Any, description: ET.Element, content: BinaryIO, length: int) -> None:
    name = description.findtext("name", "")
    remove(pool, name)
    volume = pool.createXML(render(description), 0)
    try:
        send(connection, volume, content, length)
    except BaseException:
        with suppress(libvirt.libvirtError, DriverError):
            remove(pool, name)
        raise


def send(connection: Any, volume: Any, content: BinaryIO, length: int) -> None:
    """Write `length` bytes of `content` at the volume's beginning."""
    stream = connection.newStream(0)
    try:
        volume.upload(stream, 0, length, 0)
        stream.sendAll(_read, content)
        stream.finish()
    except BaseException:
        with suppress(libvirt.libvirtError):
            stream.abort()
        raise


def _read(_stream: object, length: int, content: BinaryIO) -> bytes:
    return content.read(length)


def remove(pool: Any, name: str) -> None:
    """Remove the volume; absent is success. Raises Busy while the host is still writing it."""
    volume = find(pool, name)
    if volume is None:
        return
    try:
        volume.delete(0)
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_OPERATION_INVALID:
            raise Busy("the host is still writing to that volume", retry_after=5.0) from None
        if errors.code(error) != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise


def names_in(pool: Any) -> list[str]:
    """Names of all volumes that libvirt knows in the pool."""
    return [str(name) for name in pool.listVolumes()]


def backing_paths(pool: Any) -> Iterator[tuple[str, str]]:
    """Each volume that is layered on another file: its name and that file's path."""
    for volume in pool.listAllVolumes(0):
        try:
            path = parse(volume.XMLDesc(0)).findtext("backingStore/path", "")
        except libvirt.libvirtError as error:
            if errors.code(error) == libvirt.VIR_ERR_NO_STORAGE_VOL:
                continue
            raise
        if path:
            yield str(volume.name()), path


def capacity(pool: Any, name: str) -> int:
    """Size in bytes of the disk that a guest sees. Raises NotFound."""
    return int(get(pool, name).info()[1])


def path_of(pool: Any, name: str) -> str:
    """Path of a volume on the host. Raises NotFound."""
    return str(get(pool, name).path())


def get(pool: Any, name: str) -> Any:
    """The volume. Raises NotFound."""
    volume = find(pool, name)
    if volume is None:
        raise NotFound(f"the volume {name} is not in its pool")
    return volume


def _volume(name: str, size: int, form: str) -> ET.Element:
    root = element("volume")
    add(root, "name", text=name)
    add(root, "capacity", {"unit": "bytes"}, str(size))
    add(root, "allocation", {"unit": "bytes"}, "0")
    target = add(root, "target")
    add(target, "format", {"type": form})
    add(add(target, "permissions"), "mode", text="0600")
    if form == "qcow2":
        add(target, "compat", text="1.1")
    return root
