"""An open serial console: a stream of libvirt, served by its event loop."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import libvirt

from drivers.errors import Busy, Conflict

MOST_UNREAD = 256 * 1024
"""Bytes that are kept for a reader; the guest waits while there are more."""

MOST_UNSENT = 64 * 1024
"""Bytes that may wait for the guest to take them."""

PIECE = 16 * 1024

FAREWELL = 2.0
"""Seconds that a guest has to take what was typed last."""

_READABLE, _WRITABLE = libvirt.VIR_STREAM_EVENT_READABLE, libvirt.VIR_STREAM_EVENT_WRITABLE
_ENDED = libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR
_WOULD_BLOCK = -2


class KVMConsole:
    """See drivers.consoles.Console. `stream` is non-blocking and open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._changed = threading.Condition()
        self._unread = bytearray()
        self._unsent = bytearray()
        self._over = False
        stream.eventAddCallback(_READABLE | _ENDED, self._on_event, None)

    def read(self, timeout: float) -> bytes:
        """What came since the last call."""
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._over, timeout)
            if self._over and not self._unread:
                raise Conflict("the console has ended: the VM is off, or somebody else has taken the console")
            found = bytes(self._unread)
            self._unread.clear()
            self._listen()
            return found

    def write(self, data: bytes) -> None:
        """Hand `data` to the event loop."""
        with self._changed:
            if self._over:
                raise Conflict("the console has ended")
            if len(self._unsent) + len(data) > MOST_UNSENT:
                raise Busy("the guest does not read what is typed on its console")
            self._unsent += data
            self._listen()

    def close(self) -> None:
        """Give what was typed last a moment to go out; then take the callback back: libvirt keeps a stream that has one.

        Other than an abort, a finish lets the host write what it has received.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._over or not self._unsent, FAREWELL)
            if self._over:
                return
            self._end()
        with suppress(libvirt.libvirtError):
            self._stream.finish()

    def _on_event(self, _stream: Any, events: int, _opaque: object) -> None:
        """Runs in libvirt's event loop."""
        with self._changed:
            if self._over:
                return
            try:
                if events & _READABLE:
                    self._receive()
                if events & _WRITABLE:
                    self._send()
            except libvirt.libvirtError:
                events |= _ENDED
            if events & _ENDED:
                self._end()
            elif not self._over:
                self._listen()
            self._changed.notify_all()

    def _receive(self) -> None:
        piece = self._stream.recv(PIECE)
        if piece == b"":
            self._end()
        elif piece != _WOULD_BLOCK:
            self._unread += piece

    def _send(self) -> None:
        while self._unsent:
            sent = self._stream.send(bytes(self._unsent[:PIECE]))
            if sent < 0:
                return
            del self._unsent[:sent]

    def _listen(self) -> None:
        """Ask for the events that there is something to do for."""
        if not self._over:
            wanted = _ENDED | (_READABLE if len(self._unread) < MOST_UNREAD else 0) | (_WRITABLE if self._unsent else 0)
            self._stream.eventUpdateCallback(wanted)

    def _end(self) -> None:
        self._over = True
        with suppress(libvirt.libvirtError):
            self._stream.eventRemoveCallback()
