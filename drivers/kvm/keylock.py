"""Locks by name: calls on one object follow each other, calls on others don't wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.errors import Busy
from drivers.types import VolumeID


class KeyedLocks:
    """As many locks as there are names in use; one that nobody holds or waits for is forgotten."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def hold(self, key: str, timeout: float) -> Iterator[None]:
        """Hold the lock of `key`; not reentrant. Raises Busy if it does not come free in `timeout` seconds."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            if not lock.acquire(timeout=timeout):
                raise Busy("another call on this object is under way")
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._locks)


def volume_key(volume: VolumeID) -> str:
    """Name of a volume's lock. Who holds that of a VM may take this one, never the other way round."""
    return f"volume {volume}"
