"""Drivers by the name of their hypervisor."""

from __future__ import annotations

import threading
from collections.abc import Callable

from drivers.base import Driver


class Drivers:
    """Loads each driver once: connections of one driver share what it keeps, and finding one takes a look at all packages."""

    def __init__(self, load: Callable[[str], Driver]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._loaded: dict[str, Driver] = {}

    def get(self, hypervisor: str) -> Driver:
        """The driver of a hypervisor, in any thread. Raises what loading it raises, again and again until it succeeds."""
        with self._lock:
            if hypervisor not in self._loaded:
                self._loaded[hypervisor] = self._load(hypervisor)
            return self._loaded[hypervisor]
