"""Metrics of what users wait for, and of what Vireo waits for: phases of VMs, jobs, calls of drivers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, cast

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.runtime import jobs
from controller.runtime.clock import Clock
from controller.runtime.recorder import Record
from controller.runtime.store import Change
from controller.telemetry.events import ended
from crds.fields import Timestamp
from crds.status import Job
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.base import Connection, Driver
from drivers.errors import DriverError
from drivers.types import Endpoint

_LIFE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_CALL_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_MOST = 16384  # objects whose present phase or job is timed at once

PENDING = "Pending"
"""Phase of a VM that has no state yet."""

GONE = "Gone"
"""Phase of a VM whose object we let go."""

_LASTING = frozenset({VirtualMachineState.RUNNING, VirtualMachineState.STOPPED, VirtualMachineState.DESTROYED, GONE})
"""Phases that a VM stays in until somebody wants something: nobody asks how long they took."""


class _Beginnings:
    """When things began; the oldest are forgotten when there are too many."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, float] = OrderedDict()

    def note(self, name: str, at: float) -> None:
        self._at[name] = at
        if len(self._at) > _MOST:
            self._at.popitem(last=False)

    def take(self, name: str) -> float | None:
        return self._at.pop(name, None)


class LifeMetrics:
    """How long VMs take from phase to phase, and jobs from their beginning to their end."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        text = "Seconds that VMs spent in a passing phase (last_phase) before the next (phase)."
        labels = ["last_phase", "phase"]
        self._phases = Histogram("vireo_vm_phase_transition_seconds", text, labels, buckets=_LIFE_SECONDS, registry=registry)
        text, labels = "Seconds per job that ended.", ["command", "result"]
        self._jobs = Histogram("vireo_job_seconds", text, labels, buckets=_LIFE_SECONDS, registry=registry)
        self._clock = clock
        self._entered = _Beginnings()
        self._begun = _Beginnings()

    def witness(self, change: Change, _: Record) -> None:
        """Take note of a change; see `controller.runtime.manager.Witness`."""
        before, after = change.before(), change.after()
        if before is None:
            return
        if change.gone:
            self._go(before)
        elif after is not None:
            if isinstance(after, VirtualMachine):
                self._phase(after, before.status.state or PENDING, after.status.state or PENDING)
            self._job(before, after)

    def _go(self, last: Any) -> None:
        """An object is gone: with it the job that it was removed by has succeeded."""
        if isinstance(last, VirtualMachine):
            self._phase(last, last.status.state or PENDING, GONE)
        job: Job | None = getattr(last.status, "job", None)
        if job is not None and jobs.running(job):
            self._observe(job, jobs.SUCCEEDED)

    def _phase(self, vm: VirtualMachine, last: str, phase: str) -> None:
        if last == phase:
            return
        now, uid = self._clock.monotonic(), vm.metadata.uid
        since = self._entered.take(uid)
        if last == PENDING and vm.metadata.creation_timestamp:
            self._phases.labels(last, phase).observe(self._since(Timestamp(vm.metadata.creation_timestamp)))
        elif since is not None:
            self._phases.labels(last, phase).observe(now - since)
        if phase not in _LASTING:
            self._entered.note(uid, now)

    def _job(self, before: Any, after: Any) -> None:
        job: Job | None = getattr(after.status, "job", None)
        was: Job | None = getattr(before.status, "job", None)
        if job is None:
            return
        if jobs.running(job) and (was is None or was.id != job.id):
            self._begun.note(job.id, self._clock.monotonic())
        elif ended(before, after) is not None:
            self._observe(job, str(job.status))

    def _observe(self, job: Job, result: str) -> None:
        begun = self._begun.take(job.id)
        if begun is not None:
            self._jobs.labels(job.command, result).observe(self._clock.monotonic() - begun)
        elif job.started_at is not None:
            self._jobs.labels(job.command, result).observe(self._since(job.started_at))

    def _since(self, begun: Timestamp) -> float:
        return max(0.0, (self._clock.now() - begun.datetime).total_seconds())


class EndpointMetrics(Collector):
    """Which Hosts an endpoint serves: lanes are named by endpoint, whose address is kept out of metrics."""

    def __init__(self, registry: CollectorRegistry, endpoints: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._endpoints = endpoints
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """One sample per Host."""
        family = GaugeMetricFamily("vireo_endpoint_host", "1 for each Host that an endpoint serves.", labels=["endpoint", "host"])
        for endpoint, host in self._endpoints():
            family.add_metric([endpoint, host], 1)
        yield family


class DriverMetrics:
    """How long drivers' calls take and how they end, measured in the thread that makes them.

    Waiting for native events is no such call: it lasts as long as nothing happens.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        labels = ["driver", "method", "outcome"]
        text = "Seconds per call of a driver; outcome is success or the reason of the failure."
        self._calls = Histogram("vireo_driver_call_seconds", text, labels, buckets=_CALL_SECONDS, registry=registry)
        self._clock = clock

    def over(self, load: Callable[[str], Driver]) -> Callable[[str], Driver]:
        """Return `load` with drivers whose calls are measured."""
        return lambda hypervisor: cast("Driver", _TimedDriver(load(hypervisor), hypervisor, self))

    def timed(self, driver: str, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, measured."""

        @wraps(call)
        def measured(*args: Any, **kwargs: Any) -> Any:
            begun, outcome = self._clock(), "success"
            try:
                return call(*args, **kwargs)
            except DriverError as error:
                outcome = error.reason
                raise
            except BaseException:
                outcome = "DriverError"
                raise
            finally:
                self._calls.labels(driver, method, outcome).observe(self._clock() - begun)

        return measured


class _TimedDriver:
    """A driver whose connections are measured."""

    def __init__(self, driver: Driver, name: str, metrics: DriverMetrics) -> None:
        self._name = name
        self._metrics = metrics
        self._connect = metrics.timed(name, "connect", driver.connect)

    def connect(self, endpoint: Endpoint) -> Connection:
        """See `drivers.base.Driver.connect`."""
        return cast("Connection", _TimedConnection(self._connect(endpoint), self._name, self._metrics))


class _Timed:
    """Passes everything on, and measures what can be called."""

    _PLAIN = frozenset({"apply_mode"})
    """Answers without a call of the hypervisor."""

    def __init__(self, target: Any, driver: str, group: str, metrics: DriverMetrics) -> None:
        self._target = target
        self._driver = driver
        self._group = group
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if callable(found) and name not in self._PLAIN:
            found = self._metrics.timed(self._driver, f"{self._group}.{name}", found)
        self.__dict__[name] = found  # so that this is asked once per connection
        return found


class _TimedConnection:
    """A connection whose groups of calls are measured, but for events."""

    def __init__(self, connection: Connection, driver: str, metrics: DriverMetrics) -> None:
        self._connection = connection
        self._driver = driver
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name in ("capabilities", "events", "close"):
            return found
        group = self.__dict__[name] = _Timed(found, self._driver, name, self._metrics)
        return group
