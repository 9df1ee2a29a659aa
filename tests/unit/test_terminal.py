"""A terminal at a console: keys go through untouched, the escape leaves, and the terminal is as before in the end."""

import os
import pty
import queue
import select
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from controller.terminal import ESCAPE, attach
from drivers.errors import Busy, Conflict, Transient

PATIENCE = 120.0


@dataclass
class Guest:
    """A console whose guest says what `says` has; an error there is raised, and so is each of `refusals` once on writing."""

    says: "queue.Queue[bytes | Exception]" = field(default_factory=queue.Queue)
    typed: bytearray = field(default_factory=bytearray)
    refusals: list[Exception] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def read(self, timeout: float) -> bytes:
        if self.closed.is_set():
            raise Conflict("closed")
        try:
            said = self.says.get(timeout=min(timeout, 0.05))
        except queue.Empty:
            return b""
        if isinstance(said, Exception):
            raise said
        return said

    def write(self, data: bytes) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.typed += data

    def close(self) -> None:
        self.closed.set()


class Person:
    """The other end of a terminal in which `attach` runs."""

    def __init__(self, guest: Guest) -> None:
        self.own, self.terminal = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.outcome: int | None = None
        self._guest = guest
        self._thread = threading.Thread(target=self._attach, daemon=True)
        self._thread.start()

    def type(self, keys: bytes) -> None:
        os.write(self.own, keys)

    def sees(self, wanted: bytes) -> bytes:
        seen, deadline = b"", time.monotonic() + PATIENCE
        while wanted not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([self.own], [], [], 0.1)[0]:
                seen += os.read(self.own, 4096)
        return seen

    def leaves(self) -> int:
        self._thread.join(PATIENCE)
        assert self.outcome is not None, "it did not end"
        return self.outcome

    def in_raw_mode(self) -> None:
        self._until(lambda: not termios.tcgetattr(self.terminal)[3] & (termios.ECHO | termios.ICANON | termios.ISIG))

    def until_typed(self, wanted: bytes) -> None:
        self._until(lambda: bytes(self._guest.typed) == wanted)

    def _until(self, holds: object) -> None:
        assert callable(holds)
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, bytes(self._guest.typed)
            time.sleep(0.01)

    def _attach(self) -> None:
        self.outcome = attach(self._guest, self.terminal, self.terminal)

    def close(self) -> None:
        os.close(self.own)
        os.close(self.terminal)


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def person(guest: Guest) -> Iterator[Person]:
    made = Person(guest)
    made.in_raw_mode()
    yield made
    guest.says.put(Conflict("over"))
    made._thread.join(PATIENCE)
    made.close()


def test_what_the_guest_says_is_shown_as_it_is(person: Person, guest: Guest) -> None:
    guest.says.put(b"\x1b[1mlogin:\r\n\xff")
    assert person.sees(b"\xff") == b"\x1b[1mlogin:\r\n\xff"


def test_keys_that_a_terminal_would_keep_go_to_the_guest(person: Person, guest: Guest) -> None:
    keys = b"a\x03\x1a\x04\x1c\x7f\r\x11\x13\xc3\xa9"
    person.type(keys)
    person.until_typed(keys)


def test_the_escape_leaves_and_what_comes_before_it_is_typed(person: Person, guest: Guest) -> None:
    person.type(b"reboot\r" + ESCAPE + b"never")
    assert person.leaves() == 0
    assert bytes(guest.typed) == b"reboot\r"
    assert guest.closed.is_set()
    assert termios.tcgetattr(person.terminal) == person.before


@pytest.mark.parametrize("error", [Conflict("the VM is off"), Transient("the host is gone")])
def test_a_console_that_ends_says_why(error: Exception, person: Person, guest: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    guest.says.put(b"power down\r\n")
    guest.says.put(error)
    assert b"power down" in person.sees(b"down\r\n")
    assert person.leaves() == 1
    assert str(error) in capfd.readouterr().err
    assert termios.tcgetattr(person.terminal) == person.before


def test_a_guest_that_takes_no_more_beeps(person: Person, guest: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    guest.refusals.append(Busy("full"))
    person.type(b"x")
    person._until(lambda: not guest.refusals)
    person.type(b"y")
    person.until_typed(b"y")
    person.type(ESCAPE)
    assert person.leaves() == 0
    assert "\a" in capfd.readouterr().err


def test_typing_into_an_ended_console_ends(person: Person, guest: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    guest.refusals.append(Conflict("the console has ended"))
    person.type(b"x")
    assert person.leaves() == 1
    assert "the console has ended" in capfd.readouterr().err


def test_a_script_types_its_input_and_leaves_at_its_end(guest: Guest) -> None:
    left, right = os.pipe()
    shown, sink = os.pipe()
    os.write(right, b"sync\n")
    os.close(right)
    assert attach(guest, left, sink) == 0
    assert bytes(guest.typed) == b"sync\n"
    for descriptor in (left, shown, sink):
        os.close(descriptor)
