"""Programs that end tidily when they are told to: what they started is stopped, what they wrote is removed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def tidy_end() -> Iterator[None]:
    """In the block, the first signal of TOLD raises SystemExit, with the exit code of a shell; others are ignored from then on.

    So every `finally` is run, whoever is impatient. Call it in the main thread.  An event loop raises it itself, not in the middle
    of what runs in it, which may catch it; an exception that others make of it ends the program all the same.
    """
    told: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        told.append(128 + number)
        for each in TOLD:
            signal.signal(each, lambda *_: None)  # unlike SIG_IGN, no program started from now on inherits it
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            sys.exit(told[0])
        loop.call_soon_threadsafe(sys.exit, told[0])

    before = [(each, signal.signal(each, end)) for each in TOLD]
    try:
        yield
    except Exception:
        if told:
            sys.exit(told[0])
        raise
    finally:
        for each, handler in before:
            signal.signal(each, handler)
