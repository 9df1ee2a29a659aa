"""Finished images in a directory: `<name>.qcow2` with `<name>.json` beside it, and which source led to which image.

The JSON is written last and removed first: an image without it does not exist for anyone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.images.source import Source
from drivers.types import ImageFile

__all__ = ["Image", "ImageStore"]

_NAME: Final = re.compile("[a-z0-9-]{1,128}")
"""Names come back from statuses, which others may have written: none of them leads out of the directory."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image ready for a pool. `checksum` is `sha256:…` over the source's bytes, also if the user gave none or another."""

    file: ImageFile
    checksum: str


class ImageStore:
    """Images by name, least recently used first out. Every method is quick; none is called for the same name at once."""

    def __init__(self, directory: Path) -> None:
        self._images = directory / "images"
        self._sources = directory / "sources"
        for path in (self._images, self._sources):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, name: str) -> Image | None:
        """A finished image, now used; None if there is none of that name."""
        if not _NAME.fullmatch(name):
            return None
        notes = self._notes(name)
        try:
            said = json.loads(notes.read_text())
            file = ImageFile(name, str(self._data(name)), int(said["virtualSize"]), int(said["physicalSize"]))
            if self._data(name).stat().st_size != file.physical_size:
                return None
            os.utime(notes)
            return Image(file, str(said["checksum"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def find(self, source: Source) -> Image | None:
        """The image made from this very source earlier; only sources with a checksum are known to stay the same."""
        if source.checksum is None:
            return None
        try:
            return self.get((self._sources / source.key).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def add(self, name: str, made: Path, virtual_size: int, checksum: str) -> Image:
        """Move a finished qcow2 file in, and return its image."""
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        size = made.stat().st_size
        os.replace(made, self._data(name))
        said = {"virtualSize": virtual_size, "physicalSize": size, "checksum": checksum}
        _write(self._notes(name), json.dumps(said))
        return Image(ImageFile(name, str(self._data(name)), virtual_size, size), checksum)

    def remember(self, source: Source, name: str) -> None:
        """Note that this source leads to that image."""
        if source.checksum is not None:
            _write(self._sources / source.key, name)

    def evict(self, max_bytes: int, in_use: Collection[str]) -> list[str]:
        """Remove images not in use, least recently used first, until the rest has at most `max_bytes`; returns their names."""
        sizes = {path.stem: path.stat().st_size for path in self._images.glob("*.qcow2")}
        excess = sum(sizes.values()) - max_bytes
        removed = []
        for name in sorted(sizes, key=self._used_at):
            if excess <= 0:
                break
            if name not in in_use:
                self._remove(name)
                excess -= sizes[name]
                removed.append(name)
        self._forget_sources(removed)
        return removed

    def _forget_sources(self, names: Collection[str]) -> None:
        for path in list(self._sources.iterdir()):
            if path.read_text() in names:
                path.unlink()

    def _remove(self, name: str) -> None:
        for path in (self._notes(name), self._data(name)):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _used_at(self, name: str) -> float:
        try:
            return self._notes(name).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _data(self, name: str) -> Path:
        return self._images / f"{name}.qcow2"

    def _notes(self, name: str) -> Path:
        return self._images / f"{name}.json"


def _write(path: Path, text: str) -> None:
    """Replace a small file as a whole."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
