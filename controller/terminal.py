"""A terminal joined to a console: every key goes there, all that it says comes here, until the escape."""

from __future__ import annotations

import os
import selectors
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.consoles import Console
from drivers.errors import Busy, Conflict, DriverError

ESCAPE = b"\x1d"
ESCAPE_NAME = "^]"
"""Ctrl and ], as in virsh and telnet."""

_PIECE = 4096
_TURN = 0.5


def attach(console: Console, source: int, sink: int) -> int:
    """Join the descriptors `source` and `sink` to the console, until the escape or the end of `source`: then 0 is returned.

    1 is returned when the console ended by itself; the reason is on standard error.
    """
    left, woken = os.pipe()
    reader = threading.Thread(target=_show, args=(console, sink, woken), name="console", daemon=True)
    try:
        with _raw(source):
            reader.start()
            ended = _type(console, source, left)
    finally:
        console.close()
        reader.join(10 * _TURN)
        os.close(left)
    print(f"\n{ended or 'Left the console.'}", file=sys.stderr)
    return 1 if ended else 0


def _type(console: Console, source: int, ending: int) -> str:
    """Pass on what is typed; why the console ended, empty if the user left."""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        selector.register(ending, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if ending in ready:
                return os.read(ending, _PIECE).decode() or "the console has ended"
            typed = os.read(source, _PIECE)
            before, escape, _ = typed.partition(ESCAPE)
            try:
                if before:
                    console.write(before)
            except Busy:
                os.write(sys.stderr.fileno(), b"\a")  # what a keyboard does whose buffer is full
            except DriverError as error:
                return str(error)
            if escape or not typed:
                return ""


def _show(console: Console, sink: int, woken: int) -> None:
    """Runs in a thread; says on `woken` why it ended."""
    reason = ""
    try:
        while True:
            _write(sink, console.read(_TURN))
    except Conflict as error:
        reason = str(error)
    except (DriverError, OSError) as error:
        reason = f"the console is lost: {error}"
    finally:
        os.write(woken, reason.encode()[:_PIECE])
        os.close(woken)


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]


@contextmanager
def _raw(source: int) -> Iterator[None]:
    """Each key by itself and without an echo, where `source` is a terminal; as before in any case afterwards."""
    if not os.isatty(source):
        yield
        return
    before = termios.tcgetattr(source)
    try:
        tty.setraw(source)
        yield
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
