"""Digests of a file, without holding up the event loop."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from controller.images.threads import in_thread

__all__ = ["digest"]

_BLOCK: Final = 8 << 20


async def digest(path: Path, algorithms: Iterable[str], tell: Callable[[int, int], None]) -> dict[str, str]:
    """Hexadecimal digests of the file by algorithm, in one pass; `tell` learns how many bytes of how many are done."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    total, done = os.stat(path).st_size, 0

    def block() -> int:
        data = file.read(_BLOCK)
        for each in hashes.values():
            each.update(data)
        return len(data)

    with path.open("rb") as file:
        while size := await in_thread(block):
            done += size
            tell(done, total)
    return {name: each.hexdigest() for name, each in hashes.items()}
