"""The client against servers that break every rule."""

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from drivers.errors import AuthFailed, DriverError, Transient, Unanswered
from drivers.simulator.client import SocketTransport as Transport
from drivers.simulator.polls import MAX_REPLY, Polls
from drivers.types import HostID, InstanceID

START = ("power.start", (HostID("h"), InstanceID("i")))
LIST = ("hosts.list", ())


def SocketTransport(address: tuple[str, int], *, timeout: float = 15.0) -> Transport:
    return Transport(address, Polls(), timeout=timeout)


Answer = Callable[[socket.socket, bytes], None]


def frame(status: str, body: bytes) -> bytes:
    payload = status.encode() + b"\n" + body
    return struct.pack(">I", len(payload)) + payload


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, int]]:
    """Listens on loopback and lets `answer` deal with each request as it came."""
    listener = socket.create_server(("127.0.0.1", 0))
    links: list[socket.socket] = []

    def serve(link: socket.socket) -> None:
        with suppress(OSError, struct.error):
            while True:
                (length,) = struct.unpack(">I", link.recv(4, socket.MSG_WAITALL))
                answer(link, link.recv(length, socket.MSG_WAITALL))

    def accept() -> None:
        with suppress(OSError):
            while True:
                link, _ = listener.accept()
                links.append(link)
                threading.Thread(target=serve, args=(link,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.close()
        for link in links:
            link.close()


def reset(link: socket.socket) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


BROKEN: dict[str, Answer] = {
    "closes": lambda link, _: link.shutdown(socket.SHUT_RDWR),
    "resets": lambda link, _: reset(link),
    "half a length": lambda link, _: (link.sendall(b"\0\0"), link.shutdown(socket.SHUT_RDWR))[1],
    "half a reply": lambda link, _: (link.sendall(frame("ok", b"[[]]")[:-2]), link.shutdown(socket.SHUT_RDWR))[1],
    "too long": lambda link, _: link.sendall(struct.pack(">I", MAX_REPLY + 1) + b"x"),
    "no JSON": lambda link, _: link.sendall(frame("ok", b"\xff\xfe")),
    "wrong JSON": lambda link, _: link.sendall(frame("ok", b'[{"a": 1}]')),
    "nothing": lambda link, _: link.sendall(frame("ok", b"")),
    "empty": lambda link, _: link.sendall(struct.pack(">I", 0)),
    "unknown status": lambda link, _: link.sendall(frame("maybe", b"[]")),
    "broken error": lambda link, _: link.sendall(frame("error", b'{"type": 5}')),
    "unknown error": lambda link, _: link.sendall(frame("error", b'{"type": "SystemExit", "message": "bye"}')),
    "silence": lambda link, _: None,
    "HTTP": lambda link, _: link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


def patience(what: str) -> float:
    """Seconds for an answer: only that which never comes is waited for to the end."""
    return 2.0 if what == "silence" else 60.0


@pytest.mark.parametrize("what", BROKEN)
def test_nonsense_is_transient(what: str) -> None:
    with server(BROKEN[what]) as address:
        transport = SocketTransport(address, timeout=patience(what))
        for method, args in (LIST, START):
            with pytest.raises(Transient):
                transport.request("s", method, args)
        transport.close("s")


@pytest.mark.parametrize("what", ["closes", "resets", "half a reply", "too long", "no JSON", "wrong JSON", "silence"])
def test_after_a_mutating_call_the_outcome_is_unknown(what: str) -> None:
    with server(BROKEN[what]) as address:
        for (method, args), unknown in ((START, True), (LIST, False)):
            with pytest.raises(Transient) as caught:
                SocketTransport(address, timeout=patience(what)).request("s", method, args)
            assert caught.value.outcome_unknown is unknown


SILENT = ("closes", "resets", "half a length", "half a reply", "silence")
"""What comes so is no answer; whatever else comes is one, however little sense it makes."""


@pytest.mark.parametrize("what", sorted(set(BROKEN) - {"too long", "HTTP"}))
def test_only_silence_is_no_answer(what: str) -> None:
    with server(BROKEN[what]) as address, pytest.raises(Transient) as caught:
        SocketTransport(address, timeout=patience(what)).request("s", *START)
    assert isinstance(caught.value, Unanswered) == (what in SILENT)


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        transport = SocketTransport(bound.getsockname(), timeout=60)
        with pytest.raises(Unanswered, match="can't be reached"):
            transport.request("s", *LIST)


def test_bytes_that_drip_in_do_not_extend_the_deadline() -> None:
    """Were each byte given its own timeout, the reply would be complete after a while and the call succeed. That is long after the
    deadline: what has come by then is read, however late somebody looks.
    """
    reply, pauses = frame("ok", b"[[]]" + b" " * 100), iter([0.2, 0.0])

    def drip(link: socket.socket, _: bytes) -> None:
        pause = next(pauses)
        for byte in reply:
            link.sendall(bytes([byte]))
            time.sleep(pause)

    with server(drip) as address:
        with pytest.raises(Unanswered, match="no answer"):
            SocketTransport(address, timeout=1.0).request("s", *LIST)
        assert SocketTransport(address, timeout=60).request("s", *LIST) == ()


def test_a_socket_that_the_server_closed_is_not_used_again() -> None:
    def answer(link: socket.socket, _: bytes) -> None:
        link.sendall(frame("ok", b"[[]]"))
        link.shutdown(socket.SHUT_RDWR)

    with server(answer) as address:
        transport = SocketTransport(address, timeout=60)
        for _ in range(5):
            assert transport.request("s", *LIST) == ()
            assert select.select(transport._idle, [], [], 120)[0], "the end has come to our side"


def test_a_socket_with_bytes_that_nobody_asked_for_is_not_used_again() -> None:
    seen: list[int] = []

    def answer(link: socket.socket, _: bytes) -> None:
        seen.append(id(link))
        link.sendall(frame("ok", b"[[]]") + frame("error", b'{"type": "AuthFailed", "message": "stale"}'))

    with server(answer) as address:
        transport = SocketTransport(address, timeout=60)
        for _ in range(3):
            assert transport.request("s", *LIST) == ()
        assert len(set(seen)) == 3


def test_sockets_are_used_again() -> None:
    seen: set[int] = set()

    def answer(link: socket.socket, _: bytes) -> None:
        seen.add(id(link))
        link.sendall(frame("ok", b"[[]]"))

    with server(answer) as address:
        transport = SocketTransport(address, timeout=60)
        for _ in range(20):
            transport.request("s", *LIST)
        assert len(seen) == 1
        transport.close("s")


def test_closing_says_goodbye_and_frees_who_waits() -> None:
    heard: list[bytes] = []
    goodbye = threading.Event()

    def answer(link: socket.socket, request: bytes) -> None:
        heard.append(request)
        if request.startswith(b"hosts.list"):
            link.sendall(frame("ok", b"[[]]"))
        if request.startswith(b"logout"):
            goodbye.set()

    with server(answer) as address:
        transport = SocketTransport(address, timeout=60)
        errors: list[DriverError] = []

        def wait() -> None:
            try:
                transport.request("token", *START)
            except DriverError as error:
                errors.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        while not heard:
            time.sleep(0.01)
        transport.request("token", *LIST)
        transport.close("token")
        thread.join(120)
        assert not thread.is_alive()
        assert isinstance(errors[0], Transient)
        assert goodbye.wait(120)
        assert b"logout token\n[]" in heard
        with pytest.raises(Transient, match="closed"):
            transport.request("token", *LIST)


def test_an_error_comes_as_what_it_is() -> None:
    with (
        server(lambda link, _: link.sendall(frame("error", b'{"type": "AuthFailed", "message": "no"}'))) as address,
        pytest.raises(AuthFailed, match="no"),
    ):
        SocketTransport(address, timeout=60).request("s", *LIST)


def test_nobody_there() -> None:
    with pytest.raises(Transient) as caught:
        SocketTransport(("127.0.0.1", 1), timeout=1).request("s", *START)
    assert not caught.value.outcome_unknown, "nothing was sent"
    with pytest.raises(Transient):
        SocketTransport(("no-such-host.invalid", 1), timeout=1).request("s", *LIST)
