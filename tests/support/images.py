"""Downloads of template images without a network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection

from controller.images import Image, ImageError, Source
from drivers.types import ImageFile

GIB = 2**30
SHA = "ab" * 32


class FakeImages:
    """An ImageCache without a network: each source leads to `checksums` of its URL, or to an error."""

    def __init__(self) -> None:
        self.checksums: dict[str, str] = {}
        self.errors: dict[str, ImageError] = {}
        self.kept: dict[str, Image] = {}
        self.downloads: list[str] = []
        self.seconds = 1.0
        self.virtual_size = 2 * GIB

    def lookup(self, name: str) -> Image | None:
        return self.kept.get(name)

    async def download(self, source: Source, progress: Callable[[str, int | None], None]) -> Image:
        self.downloads.append(source.url)
        progress("Downloading", 10)
        await asyncio.sleep(self.seconds)
        if error := self.errors.get(source.url):
            raise error
        sha = self.checksums.get(source.url, SHA)
        name = f"{source.format.lower()}-{sha}"
        file = ImageFile(name, __file__, self.virtual_size, os.stat(__file__).st_size)
        self.kept[name] = Image(file, f"sha256:{sha}")
        return self.kept[name]

    def evict(self, max_bytes: int, in_use: Collection[str]) -> list[str]:
        return []
