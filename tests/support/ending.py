"""Programs that end tidily when they are told to: what they started is stopped, what they wrote is removed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def tidy_end() -> Iterator[None]:
    """In the block, the first signal of TOLD raises SystemExit, with the exit code of a shell; others are ignored from then on.

    So every `finally` is run, whoever is impatient. Call it in the main thread.
    """

    def end(number: int, _: FrameType | None) -> None:
        for each in TOLD:
            signal.signal(each, lambda *_: None)  # unlike SIG_IGN, no program started from now on inherits it
        raise SystemExit(128 + number)

    before = [(each, signal.signal(each, end)) for each in TOLD]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
