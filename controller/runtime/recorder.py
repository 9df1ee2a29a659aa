"""Kubernetes Events: written in the background, best effort, never twice in a row, and few however often something happens."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.runtime.metrics import Metrics
from controller.runtime.ports import ApiError, EventRecord, EventType, Gone, Throttled, Writer

Record = Callable[[Key, str, EventType, str, str], None]
"""`Recorder.record`."""

_WAITING = 1024
_REMEMBERED = 16384
_SERIES = 4096
_LONGEST_NOTE = 1024  # events.k8s.io/v1: note
_FINISHED = 360.0  # seconds without a repeat that end a series, as in client-go
_REFRESH = 360.0  # seconds between two writes of one series

_Sort = tuple[str, EventType, str]
"""What makes two Events alike: uid, type and reason, whatever the note says."""


@dataclass(slots=True, eq=False)
class _Series:
    """An Event and how often it has happened; `name` once it is written, `told` how many times the API knows of."""

    event: EventRecord
    seen: float
    count: int = 1
    told: int = 0
    told_at: float = 0.0
    name: str = ""
    waits: bool = False


class Recorder:
    """Collects Events and writes them one after the other; drops the oldest when too many wait.

    What an object's last Event said already is not said again.  One like an earlier one, which came back after others, is counted
    on that one (events.k8s.io/v1: series): at once the first time, then once in a while.
    """

    def __init__(self, writer: Writer, clock: Clock, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._waiting: deque[_Series] = deque()
        self._last: OrderedDict[str, int] = OrderedDict()
        self._series: OrderedDict[_Sort, _Series] = OrderedDict()
        self._arrived = asyncio.Event()

    def record(self, key: Key, uid: str, type: EventType, reason: str, message: str) -> None:
        """Have an Event written, unless it repeats the object's last one."""
        said = hash((type, reason, message))
        if self._last.get(uid) == said:
            return
        self._last[uid] = said
        self._last.move_to_end(uid)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        event = EventRecord(key, uid, type, reason, message[:_LONGEST_NOTE], self._clock.now())
        series = self._counted(event)
        if series.told < 2 or self._clock.monotonic() - series.told_at >= _REFRESH:
            self._put(series)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits."""
        while self._waiting:
            series = self._waiting.popleft()
            series.waits = False
            await self._write(series)

    def _counted(self, event: EventRecord) -> _Series:
        """The series that an Event belongs to, a new one if nothing like it happened lately."""
        now = self._clock.monotonic()
        while self._series and next(iter(self._series.values())).seen + _FINISHED <= now:
            self._series.popitem(last=False)
        sort = (event.uid, event.type, event.reason)
        series = self._series.get(sort)
        if series is None:
            series = self._series[sort] = _Series(event, now)
            if len(self._series) > _SERIES:
                self._series.popitem(last=False)
            return series
        series.event, series.seen, series.count = event, now, series.count + 1
        self._series.move_to_end(sort)
        return series

    def _put(self, series: _Series) -> None:
        if series.waits:
            return
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft().waits = False
            self._metrics.events_dropped.inc()
        series.waits = True
        self._waiting.append(series)
        self._arrived.set()

    async def _write(self, series: _Series) -> None:
        event = series.event
        try:
            await self._tell(series)
        except Throttled as error:
            self._metrics.events_dropped.inc()
            await asyncio.sleep(error.retry_after)
        except Gone:
            return  # its namespace goes, and all Events in it
        except ApiError as error:
            self._metrics.events_dropped.inc()
            key = event.key
            named = {"kind": key.kind, "namespace": key.namespace, "name": key.name}
            self._log.warning("event not written", **named, reason=event.reason, error=str(error))
        else:
            self._metrics.events.labels(event.type).inc()

    async def _tell(self, series: _Series) -> None:
        """Create the Event, or bring its count up to date; one that has expired meanwhile is created anew."""
        event = series.event
        if not series.name:
            series.name, series.told = await self._writer.create_event(event), 1
        if series.count > series.told:
            try:
                await self._writer.repeat_event(event, series.name, series.count)
            except Gone:
                series.count = 1
                series.name = await self._writer.create_event(event)
        series.told, series.told_at = series.count, self._clock.monotonic()
