"""libvirt's event loop: one for the whole process, because libvirt keeps one implementation for each process.

It must be registered before the first connection is opened; without it neither keepalive nor callbacks work.
"""

from __future__ import annotations

import threading
from functools import cache

import libvirt


@cache
def start() -> threading.Thread:
    """Register libvirt's own loop and run it in a daemon thread; a second call returns the same thread.

    libvirt also prints every error to stderr unless told otherwise; those texts hold paths, and each is raised anyway.
    """
    libvirt.registerErrorHandler(_silent, None)
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _silent(_context: object, _error: object) -> None:
    return None
