"""Logs of serial consoles, which virtlogd keeps beside libvirt's own logs of domains.

That directory is made a storage pool: so logs are read and removed through libvirt, as everything else on a host. Their size is
bounded by virtlogd (`max_size`, `max_backups` in virtlogd.conf; by default 2 MiB and three older files).
"""

from __future__ import annotations

import re
from typing import Any

import libvirt

from drivers.errors import NotFound
from drivers.kvm import domains, names
from drivers.kvm.store import pools, volumes
from drivers.kvm.xmltext import add, element, render
from drivers.types import InstanceID

POOL = "vireo-console-logs"
MOST = 16 << 20
"""Bytes that are read at most, the newest: without virtlogd nothing bounds a log."""

_PIECE = 256 * 1024


def read(connection: Any, instance: InstanceID) -> bytes:
    """What is kept, oldest first, at most `MOST` bytes. Raises NotFound if there is nothing."""
    pool = _pool(connection)
    found = _files(pool, instance)
    if not found:
        raise NotFound(f"no console log is kept of the VM {instance}: it has not run since it was made to keep one")
    content = b""
    for name in found:
        room = MOST - len(content)
        if room > 0:
            content = _tail(connection, pool, name, room) + content
    return content


def remove(connection: Any, instance: InstanceID) -> None:
    """Remove a VM's log with its older parts; none is success."""
    pool = _pool(connection)
    for name in _files(pool, instance):
        volumes.remove(pool, name)


def _files(pool: Any, instance: InstanceID) -> list[str]:
    """The log and its older parts, newest first; virtlogd numbers them from 0."""
    pattern = re.compile(rf"{re.escape(names.console_log(instance))}(?:\.(\d{{1,4}}))?")
    found = [match for name in volumes.names_in(pool) if (match := pattern.fullmatch(name))]
    return [match[0] for match in sorted(found, key=lambda match: int(match[1] or -1))]


def _pool(connection: Any) -> Any:
    try:
        pool = connection.storagePoolLookupByName(POOL)
    except libvirt.libvirtError:
        root = element("pool", {"type": "dir"})
        add(root, "name", text=POOL)
        add(add(root, "target"), "path", text=names.CONSOLE_LOGS)
        with domains.suppress_code(libvirt.VIR_ERR_OPERATION_FAILED):  # somebody else was faster
            connection.storagePoolDefineXML(render(root), 0)
        pool = connection.storagePoolLookupByName(POOL)
    if not pool.isActive():
        with domains.suppress_code(libvirt.VIR_ERR_OPERATION_INVALID):
            pool.create(0)
    pools.reread(pool)
    return pool


def _tail(connection: Any, pool: Any, name: str, most: int) -> bytes:
    """The last `most` bytes of a file; nothing if it is gone meanwhile."""
    volume = volumes.find(pool, name)
    if volume is None:
        return b""
    size = int(volume.info()[1])
    start = max(0, size - most)
    content = bytearray()
    stream = connection.newStream(0)
    volume.download(stream, start, min(size, most), 0)
    while piece := stream.recv(_PIECE):
        content += piece
    stream.finish()
    return bytes(content)
