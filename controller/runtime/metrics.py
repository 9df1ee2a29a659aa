"""Metrics of the runtime, under the names of Kubernetes' controller-runtime and client-go's workqueue where they have one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """All collectors of one manager; the registry is the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reconciles = Counter(
            "controller_runtime_reconcile", "Reconciles by result.", ["controller", "result"], registry=registry
        )
        self.errors = Counter(
            "controller_runtime_reconcile_errors", "Reconciles that ended in an error.", ["controller"], registry=registry
        )
        self.seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Seconds per reconcile.",
            ["controller"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.active = Gauge("controller_runtime_active_workers", "Workers busy now.", ["controller"], registry=registry)
        self.workers = Gauge("controller_runtime_max_concurrent_reconciles", "Workers there are.", registry=registry)
        self.depth = Gauge("workqueue_depth", "Keys ready to be reconciled.", registry=registry)
        self.waited = Histogram(
            "workqueue_queue_duration_seconds", "Seconds a key was ready before its turn.", buckets=_SECONDS, registry=registry
        )
        self.retries = Counter("workqueue_retries", "Keys put back with backoff.", registry=registry)
        self.objects = Gauge("vireo_store_objects", "Objects in the store.", ["kind"], registry=registry)
        self.writes = Counter("vireo_object_writes", "Writes of API objects.", ["kind", "what"], registry=registry)
        self.events_dropped = Counter("vireo_events_dropped", "Kubernetes Events that could not be written.", registry=registry)
