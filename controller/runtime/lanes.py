"""Lanes: of the blocking calls to one endpoint, so many at once, each in a thread.

A call is awaited for a limited time.  One that doesn't return keeps its thread until it does, but never a worker; when a lane has
as many of those as it may have calls, and its queue is full, further calls are refused at once.  An endpoint that doesn't answer
several times in a row is left alone for a while (see `breaker`).  An endpoint has several lanes: one for slow calls, so that these
don't hold up reads of state.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.runtime.breaker import Breaker, BreakerOptions, State
from controller.runtime.threads import Tell, Threads

R = TypeVar("R")

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SHOWN = 20  # lanes whose saturation is told one by one


class LaneBusy(Exception):
    """The call was not made: too many wait already, or its time was up before its turn came."""


class LaneOpen(Exception):
    """The call was not made: the endpoint has not been answering.  Come back in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallTimeout(Exception):
    """The call was made and has not returned in time: whether it had an effect is unknown."""


class LaneMetrics:
    """Collectors of all lanes, labelled by what a lane is for, not by endpoint: there may be thousands.

    Only the saturation names endpoints, and only the worst of them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter("vireo_lane_calls", "Calls of endpoints by outcome.", ["purpose", "outcome"], registry=registry)
        self.seconds = Histogram(
            "vireo_lane_call_seconds", "Seconds per call that returned.", ["purpose"], buckets=_SECONDS, registry=registry
        )
        self.running = Gauge("vireo_lane_running", "Calls that hold a thread.", ["purpose"], registry=registry)
        self.queued = Gauge("vireo_lane_queued", "Calls that wait for a thread.", ["purpose"], registry=registry)
        self.open = Gauge("vireo_lane_open", "Lanes whose endpoint is left alone.", ["purpose"], registry=registry)
        self.lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
        registry.register(_Saturation(self.lanes))


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What a lane is for ("state", "slow", "events": its metrics' label), how many calls run at once, and how many wait."""

    purpose: str
    threads: int
    queue_limit: int
    breaker: BreakerOptions = field(default_factory=BreakerOptions)


@dataclass(slots=True, eq=False)
class _Call:
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    started: bool = False
    called: bool = False
    abandoned: bool = False


