"""Replies that may be long in coming, from any number of servers, awaited in one thread."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["MAX_REPLY", "Heard", "Polls"]

MAX_REPLY = 256 * 1024 * 1024

_LENGTH = struct.Struct(">I")
_TICK = 1.0  # seconds between looks at the deadlines
_CHUNK = 1 << 16
_log = logging.getLogger("vireo.simulator")

Heard = Callable[[bytes | None], None]
"""Told of a reply, or None if there will be none. Called in the thread that all share: it must not wait for anything."""


@dataclass(slots=True)
class _Awaited:
    """One reply on its way. `deadline` on the monotonic clock."""

    deadline: float
    heard: Heard
    data: bytearray = field(default_factory=bytearray)


class Polls:
    """Waits for one reply on each of its sockets. The thread is there while there is something to wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._awaited: dict[socket.socket, _Awaited] = {}
        self._running = False

    def add(self, link: socket.socket, seconds: float, heard: Heard) -> None:
        """Call `heard` once: with the next frame that comes on this socket, or with None when it breaks or `seconds` have passed.

        The socket is its owner's again from then on. Until then it may be shut down, and must not be closed.
        """
        link.setblocking(False)
        with self._lock:
            self._awaited[link] = _Awaited(time.monotonic() + seconds, heard)
            self._selector.register(link, selectors.EVENT_READ)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="simulator-events", daemon=True).start()

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            ready = self._selector.select(_TICK)
            for key, _ in ready:
                if isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            now = time.monotonic()
            if now - looked >= _TICK:
                looked = now
                self._expire(now)
            if not ready and self._rests():
                return

    def _rests(self) -> bool:
        """Whether there is nothing to wait for; whoever adds something after this starts a new thread."""
        with self._lock:
            self._running = bool(self._awaited)
            return not self._running

    def _expire(self, now: float) -> None:
        with self._lock:
            late = [link for link, awaited in self._awaited.items() if awaited.deadline <= now]
        for link in late:
            self._end(link, None)

    def _read(self, link: socket.socket) -> None:
        """Take what has come; the rest of a frame may come later."""
        awaited = self._awaited.get(link)
        if awaited is None:
            return
        try:
            chunk = link.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        awaited.data += chunk
        size = _LENGTH.unpack_from(awaited.data)[0] if len(awaited.data) >= _LENGTH.size else 0
        if not chunk or size > MAX_REPLY:
            self._end(link, None)
        elif len(awaited.data) >= _LENGTH.size + size and len(awaited.data) >= _LENGTH.size:
            whole = len(awaited.data) == _LENGTH.size + size
            self._end(link, bytes(awaited.data[_LENGTH.size :]) if whole else None)

    def _end(self, link: socket.socket, reply: bytes | None) -> None:
        with self._lock:
            awaited = self._awaited.pop(link, None)
            if awaited is not None:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(link)
        if awaited is None:
            return
        try:
            awaited.heard(reply)
        except Exception as error:
            # One listener that fails must not end the thread of all. Its text may hold what the server sent.
            _log.error("a listener failed: %s", type(error).__name__)
