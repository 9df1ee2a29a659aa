"""An open console over a stream that says what libvirt's would: nothing is lost, nothing grows without bound, and it ends once."""

import threading
from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Busy, Conflict
from drivers.kvm.console import stream as console_module
from drivers.kvm.console.stream import MOST_UNREAD, MOST_UNSENT, KVMConsole
from tests.unit.kvm.fakes import libvirt_error

READABLE, WRITABLE = libvirt.VIR_STREAM_EVENT_READABLE, libvirt.VIR_STREAM_EVENT_WRITABLE
HANGUP, ERROR = libvirt.VIR_STREAM_EVENT_HANGUP, libvirt.VIR_STREAM_EVENT_ERROR


class FakeStream:
    """A stream without a host; `fire` is libvirt's event loop."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.room = 10**9
        self.wanted = 0
        self.left = 0
        self.ended = False
        self.broken = False
        self._callback: Callable[[Any, int, Any], None] | None = None

    def eventAddCallback(self, events: int, callback: Callable[[Any, int, Any], None], _opaque: object) -> None:
        self.wanted, self._callback = events, callback

    def eventUpdateCallback(self, events: int) -> None:
        assert self._callback is not None, "libvirt refuses that"
        self.wanted = events

    def eventRemoveCallback(self) -> None:
        assert self._callback is not None, "libvirt refuses that"
        self._callback = None

    def finish(self) -> None:
        self.left += 1

    def recv(self, length: int) -> bytes | int:
        if self.broken:
            raise libvirt_error(libvirt.VIR_ERR_RPC, "lost")
        if not self.incoming:
            return b"" if self.ended else -2
        piece = bytes(self.incoming[:length])
        del self.incoming[:length]
        return piece

    def send(self, data: bytes) -> int:
        taken = min(len(data), self.room)
        if not taken:
            return -2
        self.room -= taken
        self.outgoing += data[:taken]
        return taken

    def fire(self, events: int = 0) -> None:
        """What is wanted and possible now, as the loop would tell; `events` come unasked."""
        possible = (READABLE if self.incoming or self.ended or self.broken else 0) | (WRITABLE if self.room else 0)
        if self._callback is not None and (told := (self.wanted & possible) | events):
            self._callback(self, told, None)

    @property
    def callback(self) -> bool:
        return self._callback is not None


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


def test_what_the_guest_writes_is_read_in_order(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.incoming += b"login: "
    stream.fire()
    assert console.read(0) == b"login: "
    assert console.read(0) == b""


def test_what_is_typed_is_sent_when_there_is_room(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.room = 2
    console.write(b"root\n")
    assert stream.wanted & WRITABLE
    stream.fire()
    assert bytes(stream.outgoing) == b"ro"
    stream.room = 100
    stream.fire()
    assert bytes(stream.outgoing) == b"root\n"
    assert not stream.wanted & WRITABLE, "or the loop would never rest"


@given(st.lists(st.binary(max_size=2000), max_size=30), st.integers(1, 500))
def test_nothing_typed_is_lost_or_doubled(pieces: list[bytes], room: int) -> None:
    stream = FakeStream()
    console = KVMConsole(stream)
    for piece in pieces:
        stream.room = room
        console.write(piece)
        stream.fire()
    while stream.wanted & WRITABLE:
        stream.room = room
        stream.fire()
    assert bytes(stream.outgoing) == b"".join(pieces)


@given(st.lists(st.tuples(st.binary(max_size=MOST_UNREAD), st.booleans()), max_size=6))
def test_nothing_written_is_lost_or_doubled(steps: list[tuple[bytes, bool]]) -> None:
    stream = FakeStream()
    console, read = KVMConsole(stream), b""
    for piece, reading in steps:
        stream.incoming += piece
        stream.fire()
        read += console.read(0) if reading else b""
    while stream.incoming:
        read += console.read(0)
        stream.fire()
    read += console.read(0)
    assert read == b"".join(piece for piece, _ in steps)


def test_a_guest_that_floods_waits_for_the_reader(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.incoming += b"x" * (4 * MOST_UNREAD)
    while stream.wanted & READABLE:
        stream.fire()
    left = len(stream.incoming)
    assert left > 2 * MOST_UNREAD
    console.read(0)
    assert stream.wanted & READABLE
    stream.fire()
    assert len(stream.incoming) < left


def test_a_guest_that_takes_nothing_makes_typing_busy(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.room = 0
    console.write(b"x" * MOST_UNSENT)
    with pytest.raises(Busy):
        console.write(b"x")
    stream.room = 1
    stream.fire()
    console.write(b"y")


@pytest.mark.parametrize("events", [HANGUP, ERROR, HANGUP | READABLE])
def test_the_end_comes_after_the_last_words(stream: FakeStream, events: int) -> None:
    console = KVMConsole(stream)
    stream.incoming += b"power down"
    stream.fire()
    stream.fire(events)
    assert console.read(0) == b"power down"
    with pytest.raises(Conflict, match="ended"):
        console.read(0)
    with pytest.raises(Conflict, match="ended"):
        console.write(b"x")
    assert not stream.callback


def test_an_end_of_file_is_an_end(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.ended = True
    stream.fire()
    with pytest.raises(Conflict):
        console.read(0)


def test_a_lost_connection_is_an_end(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.broken = True
    stream.fire()
    with pytest.raises(Conflict):
        console.read(0)


def test_closing_leaves_it_to_others_once(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    console.close()
    console.close()
    assert (stream.left, stream.callback) == (1, False)
    with pytest.raises(Conflict):
        console.write(b"x")


def test_what_was_typed_last_is_sent_before_it_is_left(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    console.write(b"exit\n")
    loop = threading.Timer(0.05, stream.fire)
    loop.start()
    console.close()
    loop.join()
    assert (bytes(stream.outgoing), stream.left) == (b"exit\n", 1)


def test_a_guest_that_takes_nothing_keeps_nobody_from_leaving(stream: FakeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_module, "FAREWELL", 0.01)
    console = KVMConsole(stream)
    stream.room = 0
    console.write(b"exit\n")
    stream.fire()
    console.close()
    assert stream.left == 1


def test_an_ended_one_is_not_left_too(stream: FakeStream) -> None:
    console = KVMConsole(stream)
    stream.fire(HANGUP)
    console.close()
    assert stream.left == 0
