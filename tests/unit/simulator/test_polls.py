"""Many replies awaited in one thread, from servers that do as they like."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.simulator.polls import MAX_REPLY, Polls

DEADLINE = 120.0
FOREVER = 1000.0


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Pair:
    """A socket that is polled, and the server's end of it."""

    def __init__(self, polls: Polls, seconds: float = FOREVER) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.told: list[bytes | None] = []
        self._polls = polls
        self.poll(seconds)

    def poll(self, seconds: float = FOREVER) -> None:
        self._polls.add(self.ours, seconds, self.told.append)

    def close(self) -> None:
        with suppress(OSError):
            self.ours.shutdown(socket.SHUT_RDWR)
        self.theirs.close()


@pytest.fixture
def polls() -> Polls:
    return Polls()


@pytest.fixture
def pair(polls: Polls) -> Iterator[Pair]:
    pair = Pair(polls)
    yield pair
    pair.close()


def threads(before: set[threading.Thread]) -> int:
    return sum(thread.name == "simulator-events" for thread in set(threading.enumerate()) - before)


@given(payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=5), cuts=st.lists(st.integers(1, 50), max_size=20))
def test_replies_come_whole_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    pair = Pair(Polls())
    try:
        for payload in payloads:
            rest = frame(payload)
            for cut in cuts:
                pair.theirs.sendall(rest[:cut])
                rest = rest[cut:]
            pair.theirs.sendall(rest)
            until(lambda: bool(pair.told))
            assert pair.told == [payload]
            pair.told.clear()
            pair.poll()
    finally:
        pair.close()


BROKEN: dict[str, Callable[[socket.socket], object]] = {
    "closes": lambda link: link.close(),
    "closes within a length": lambda link: (link.sendall(b"\0\0"), link.close()),
    "closes within a reply": lambda link: (link.sendall(frame(b"hello")[:-1]), link.close()),
    "too long": lambda link: link.sendall(struct.pack(">I", MAX_REPLY + 1)),
    "two at once": lambda link: link.sendall(frame(b"one") + frame(b"two")),
    "HTTP": lambda link: link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_reply_is_told_once_and_others_are_not_harmed(polls: Polls, pair: Pair, what: str) -> None:
    other = Pair(polls)
    BROKEN[what](pair.theirs)
    other.theirs.sendall(frame(b"well"))
    until(lambda: bool(pair.told and other.told))
    assert (pair.told, other.told) == ([None], [b"well"])
    other.close()


def test_one_that_never_answers_is_given_up_and_one_that_drips_too(polls: Polls) -> None:
    silent, dripping, patient = Pair(polls, 0.05), Pair(polls, 0.05), Pair(polls)
    dripping.theirs.sendall(b"\0")
    until(lambda: bool(silent.told and dripping.told))
    assert (silent.told, dripping.told, patient.told) == ([None], [None], [])
    for pair in (silent, dripping, patient):
        pair.close()


def test_shutting_a_socket_down_frees_it(pair: Pair) -> None:
    pair.ours.shutdown(socket.SHUT_RDWR)
    until(lambda: bool(pair.told))
    assert pair.told == [None]


def test_a_listener_that_fails_harms_no_other(polls: Polls, pair: Pair) -> None:
    def fail(_: bytes | None) -> None:
        raise KeyError("hunter2")

    bad, theirs = socket.socketpair()
    polls.add(bad, FOREVER, fail)
    theirs.sendall(frame(b"x"))
    until(lambda: bad not in polls._awaited)
    pair.theirs.sendall(frame(b"still here"))
    until(lambda: bool(pair.told))
    assert pair.told == [b"still here"]


def test_one_thread_for_all_while_there_is_something_to_wait_for() -> None:
    polls, before = Polls(), set(threading.enumerate())
    pairs = [Pair(polls) for _ in range(100)]
    assert threads(before) == 1
    for number, pair in enumerate(pairs):
        pair.theirs.sendall(frame(b"%d" % number))
    until(lambda: all(pair.told for pair in pairs))
    assert [pair.told for pair in pairs] == [[b"%d" % number] for number in range(100)]
    until(lambda: threads(before) == 0)
    pairs[0].told.clear()
    pairs[0].poll()
    assert threads(before) == 1, "a new one for new work"
    pairs[0].theirs.sendall(frame(b"again"))
    until(lambda: bool(pairs[0].told))
    assert pairs[0].told == [b"again"]
    for pair in pairs:
        pair.close()


def test_a_listener_may_poll_again_at_once(polls: Polls) -> None:
    ours, theirs = socket.socketpair()
    told: list[bytes | None] = []

    def hear(reply: bytes | None) -> None:
        told.append(reply)
        if reply is not None:
            polls.add(ours, FOREVER, hear)

    polls.add(ours, FOREVER, hear)
    for number in range(50):
        theirs.sendall(frame(b"%d" % number))
        until(lambda number=number: len(told) > number)  # type: ignore[misc]
    theirs.close()
    until(lambda: len(told) > 50)
    assert told == [*(b"%d" % number for number in range(50)), None]
