"""Kubernetes Events: written in the background, best effort, never twice in a row."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.runtime.metrics import Metrics
from controller.runtime.ports import ApiError, EventRecord, EventType, Throttled, Writer

_WAITING = 1024
_REMEMBERED = 16384
_LONGEST_NOTE = 1024  # events.k8s.io/v1: note


class Recorder:
    """Collects Events and writes them one after the other; drops the oldest when too many wait."""

    def __init__(self, writer: Writer, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._waiting: deque[EventRecord] = deque()
        self._last: OrderedDict[str, tuple[EventType, str, str]] = OrderedDict()
        self._arrived = asyncio.Event()

    def record(self, key: Key, uid: str, type: EventType, reason: str, message: str) -> None:
        """Have an Event written, unless it repeats the object's last one."""
        said = (type, reason, message)
        if self._last.get(uid) == said:
            return
        self._last[uid] = said
        self._last.move_to_end(uid)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft()
            self._metrics.events_dropped.inc()
        self._waiting.append(EventRecord(key, uid, type, reason, message[:_LONGEST_NOTE], self._clock.now()))
        self._arrived.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits."""
        while self._waiting:
            await self._write(self._waiting.popleft())

    async def _write(self, event: EventRecord) -> None:
        try:
            await self._writer.create_event(event)
        except Throttled as error:
            self._metrics.events_dropped.inc()
            await asyncio.sleep(error.retry_after)
        except ApiError as error:
            self._metrics.events_dropped.inc()
            self._log.warning("event not written", object=str(event.key), reason=event.reason, error=str(error))
