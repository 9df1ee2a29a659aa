"""The process's memory, tuned in a process of its own: it holds for all that comes after."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import subprocess
import sys
import weakref
from typing import Any

import pytest

from controller import memory
from tests.unit.runtime.virtual import run

_TRY = """
import ctypes, gc, json
from controller import memory

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
{tuned}
before = libc.mallinfo2().hblks
for _ in range(3):
    bytearray(256 << 10)  # as large as the buffer of a connection; what is freed is what glibc learns from
held = [bytearray(256 << 10) for _ in range(20)]
print(json.dumps({{"mapped": libc.mallinfo2().hblks - before, "frozen": gc.get_freeze_count(), "threshold": gc.get_threshold()}}))
"""

glibc = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="it is glibc that is tuned: this is another libc")


def _tried(tuned: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", _TRY.format(tuned=tuned)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@glibc
def test_buffers_of_connections_are_given_back_as_soon_as_they_are_freed() -> None:
    assert _tried("memory.tune()")["mapped"] == 20, "each is memory of its own, which goes when it is freed"
    assert _tried("")["mapped"] == 0, "untuned they lie amid what stays: the test shows something"


@glibc
def test_garbage_is_looked_for_rarely_and_not_among_what_was_imported() -> None:
    tuned, untuned = _tried("memory.tune()"), _tried("")
    assert tuned["frozen"] > 0 == untuned["frozen"]
    assert tuned["threshold"][0] > untuned["threshold"][0]
    assert tuned["threshold"][1:] == untuned["threshold"][1:]


def test_another_libc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory._give_back()


class Node:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_old_garbage_goes_within_minutes() -> None:
    async def main() -> bool:
        looking = asyncio.create_task(memory.collect_old())
        seen = weakref.ref(Node())
        gc.disable()  # nobody else looks
        try:
            await asyncio.sleep(301)
        finally:
            gc.enable()
            looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        return seen() is None

    assert run(main())
