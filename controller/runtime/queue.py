"""The queue of keys to reconcile, with the semantics of client-go's workqueue.

- A key added while it waits is one entry; added while it is being processed, it runs exactly once more afterwards.
- A key is never handed out twice at once.
- Delayed adds: the earliest wins, and a run that starts in the meantime takes their place, since its result sets the next one.
- Retries: exponential backoff per key, with jitter, until `forget`; of a key that gets further, `ease` cuts it short.
- Priorities: a user's change before a dependency's before a resync; nobody starves: after 15 picks past a waiting lower
priority, it is served.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context

from controller.runtime.backoff import Backoff
from controller.runtime.keys import Key

_PASSES = 15
_EASED = 2  # 1 s of the usual backoff: were it none, what writes and fails each time would do so without a pause
_SLACK = 64  # entries of the heap that may be out of date before it is rebuilt


class Priority(enum.IntEnum):
    """Whose turn it is; lower runs first."""

    USER = 0
    DEPENDENCY = 1
    RESYNC = 2


class Closed(Exception):
    """The queue hands out nothing more."""


class Queue:
    """Keys waiting to be reconciled.  Lives in one event loop."""

    def __init__(
        self,
        clock: Callable[[], float],
        random: Callable[[], float],
        backoff: Backoff | None = None,
        added: Callable[[Key], None] = lambda _: None,
    ) -> None:
        """`added` is told of each key that was not on the queue before; `random` gives floats in [0, 1)."""
        self._clock = clock
        self._random = random
        self._backoff = backoff or Backoff()
        self._added = added
        self._ready: dict[Priority, OrderedDict[Key, float]] = {priority: OrderedDict() for priority in Priority}
        self._priority: dict[Key, Priority] = {}
        self._processing: set[Key] = set()
        self._dirty: dict[Key, Priority] = {}
        self._delayed: dict[Key, tuple[float, Priority]] = {}
        self._heap: list[tuple[float, Key]] = []
        self._retries: dict[Key, int] = {}
        self._passed = 0
        self._closed = False
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._timer: tuple[float, asyncio.TimerHandle] | None = None

    def __len__(self) -> int:
        """Return how many keys are ready to be handed out now."""
        return len(self._priority)

    def ready(self, kind: str) -> int:
        """Return how many keys of a kind are ready to be handed out now."""
        return sum(key.kind == kind for key in self._priority)

    def add(self, key: Key, priority: Priority = Priority.USER) -> None:
        """Have a key processed: now, or once more when it is being processed; a higher priority lifts one that waits."""
        if self._closed:
            return
        if key in self._processing:
            if key not in self._dirty:
                self._added(key)
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        waiting = self._priority.get(key)
        if waiting is None:
            self._added(key)
        if waiting is None or priority < waiting:
            since = self._ready[waiting].pop(key) if waiting is not None else self._clock()
            self._put(key, priority, since)

    def _put(self, key: Key, priority: Priority, since: float) -> None:
        self._priority[key] = priority
        self._ready[priority][key] = since
        self._wake_one()

    def add_after(self, key: Key, delay: float, priority: Priority = Priority.DEPENDENCY) -> None:
        """Add a key in `delay` seconds, unless it is to be added earlier already."""
        if delay <= 0:
            self.add(key, priority)
            return
        due = self._clock() + delay
        if self._closed or (key in self._delayed and self._delayed[key][0] <= due):
            return
        self._delayed[key] = (due, priority)
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._delayed) + _SLACK:
            self._heap = sorted((due, key) for key, (due, _) in self._delayed.items())
        self._set_timer()

    def hasten(self, key: Key) -> None:
        """Add a key now that is to be added later; others stay as they are."""
        found = self._delayed.pop(key, None)
        if found is not None:
            self.add(key, found[1])

    def retry(self, key: Key, priority: Priority = Priority.DEPENDENCY) -> float:
        """Add a key after its backoff, which grows with each call until `forget`; return the delay in seconds."""
        retries = self._retries.get(key, 0)
        self._retries[key] = retries + 1
        delay = self._backoff.delay(retries, self._random())
        self.add_after(key, delay, priority)
        return delay

    def ease(self, key: Key) -> None:
        """Let the key's next retry come within seconds: it has not succeeded, and has got further."""
        if self._retries.get(key, 0) > _EASED:
            self._retries[key] = _EASED

    def forget(self, key: Key) -> None:
        """Start the key's backoff afresh: it has succeeded."""
        self._retries.pop(key, None)

    def pop(self) -> tuple[Key, float] | None:
        """Hand out the next key and how long it waited (seconds), or None when none is ready; `done` must follow."""
        self._promote()
        lane = self._next_lane()
        if lane is None or self._closed:
            return None
        key, since = lane.popitem(last=False)
        del self._priority[key]
        self._delayed.pop(key, None)
        self._processing.add(key)
        return key, max(0.0, self._clock() - since)

    def done(self, key: Key) -> None:
        """Take a key back; one that was added meanwhile is ready again."""
        self._processing.remove(key)
        priority = self._dirty.pop(key, None)
        if priority is not None:
            self._put(key, priority, self._clock())

    async def get(self) -> tuple[Key, float]:
        """Wait for the next key (see `pop`).  Raises Closed."""
        while True:
            if self._closed:
                raise Closed
            found = self.pop()
            if found is not None:
                return found
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            self._set_timer()
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # the wake-up was ours: pass it on
                raise
            finally:
                self._waiters.pop(waiter, None)

    def close(self) -> None:
        """Hand out nothing more; those who wait get Closed."""
        self._closed = True
        if self._timer:
            self._timer[1].cancel()
        while self._waiters:
            self._wake_one()

    def _next_lane(self) -> OrderedDict[Key, float] | None:
        waiting = [priority for priority in Priority if self._ready[priority]]
        if not waiting:
            return None
        self._passed = self._passed + 1 if len(waiting) > 1 else 0
        if self._passed > _PASSES:
            self._passed = 0
            return self._ready[waiting[-1]]
        return self._ready[waiting[0]]

    def _promote(self) -> None:
        """Make ready what has come due."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            current = self._delayed.get(key)
            if current is not None and current[0] == due:
                del self._delayed[key]
                self.add(key, current[1])

    def _wake_one(self) -> None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        """Wake a waiter when the next delayed key comes due; only while somebody waits."""
        while self._heap and self._delayed.get(self._heap[0][1], (None,))[0] != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or not self._waiters:
            return
        due = self._heap[0][0]
        if self._timer:
            if self._timer[0] == due and not self._timer[1].cancelled():
                return
            self._timer[1].cancel()
        # a context of its own: that of a reconcile would hold its object until the timer is due, even one that was cancelled
        timer = asyncio.get_running_loop().call_later(max(0.0, due - self._clock()), self._fire, context=Context())
        self._timer = (due, timer)

    def _fire(self) -> None:
        self._timer = None
        self._promote()
        self._set_timer()
