"""The way to a simulator server: pooled sockets with native timeouts, one call at a time on each."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from drivers.errors import DriverError, InvalidSpec, Transient, Unanswered

from .methods import METHODS, News, codec, problem_adapter
from .polls import MAX_REPLY, Polls

__all__ = ["SocketTransport"]

IDLE = 8
"""Idle sockets that are kept."""

WAIT = 20.0
"""Seconds that the server is asked to wait for news, before it says that there are none."""

_LENGTH = struct.Struct(">I")


class SocketTransport:
    """Calls over TCP. Raises Unanswered when the server does not answer within `timeout` seconds; `polls` waits for news."""

    def __init__(self, address: tuple[str, int], polls: Polls, *, timeout: float = 15.0) -> None:
        self._address = address
        self._polls = polls
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []
        self._used: set[socket.socket] = set()
        self._closed = False

    def request(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        """One call; see `connection.Transport`."""
        frame = _frame(f"{method} {session}", codec(method).write_params(args))
        link = self._take()
        try:
            deadline = time.monotonic() + self._timeout
            link.settimeout(self._timeout)
            link.sendall(frame)
            status, body = _receive(link, deadline)
        except OSError as error:
            self._drop(link)
            raise self._lost(method, error) from error
        except BaseException:
            self._drop(link)
            raise
        self._give_back(link)
        if status == b"ok":
            return self._result(method, body)
        raise _problem(body)

    def listen(self, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        """See `connection.Transport`. The socket is the same until there are news."""
        link = self._take()
        try:
            link.settimeout(self._timeout)
            self._ask_for_news(link, session, epoch, cursor, heard)
        except OSError as error:
            self._drop(link)
            raise self._lost("events.wait", error) from error

    def _ask_for_news(
        self, link: socket.socket, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]
    ) -> None:
        link.sendall(_frame(f"events.wait {session}", codec("events.wait").write_params((epoch, cursor, WAIT))))
        self._polls.add(link, WAIT + self._timeout, partial(self._on_news, link, session, heard))

    def _on_news(self, link: socket.socket, session: str, heard: Callable[[News | None], None], reply: bytes | None) -> None:
        """Runs in the thread of all polls: asks again while there is nothing new."""
        news = _news(reply)
        try:
            if news is not None and not (news.events or news.lost):
                self._ask_for_news(link, session, news.epoch, news.cursor, heard)
                return
        except OSError:
            news = None
        if news is None:
            self._drop(link)
        else:
            self._give_back(link)
        heard(news)

    @staticmethod
    def _result(method: str, body: bytes) -> Any:
        try:
            return codec(method).read_result(body)
        except InvalidSpec as error:
            message = f"simulator: {method}: the reply was not understood"
            raise Transient(message, native_code="SIM_PROTOCOL", outcome_unknown=METHODS[method].mutates) from error

    def _lost(self, method: str, error: OSError) -> Unanswered:
        if self._closed:
            return Unanswered("the connection is closed", outcome_unknown=METHODS[method].mutates)
        what = f"no answer in {self._timeout:g} s" if isinstance(error, TimeoutError) else "the connection was lost"
        return Unanswered(f"simulator: {method}: {what}", outcome_unknown=METHODS[method].mutates)

    def _take(self) -> socket.socket:
        """An idle socket that the server has not closed, or a new one."""
        with self._lock:
            if self._closed:
                raise Unanswered("the connection is closed")
            while self._idle:
                link = self._idle.pop()
                if _is_quiet(link):
                    self._used.add(link)
                    return link
                link.close()
        return self._connect()

    def _connect(self) -> socket.socket:
        try:
            link = socket.create_connection(self._address, timeout=self._timeout)
        except OSError as error:
            raise Unanswered("simulator: the server can't be reached", native_code=type(error).__name__) from error
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            if self._closed:
                link.close()
                raise Unanswered("the connection is closed")
            self._used.add(link)
        return link

    def _give_back(self, link: socket.socket) -> None:
        with self._lock:
            self._used.discard(link)
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(link)
                return
        link.close()

    def _drop(self, link: socket.socket) -> None:
        with self._lock:
            self._used.discard(link)
        link.close()

    def close(self, session: str) -> None:
        """Shutting a socket down makes a thread that reads from it return."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            used = list(self._used)
        for link in used:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for link in idle:
            with suppress(OSError):
                link.setblocking(False)
                link.send(_frame(f"logout {session}", b"[]"))
            link.close()


def _frame(head: str, body: bytes) -> bytes:
    payload = head.encode() + b"\n" + body
    return _LENGTH.pack(len(payload)) + payload


def _is_quiet(link: socket.socket) -> bool:
    """Whether an idle socket is fit for use: still open, and nothing came that nobody asked for."""
    try:
        link.setblocking(False)
        link.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _receive(link: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size, deadline))
    if length > MAX_REPLY:
        raise OSError("the reply is too long")
    status, _, body = _exactly(link, length, deadline).partition(b"\n")
    return status, body


def _exactly(link: socket.socket, size: int, deadline: float) -> bytes:
    """Raises TimeoutError at the deadline, however slowly bytes drip in."""
    data = bytearray()
    while len(data) < size:
        link.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = link.recv(min(size - len(data), 1 << 20))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        data += chunk
    return bytes(data)


def _news(reply: bytes | None) -> News | None:
    status, _, body = (reply or b"").partition(b"\n")
    if status != b"ok":
        return None
    try:
        news: News = codec("events.wait").read_result(body)
    except InvalidSpec:
        return None
    return news


def _problem(body: bytes) -> DriverError:
    try:
        return problem_adapter().validate_json(body).error()
    except ValueError:
        return Transient("simulator: the server's reply was not understood", native_code="SIM_PROTOCOL")
