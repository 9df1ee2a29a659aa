"""Logical volumes of a pool, written whole when they are made. Runs on the caller's connection.

LVM gives out room with what its last user left there, so every byte is written before anybody can read it: QEMU converts a thin
file of the same size, layered on the source if there is one, whose missing parts read as zeros. qemu-img does so by commands of the
device where that can, as a process of its own, and no other call in libvirt waits for it.
"""

from __future__ import annotations

from typing import Any

from drivers.errors import NoRoom
from drivers.kvm import names
from drivers.kvm.store import groups, volumes
from drivers.kvm.store.groups import STEP, GroupPool
from drivers.kvm.xmltext import parse


def form(pool: Any) -> str:
    """What disks and volumes in the pool are; also in a volume group without the directory beside it."""
    raw = isinstance(pool, GroupPool) or parse(pool.XMLDesc(0)).get("type") == groups.KIND
    return names.RAW if raw else names.QCOW2


def rounded(size: int) -> int:
    """`size` in bytes as LVM makes it at least."""
    return -(-size // STEP) * STEP


def write(pool: GroupPool, name: str, size: int, source: str = "") -> None:
    """Make the logical volume `name` of `size` bytes or more: with what the volume `source` of the pool has, and zeros after that.

    A group of larger extents gives more than was asked for: then it is made again in the size that it gave, so that all is written.
    Raises NoRoom, before anything is made if the group is seen to have too little. On failure it may be there in part.
    """
    volumes.check_size(size)
    wanted = rounded(size)
    given = _write(pool, name, wanted, source)
    if given > wanted:
        volumes.remove(pool, name)
        given = _write(pool, name, given, source)


def _write(pool: GroupPool, name: str, size: int, source: str) -> int:
    """The size in bytes that it has."""
    _require_room(pool, size)
    draft = names.draft(name)
    below, kind = _below(pool, source)
    volumes.remove(pool.files, draft)
    volumes.create_disk(pool.files, draft, size, below, kind)
    try:
        pool.group.createXMLFrom(volumes.block(name, size), volumes.get(pool.files, draft), 0)
    finally:
        volumes.remove(pool.files, draft)
    return volumes.capacity(pool, name)


def _below(pool: GroupPool, source: str) -> tuple[str, str]:
    """Path and format of what the draft is layered on."""
    if not source:
        return "", names.QCOW2
    if source.endswith(f".{names.RAW}"):
        return pool.device(source), names.RAW
    return volumes.path_of(pool, source), names.QCOW2


def _require_room(pool: GroupPool, size: int) -> None:
    available = int(pool.info()[3])
    if available < size:
        raise NoRoom.of(f"the volume group {pool.name}", size, available)
