"""What a waiting person sees, in a log and on a terminal."""

import io
import re
import threading

import pytest

from standalone.demo.display import Display, seconds


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Display, Clock, io.StringIO]:
    clock, stream = Clock(), io.StringIO()
    return Display(stream, clock, live=False), clock, stream


def test_plain_lines_of_a_step() -> None:
    display, clock, stream = plain()
    with display.step("image") as progress:
        progress("downloading")
        clock.now += 63
    assert stream.getvalue().splitlines() == ["image: downloading", "image: done (1 min 03 s)"]


def test_a_silent_step_is_one_line() -> None:
    display, _, stream = plain()
    with display.step("image"):
        pass
    assert stream.getvalue() == "image: done (0 s)\n"


@pytest.mark.parametrize(
    ("news", "shown"),
    [
        ([(0.0, "a"), (1.0, "b"), (2.0, "c")], ["a"]),
        ([(0.0, "a"), (1.0, "b"), (5.0, "c")], ["a", "c"]),
        ([(0.0, "a"), (6.0, "a"), (7.0, "b")], ["a", "b"]),
        ([(4.0, "a"), (8.0, "b"), (9.0, "c")], ["a", "c"]),
    ],
)
def test_plain_lines_are_few(news: list[tuple[float, str]], shown: list[str]) -> None:
    display, clock, stream = plain()
    start = clock.now
    with display.step("s") as progress:
        for at, text in news:
            clock.now = start + at
            progress(text)
    assert stream.getvalue().splitlines()[:-1] == [f"s: {text}" for text in shown]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("live", [False, True])
def test_a_failed_step_is_shown_and_raises(error: BaseException, live: bool) -> None:
    stream = io.StringIO()
    with pytest.raises(type(error)), Display(stream, Clock(), live).step("host"):
        raise error
    assert ("✗ host" if live else "host: FAILED") in stream.getvalue().splitlines()[-1]


def test_a_terminal_sees_one_line_per_step() -> None:
    stream, clock, threads = io.StringIO(), Clock(), set(threading.enumerate())
    display = Display(stream, clock, live=True)
    with display.step("first") as progress:
        progress("working")
        clock.now += 3
    with display.step("second"):
        pass
    assert set(threading.enumerate()) <= threads, "nothing goes on writing"
    assert on_screen(stream.getvalue()) == ["✓ first (3 s)", "✓ second (0 s)"]


def test_the_live_line_shows_news_and_time_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    ticked = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "news" in text:
                ticked.set()
            return super().write(text)

    stream = Stream()
    with Display(stream, Clock(), live=True).step("title") as progress:
        progress("news " + "x" * 100)
        assert ticked.wait(120)
    lines = [line for line in re.split(r"\r\x1b\[K|\n", stream.getvalue()) if "news" in line]
    assert lines[0].startswith("· title (0 s): news xxx")
    assert {len(line) for line in lines} == {29}


def on_screen(written: str) -> list[str]:
    """The lines that a terminal shows in the end: each carriage return with an erasure begins its line anew."""
    return [line.rpartition("\r\x1b[K")[2] for line in written.split("\n")[:-1]]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (61.0, "1 min 01 s"), (754.0, "12 min 34 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text
