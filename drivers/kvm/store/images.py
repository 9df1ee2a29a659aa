"""Template images in a pool: each is complete, or does not count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from drivers.errors import Conflict, NoRoom, Transient
from drivers.kvm import names
from drivers.kvm.store import qcow2, volumes
from drivers.kvm.store.groups import GroupPool
from drivers.types import ImageFile, PoolSpec


@contextmanager
def opened(image: ImageFile) -> Iterator[BinaryIO]:
    """The image's file, checked, at its start."""
    try:
        with Path(image.path).open("rb") as content:
            qcow2.check(content.read(qcow2.HEADER), image.virtual_size)
            if os.fstat(content.fileno()).st_size != image.physical_size:
                raise Transient("the file of the template image does not have the size that it should have")
            content.seek(0)
            yield content
    except OSError as error:
        raise Transient(f"the file of the template image cannot be read: {error.strerror}") from None


def complete(pool: Any, image: str) -> bool:
    """Whether the pool has the image and its marker."""
    return all(volumes.find(pool, name) is not None for name in (names.image_marker(image), names.image(image)))


def require_room(found: Any, pool: PoolSpec, needed: int) -> None:
    """Raises NoRoom if the pool, or the directory beside its volume group, has not `needed` bytes left."""
    directory = found.files if isinstance(found, GroupPool) else found
    available = int(directory.info()[3])
    if available < needed:
        raise NoRoom.of(f"the pool {pool.name}", needed, available)


def upload(connection: Any, pool: Any, image: ImageFile, content: BinaryIO) -> None:
    """Image, then marker; what an interrupted upload left is replaced."""
    volumes.remove(pool, names.image_marker(image.name))
    volumes.upload_qcow2(connection, pool, names.image(image.name), content, image.physical_size, image.virtual_size)
    volumes.create_empty(pool, names.image_marker(image.name))


def remove(pool: Any, image: str) -> None:
    """Marker, then image. Raises Conflict while a disk in the pool is layered on it."""
    _require_unused(pool, image)
    volumes.remove(pool, names.image_marker(image))
    volumes.remove(pool, names.image(image))


def _require_unused(pool: Any, image: str) -> None:
    volume = volumes.find(pool, names.image(image))
    path = volume.path() if volume is not None else ""
    users = [name for name, backing in volumes.backing_paths(pool) if backing == path]
    if users:
        raise Conflict(f"the image is in use: {len(users)} disks are layered on it, for example {users[0]}")
