"""One libvirt connection while calls are made on it, each in a thread of its own.

A libvirt call cannot be interrupted, and it never returns while the QEMU that it asks hangs. So the caller waits for so long, and
leaves the call behind; and since libvirt frees a connection under a call that uses it, the last call out closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

import libvirt

from drivers.errors import Unanswered

Result = TypeVar("Result")


class Line:
    """A connection and the calls under way on it."""

    def __init__(self, connection: Any, farewell: Callable[[Any], None] | None = None) -> None:
        """`farewell` is called before the connection is closed."""
        self._connection = connection
        self._farewell = farewell
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._running = 0
        self._retired = False

    @property
    def alive(self) -> bool:
        """Whether it can be used for another call."""
        with suppress(libvirt.libvirtError):
            return not self._retired and bool(self._connection.isAlive())
        return False

    def call(self, function: Callable[[Any], Result], timeout: float) -> Result:
        """What `function` returns for the connection, or raises. Raises TimeoutError after `timeout` seconds."""
        future: Future[Result] = Future()
        with self._lock:
            if self._retired:
                raise Unanswered("the connection to the host is closed")
            self._running += 1
            self._waiting.add(future)
        threading.Thread(target=self._run, args=(function, future), name="libvirt-call", daemon=True).start()
        try:
            return future.result(timeout)
        finally:
            with self._lock:
                self._waiting.discard(future)

    def retire(self, reason: Unanswered | None = None) -> None:
        """No more calls. Those who wait get `reason` if there is one; the connection closes with the last call under way."""
        with self._lock:
            if self._retired:
                return
            self._retired = True
            waiting = self._waiting.copy()
            idle = not self._running
        if reason is not None:
            for future in waiting:
                with suppress(InvalidStateError):
                    future.set_exception(reason)
        if idle:
            self._close_soon()

    def _run(self, function: Callable[[Any], Result], future: Future[Result]) -> None:
        try:
            result = function(self._connection)
        except BaseException as error:
            with suppress(InvalidStateError):
                future.set_exception(error)
        else:
            with suppress(InvalidStateError):
                future.set_result(result)
        with self._lock:
            self._running -= 1
            last = self._retired and not self._running
        if last:
            self._close_soon()

    def _close_soon(self) -> None:
        """Closing is a call too, which a host may not answer; nobody has to wait for it."""
        threading.Thread(target=self._close, name="libvirt-close", daemon=True).start()

    def _close(self) -> None:
        with suppress(libvirt.libvirtError):
            if self._farewell is not None:
                self._farewell(self._connection)
        with suppress(libvirt.libvirtError):
            self._connection.close()
