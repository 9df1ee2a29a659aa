"""Metrics of the runtime, under the names of Kubernetes' controller-runtime and client-go's workqueue where they have one.

All kinds share one queue and its workers; the workqueue's label `name` is the kind all the same, as if each had a queue of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.runtime.keys import Key

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """All collectors of one manager; the registry is the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, label: str) -> Histogram:
            return Histogram(name, text, [label], buckets=_SECONDS, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._reconciles = counter("controller_runtime_reconcile", "Reconciles by result.", "controller", "result")
        self.errors = counter("controller_runtime_reconcile_errors", "Reconciles that ended in an error.", "controller")
        self._seconds = histogram("controller_runtime_reconcile_time_seconds", "Seconds per reconcile.", "controller")
        self._active = gauge("controller_runtime_active_workers", "Workers busy now.", "controller")
        self.workers = gauge("controller_runtime_max_concurrent_reconciles", "Workers there are, shared by all kinds.")
        self._depth = gauge("workqueue_depth", "Keys ready to be reconciled.", "name")
        self._adds = counter("workqueue_adds", "Keys that came onto the queue.", "name")
        self.waited = histogram("workqueue_queue_duration_seconds", "Seconds a key was ready before its turn.", "name")
        self._worked = histogram("workqueue_work_duration_seconds", "Seconds a key was worked on.", "name")
        self._unfinished = gauge("workqueue_unfinished_work_seconds", "Seconds of work under way, summed.", "name")
        self._longest = gauge("workqueue_longest_running_processor_seconds", "Seconds of the longest work under way.", "name")
        self.retries = counter("workqueue_retries", "Keys put back with backoff.", "name")
        self.objects = gauge("vireo_store_objects", "Objects in the store.", "kind")
        self.writes = counter("vireo_object_writes", "Writes of API objects.", "kind", "what")
        self.events = counter("vireo_events_written", "Kubernetes Events written, repeats included.", "type")
        self.events_dropped = counter("vireo_events_dropped", "Kubernetes Events that could not be written.")

    def added(self, key: Key) -> None:
        """Count a key that came onto the queue."""
        self._adds.labels(key.kind).inc()

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one reconcile that ended."""
        self._reconciles.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)
        self._worked.labels(kind).observe(seconds)

    def look_at(self, kinds: Iterable[str], ready: Callable[[str], int], working: Callable[[str], Sequence[float]]) -> None:
        """From now on tell, when asked, how many keys of a kind are ready, and for how many seconds each worker has worked."""
        for kind in kinds:
            times = partial(working, kind)
            self._depth.labels(kind).set_function(partial(ready, kind))
            self._active.labels(kind).set_function(partial(_told, len, times))
            self._unfinished.labels(kind).set_function(partial(_told, sum, times))
            self._longest.labels(kind).set_function(partial(_told, lambda found: max(found, default=0.0), times))


def _told(figure: Callable[[Sequence[float]], float], times: Callable[[], Sequence[float]]) -> float:
    return figure(times())