class Lane:
    """The way of blocking calls to one endpoint, of which `options.threads` run at once; used from one event loop.

    `unanswered(error)` tells whether an exception of a call means that the endpoint didn't answer (it counts towards the
    breaker);
    any other outcome proves that it did.  `guard` runs in the thread right before each call and may refuse it by raising, as
    when this process no longer leads.
    """

    def __init__(
        self,
        name: str,
        options: LaneOptions,
        *,
        unanswered: Callable[[Exception], bool],
        guard: Callable[[], None],
        clock: Callable[[], float],
        metrics: LaneMetrics,
        threads: Threads,
    ) -> None:
        self._name = name
        self._options = options
        self._unanswered = unanswered
        self._guard = guard
        self._clock = clock
        self._metrics = metrics
        self._breaker = Breaker(options.breaker, clock)
        self._threads = threads
        self._queue: list[_Call] = []
        self._held = 0
        self._abandoned = 0
        self._closed = False
        self._queued = metrics.queued.labels(options.purpose)
        self._running = metrics.running.labels(options.purpose)
        self._seconds = metrics.seconds.labels(options.purpose)
        metrics.lanes.add(self)

    @property
    def labels(self) -> tuple[str, str]:
        """Endpoint and purpose: its metrics' labels."""
        return self._name.removesuffix(f" {self._options.purpose}"), self._options.purpose

    @property
    def saturation(self) -> float:
        """Calls that run or wait, by threads: at 1 all threads are busy, beyond it calls wait."""
        return (self._held + len(self._queue)) / self._options.threads

    @property
    def abandoned(self) -> int:
        """How many calls timed out and still hold their thread."""
        return self._abandoned

    @property
    def state(self) -> State:
        """The breaker's state."""
        return self._breaker.state

    async def call(self, function: Callable[..., R], *args: Any, timeout: float) -> R:
        """Run `function(*args)` in a thread of the lane and return what it returns.

        `timeout` seconds count from now, waiting included.  Raises what the function raises; LaneBusy and LaneOpen when it was
        not called; CallTimeout
        when it was called and did not return in time.
        """
        self._admit()
        call = self._submit(lambda: function(*args))
        started = self._clock()
        try:
            await asyncio.wait([call.future], timeout=timeout)
        except asyncio.CancelledError:
            self._give_up(call)
            self._conclude("cancelled", self._breaker.abandoned)
            raise
        if not call.future.done():
            raise self._late(call, timeout)
        self._seconds.observe(self._clock() - started)
        self._judge(call)
        try:
            result: R = call.future.result()
            return result
        finally:
            del call  # as in `_run`

    def close(self) -> None:
        """Accept no more calls; those that run or wait are left to end by themselves."""
        self._closed = True

    def _admit(self) -> None:
        retry_after = self._breaker.admit()
        if retry_after is not None:
            self._metrics.calls.labels(self._options.purpose, "open").inc()
            raise LaneOpen(f"{self._name} has not been answering; next try in {retry_after:.0f} s", retry_after)

    def _submit(self, function: Callable[[], Any]) -> _Call:
        """Begin a call, or queue it while as many run as may.  Raises LaneBusy."""
        loop = asyncio.get_running_loop()
        call = _Call(function, loop.create_future(), loop)
        if self._closed or len(self._queue) >= self._options.queue_limit:
            self._conclude("busy", self._breaker.abandoned)
            raise LaneBusy(f"{self._name}: {self._options.queue_limit} calls wait already")
        if self._held < self._options.threads:
            self._begin(call)
        else:
            self._queue.append(call)
            self._queued.inc()
        return call

    def _begin(self, call: _Call) -> None:
        call.started = True
        self._held += 1
        self._running.inc()
        try:
            self._threads.run(partial(self._run, call), self._name)
        except RuntimeError as error:
            self._returned(call, None, LaneBusy(f"{self._name}: {error}"))

    def _run(self, call: _Call) -> Tell:
        """Make a call, in a thread; what is returned tells the loop."""
        value, error = None, None
        try:
            call.context.run(self._guard)
            call.called = True
            value = call.context.run(call.function)
        except BaseException as raised:
            plain = isinstance(raised, Exception) and not isinstance(raised, StopIteration)
            error = raised if plain else RuntimeError(f"{type(raised).__name__} out of a call")
        try:
            return partial(call.loop.call_soon_threadsafe, self._returned, call, value, error)
        finally:
            del call, error  # an exception holds this frame: with them it would be garbage that only the collector finds

    def _returned(self, call: _Call, value: Any, error: BaseException | None) -> None:
        self._held -= 1
        self._running.dec()
        if call.abandoned:
            self._abandoned -= 1
        elif error is not None:
            call.future.set_exception(error)
        else:
            call.future.set_result(value)
        if self._queue and self._held < self._options.threads:
            self._queued.dec()
            self._begin(self._queue.pop(0))

    def _give_up(self, call: _Call) -> bool:
        """Await a call no longer; return whether it had been started."""
        if not call.started:
            self._queue.remove(call)
            self._queued.dec()
        elif call.future.done():  # it holds no thread any more, and nobody cares what it raised
            call.future.exception()
        else:
            call.abandoned = True
            self._abandoned += 1
        return call.started

    def _late(self, call: _Call, timeout: float) -> Exception:
        """Give up a call whose time is up; return what to raise."""
        hung = self._abandoned >= self._options.threads  # nothing can run: as bad as no answer
        if self._give_up(call):
            self._conclude("timeout", self._breaker.failed)
            return CallTimeout(f"{self._name} has not answered within {timeout:g} s; whether the call had an effect is unknown")
        self._conclude("busy", self._breaker.failed if hung else self._breaker.abandoned)
        return LaneBusy(f"{self._name}: no thread became free within {timeout:g} s")

    def _judge(self, call: _Call) -> None:
        """Tell the breaker what a call that ended says about the endpoint."""
        error = call.future.exception()
        if error is None:
            self._conclude("success", self._breaker.succeeded)
        elif not call.called:
            self._conclude("refused", self._breaker.abandoned)
        elif isinstance(error, Exception) and self._unanswered(error):
            self._conclude("unanswered", self._breaker.failed)
        else:
            self._conclude("error", self._breaker.succeeded)

    def _conclude(self, outcome: str, tell_breaker: Callable[[], None]) -> None:
        self._metrics.calls.labels(self._options.purpose, outcome).inc()
        closed = self._breaker.state is State.CLOSED
        tell_breaker()
        change = closed - (self._breaker.state is State.CLOSED)
        if change:
            self._metrics.open.labels(self._options.purpose).inc(change)


class _Saturation(Collector):
    """The most saturated lanes, told when somebody asks."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._lanes = lanes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the one metric."""
        text = f"Calls that run or wait, by threads of the lane; the {_SHOWN} worst lanes."
        found = GaugeMetricFamily("vireo_lane_saturation", text, labels=["endpoint", "purpose"])
        busy = [(saturation, *lane.labels) for lane in self._lanes if (saturation := lane.saturation) > 0]
        for saturation, endpoint, purpose in heapq.nlargest(_SHOWN, busy):
            found.add_metric([endpoint, purpose], saturation)
        yield found
