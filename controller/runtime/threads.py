"""Threads for blocking calls: as many as there are calls at once, whoever makes them.

They are shared, since an endpoint that is asked something every few seconds would else keep, or start over and over, a thread of
its own for it, and there may be thousands.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

_IDLE = 10.0  # seconds that a thread waits for its next call

Tell = Callable[[], object]
Work = Callable[[], Tell]
"""A blocking call that raises nothing; what it returns is called to tell the outcome."""

_Inbox = queue.SimpleQueue[tuple[str, Work]]


class Threads:
    """Daemons, made when none is idle and ended when idle for long: neither hung calls nor quiet endpoints cost much."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Inbox] = []

    @property
    def idle(self) -> int:
        """How many threads wait for work."""
        return len(self._idle)

    def run(self, work: Work, name: str) -> None:
        """Have `work` called at once in a thread that bears this name meanwhile.  Raises RuntimeError if there can be no more."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None  # the last to come: the others may end
        if inbox is None:
            inbox = _Inbox()
            threading.Thread(target=self._serve, args=(inbox,), name=name, daemon=True).start()
        inbox.put((name, work))

    def _serve(self, inbox: _Inbox) -> None:
        """Do what comes; nothing of it is held once it is done, for as long as the thread may live."""
        thread = threading.current_thread()
        found: tuple[str, Work] | None = inbox.get()
        while found is not None:
            thread.name, work = found
            tell = work()
            with self._lock:
                self._idle.append(inbox)  # before the outcome is known: it often leads to the next call
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                tell()
            del found, tell, work
            found = self._next(inbox)

    def _next(self, inbox: _Inbox) -> tuple[str, Work] | None:
        """Wait for work; None when there was none for so long that the thread may end."""
        try:
            return inbox.get(timeout=_IDLE)
        except queue.Empty:
            with self._lock:
                if inbox in self._idle:
                    self._idle.remove(inbox)
                    return None
            return inbox.get()  # given just now
