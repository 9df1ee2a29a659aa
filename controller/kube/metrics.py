"""Metrics of API requests, under client-go's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)


class ApiMetrics:
    """Collectors of one API client."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("rest_client_requests", "API requests by outcome.", ["code", "method"], registry=registry)
        self.seconds = Histogram(
            "rest_client_request_duration_seconds", "Seconds per API request.", ["verb"], buckets=_SECONDS, registry=registry
        )
        text = "1 while this process holds the Lease of that name."
        self.leader = Gauge("leader_election_master_status", text, ["name"], registry=registry)
        self.feed_events = Counter("vireo_feed_events", "Watch events received.", ["kind"], registry=registry)
        self.feed_restarts = Counter("vireo_feed_restarts", "Times the watch feed had to be started anew.", registry=registry)
