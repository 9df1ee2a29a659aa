"""How the process takes and gives back memory: tuned once, before it has taken much."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from typing import NoReturn

_GARBAGE = 20_000  # new objects between two looks for garbage

_FULL_LOOK = 300.0  # seconds

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_LARGE = 128 << 10  # glibc's own defaults, in bytes; setting them keeps it from raising them by what was freed
_ARENAS = 2


def tune() -> None:
    """Take in objects fast, and give memory back that is no longer needed."""
    _collect_rarely()
    _give_back()


async def collect_old() -> NoReturn:
    """Look for old garbage every five minutes.

    The collector itself looks there only once a quarter of all objects is new, and a connection that was lost is a few objects
    that hold much: errors hold their tracebacks, and these all that was under way.  With half a million objects it takes 0.05 s.
    """
    while True:
        await asyncio.sleep(_FULL_LOOK)
        gc.collect()


def _collect_rarely() -> None:
    """Look for garbage in cycles less often, and not among what was imported: taking in 10,000 objects costs half as much."""
    gc.freeze()
    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])


def _give_back() -> None:
    """Keep glibc from hoarding: one heap for each of many threads, and buffers of connections amid small objects.

    Else a process that lives through many lost connections grows by tens of MiB per hour, none of which is in use.  Elsewhere
    (musl, macOS) there is nothing to set, and nothing is.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _LARGE)
        mallopt(_ARENA_MAX, _ARENAS)
