"""Tells a waiting person which step is on, what it does just now and for how long: one live line, or plain lines in a log."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

from standalone.cache import Progress

TICK_SECONDS = 0.2
PLAIN_SECONDS = 5.0
"""Least time between two plain lines of one step: what changes each second need not fill a log."""


class Display:
    """Shows steps on `stream`; `clock` returns seconds. `live`: rewrite one line, for a terminal."""

    def __init__(self, stream: TextIO, clock: Callable[[], float], live: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._live = live

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Show a step while the block runs; what it yields takes news of it. The step's end is shown, well or failed."""
        started = self._clock()
        show = _LiveStep(self, title, started) if self._live else _PlainStep(self, title, started)
        with show:
            try:
                yield show.tell
            except BaseException:
                show.end("✗" if self._live else "FAILED")
                raise
            show.end("✓" if self._live else "done")

    def say(self, text: str = "") -> None:
        """Show text between steps."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Put out text as it is."""
        self._stream.write(text)
        self._stream.flush()

    def since(self, started: float) -> float:
        """Seconds since a time of the clock."""
        return self._clock() - started


class _PlainStep(contextlib.AbstractContextManager["_PlainStep"]):
    def __init__(self, display: Display, title: str, started: float) -> None:
        self._display, self._title, self._started = display, title, started
        self._told: tuple[str, float] | None = None

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    def tell(self, news: str) -> None:
        now = self._display.since(self._started)
        if self._told is None or (news != self._told[0] and now - self._told[1] >= PLAIN_SECONDS):
            self._told = news, now
            self._display.say(f"{self._title}: {news}")

    def end(self, how: str) -> None:
        self._display.say(f"{self._title}: {how} ({seconds(self._display.since(self._started))})")


class _LiveStep(contextlib.AbstractContextManager["_LiveStep"]):
    """A line that a thread of its own keeps fresh, so that the time runs also while the step is silent."""

    def __init__(self, display: Display, title: str, started: float) -> None:
        self._display, self._title, self._started = display, title, started
        self._news = ""
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def __exit__(self, *_: object) -> None:
        self._stop()

    def tell(self, news: str) -> None:
        self._news = news

    def end(self, how: str) -> None:
        self._stop()
        self._display.write(f"\r\x1b[K{how} {self._title} ({seconds(self._display.since(self._started))})\n")

    def _stop(self) -> None:
        self._over.set()
        self._ticker.join()

    def _tick(self) -> None:
        while not self._over.is_set():
            self._display.write(f"\r\x1b[K{self._line(shutil.get_terminal_size().columns)}")
            self._over.wait(TICK_SECONDS)

    def _line(self, width: int) -> str:
        elapsed = seconds(self._display.since(self._started))
        news = f": {self._news}" if self._news else ""
        return f"· {self._title} ({elapsed}){news}"[: width - 1]


def seconds(value: float) -> str:
    """A time for people: `3 s`, `2 min 05 s`."""
    whole = round(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
