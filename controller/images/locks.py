"""A lock between processes on one machine, by flock(2): it vanishes with its holder, however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

__all__ = ["file_lock"]

_POLL: Final = 0.2


@contextlib.asynccontextmanager
async def file_lock(path: Path) -> AsyncIterator[None]:
    """Hold the lock file `path`; waits without blocking the event loop. The file is removed at the end."""
    while (descriptor := _try(path)) is None:  # noqa: ASYNC110  # the kernel tells nobody when a flock is free
        await asyncio.sleep(_POLL)
    try:
        yield
    finally:
        _release(path, descriptor)


def _release(path: Path, descriptor: int) -> None:
    """The file goes before the lock: afterwards somebody else may hold a lock on it."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.close(descriptor)


def _try(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us may have removed the file that we opened: then our lock is on a file that nobody else will open.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    os.close(descriptor)
    return None
