"""From a source to an image that is ready for a pool: download, verify, check, convert, keep."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

import httpx

from controller.images import qemu
from controller.images.digest import digest
from controller.images.errors import ImageError, Reason
from controller.images.flights import Flights
from controller.images.headers import check_header
from controller.images.limits import Limits
from controller.images.locks import file_lock
from controller.images.partial import Partial
from controller.images.progress import Phase, Progress, Steps
from controller.images.source import ImageFormat, Source
from controller.images.store import Image, ImageStore
from controller.images.threads import in_thread
from controller.images.transfer import fetch

__all__ = ["Image", "ImageCache"]

_WAIT_FOR_DISK: Final = 60.0
_ABANDONED: Final = 7 * 24 * 3600.0
"""Seconds after which a partial download that nobody goes on with is removed."""


class ImageCache:
    """Images in a directory of the controller, by content. Several processes may share the directory.

    Names are made of checksums only; nothing that a server or a user says becomes part of a path.
    """

    def __init__(self, directory: Path, client: httpx.AsyncClient, limits: Limits) -> None:
        self._partial = directory / "partial"
        self._locks = directory / "locks"
        for path in (self._partial, self._locks):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._store = ImageStore(directory)
        self._client = client
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.concurrent)
        self._flights: Flights[Image] = Flights()

    def lookup(self, name: str) -> Image | None:
        """A finished image by its name (`Image.file.name`), without any network; None if it is not here (any more)."""
        return self._store.get(name)

    async def download(self, source: Source, progress: Progress | None = None) -> Image:
        """The image of this source, made now unless it is here already. Raises ImageError.

        May take hours; cancel it to stop it. Calls for the same source share the work, also between processes. After a failure
        that is not terminal, or a restart of the process, the next call goes on where this one ended.
        """
        return await self._flights.join(source.key, lambda tell: self._make(source, tell), progress)

    def evict(self, max_bytes: int, in_use: Collection[str]) -> list[str]:
        """Make room: remove images not in use, least recently used first, down to `max_bytes`, and abandoned partial downloads.

        `in_use` are names of images that someone still needs here. Returns the names of the removed.
        """
        for path in self._partial.iterdir():
            if path.stat().st_mtime < time.time() - _ABANDONED:
                path.unlink()
        return self._store.evict(max_bytes, in_use)

    async def _make(self, source: Source, progress: Progress) -> Image:
        steps = Steps(progress)
        steps(Phase.QUEUED)
        async with file_lock(self._locks / source.key), self._slots:
            if known := self._store.find(source):
                return known
            partial = Partial(self._partial, source.key)
            try:
                image = await self._produce(source, partial, steps)
            except ImageError as error:
                if error.terminal:
                    partial.discard()
                raise
            partial.discard()
            self._store.remember(source, image.file.name)
            return image

    async def _produce(self, source: Source, partial: Partial, steps: Steps) -> Image:
        checksum = await self._verified(source, partial, steps)
        name = f"{source.format.lower()}-{checksum}"
        if known := self._store.get(name):
            return known
        check_header(partial.path, source.format)
        size = await qemu.virtual_size(partial.path, source.format)
        if size > self._limits.max_virtual_bytes:
            message = f"the image declares a disk of {size} bytes; {self._limits.max_virtual_bytes} are allowed"
            raise ImageError(Reason.UNSAFE_IMAGE, message)
        if source.format in (ImageFormat.QCOW2, ImageFormat.VMDK):
            await qemu.check(partial.path, source.format)
        made = self._partial / f"{source.key}.qcow2"
        try:
            ready = await self._converted(source, partial, made, steps)
            return await in_thread(self._store.add, name, ready, size, f"sha256:{checksum}")
        finally:
            _remove(made)

    async def _verified(self, source: Source, partial: Partial, steps: Steps) -> str:
        """Download until the checksum is right; returns the SHA-256. A mixture of old and new content gets one fresh start."""
        while True:
            resumed = await fetch(self._client, source, partial, self._limits, steps)
            wanted = source.checksum
            algorithms = {"sha256", *([wanted.algorithm] if wanted else [])}
            found = await digest(partial.path, algorithms, lambda done, total: steps(Phase.VERIFYING, done, total))
            if wanted is None or found[wanted.algorithm] == wanted.value:
                return found["sha256"]
            partial.discard()
            if not resumed:
                message = f"{source.shown} has {wanted.algorithm}:{found[wanted.algorithm]}, the template says {wanted}"
                raise ImageError(Reason.CHECKSUM_MISMATCH, message)

    async def _converted(self, source: Source, partial: Partial, made: Path, steps: Steps) -> Path:
        """The qcow2 file: the download itself if it is one, else `made`."""
        if source.format is ImageFormat.QCOW2:
            return partial.path
        _remove(made)
        room = shutil.disk_usage(self._partial).free - self._limits.free_bytes
        allowed = max(0, min(self._limits.max_bytes, room))
        steps(Phase.CONVERTING, 0, 100)
        try:
            await qemu.convert(partial.path, source.format, made, allowed, lambda percent: steps(Phase.CONVERTING, percent, 100))
        except qemu.OutputTooLarge:
            if allowed < self._limits.max_bytes:
                message = "the controller's image directory has too little room for the converted image"
                raise ImageError(Reason.INSUFFICIENT_DISK, message, retry_after=_WAIT_FOR_DISK) from None
            message = f"the converted image is larger than the {allowed} bytes allowed"
            raise ImageError(Reason.IMAGE_TOO_LARGE, message) from None
        return made


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
