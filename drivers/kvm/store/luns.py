"""LUNs of an iSCSI target, as libvirt on a host sees them. Runs on the caller's connection.

Nothing of it stays on the host: the pool that lists them lasts as long as the look. One that is defined would be asked for by
whoever lists pools, and started with libvirtd, and a server that does not answer would hold up both.
https://libvirt.org/storage.html#iscsi-direct-pool
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from drivers.errors import StorageUnavailable, Unsupported
from drivers.kvm import errors, names
from drivers.kvm.xmltext import add, element, parse, render
from drivers.types import ISCSITarget, ObservedLUN, PoolSpec

KIND = "iscsi-direct"
_UNIT = re.compile(r"unit:[0-9]+:[0-9]+:([0-9]{1,5})")
_ABSENT = "missing backend"
_DEFAULT_PORT = "3260"


def read(connection: Any, pool: PoolSpec, target: ISCSITarget, initiator: str) -> tuple[ObservedLUN, ...]:
    """All LUNs that the host may use, logged in as `initiator`.

    Whether the server answers and has the target is asked first: that keeps nobody else waiting in libvirtd.
    Raises InvalidSpec for a target that is none, Unsupported where libvirt cannot do it, StorageUnavailable if it is not there.
    """
    source = _source(names.target(target), initiator)
    try:
        _require_offered(connection, source, target)
        with _listing(connection, pool, source) as listed:
            return tuple(sorted(_luns(listed), key=lambda each: each.lun))
    except libvirt.libvirtError as error:
        text = error.get_error_message() or ""
        if errors.code(error) == libvirt.VIR_ERR_NO_SUPPORT or _ABSENT in text:
            raise Unsupported(f"the host's libvirt has no storage backend {KIND}", native_code=errors.native(error)) from None
        raise StorageUnavailable(f"the iSCSI target {target} does not answer the host: {errors.redact(text)}") from None


def _source(target: ISCSITarget, initiator: str) -> ET.Element:
    source = element("source")
    add(source, "host", {"name": target.server, "port": str(target.port)})
    add(source, "device", {"path": target.name})
    add(add(source, "initiator"), "iqn", {"name": initiator})
    return source


def _require_offered(connection: Any, source: ET.Element, target: ISCSITarget) -> None:
    """Raises StorageUnavailable if the server does not offer the target to this initiator."""
    offered = parse(connection.findStoragePoolSources(KIND, render(source), 0))
    if target.name not in {device.get("path") for device in offered.iterfind("source/device")}:
        raise StorageUnavailable(f"the iSCSI server {target.server} has no target {target.name} for this host")


@contextmanager
def _listing(connection: Any, pool: PoolSpec, source: ET.Element) -> Iterator[Any]:
    """A libvirt pool with the LUNs of now: somebody's, who has it for himself, or one that is gone afterwards."""
    found = _present(connection, source)
    if found is None:
        root = element("pool", {"type": KIND})
        add(root, "name", text=names.pool(pool.name))
        root.append(source)
        found = connection.storagePoolCreateXML(render(root), 0)
    elif found.isActive():
        found.refresh(0)
    else:
        raise StorageUnavailable(f"libvirt has a pool for that target, {found.name()}, which is stopped: start or remove it")
    try:
        yield found
    finally:
        if not found.isPersistent():
            with suppress(libvirt.libvirtError):
                found.destroy()


def _present(connection: Any, source: ET.Element) -> Any | None:
    """Libvirt has one pool for a target at most: somebody's, or one that a look left which did not end."""
    for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT):
        with suppress(libvirt.libvirtError):
            has = parse(pool.XMLDesc(0)).find("source")
            if has is not None and _place(has) == _place(source):
                return pool
    return None


def _place(source: ET.Element) -> tuple[str, str, str]:
    host, device = source.find("host"), source.find("device")
    where = ("", "") if host is None else (host.get("name", ""), host.get("port", _DEFAULT_PORT))
    return (*where, "" if device is None else device.get("path", ""))


def _luns(pool: Any) -> Iterator[ObservedLUN]:
    for volume in pool.listAllVolumes(0):
        unit, size = _UNIT.fullmatch(str(volume.name())), int(volume.info()[1])
        if unit is not None and size > 0:  # a target's controller may have a number too, and is no disk
            yield ObservedLUN(int(unit[1]), whole(size))


def whole(size: int) -> int:
    """Bytes of a LUN that libvirt gives as `size`: it takes the number of the last block for how many there are.

    How large blocks are, it does not tell; storage is given out in larger pieces than that.
    """
    for block, piece in ((512, 4096), (4096, 1 << 20)):
        if (size + block) % piece == 0:
            return size + block
    return size
