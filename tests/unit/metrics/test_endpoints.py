"""Which Hosts are behind the endpoints that other metrics name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from controller.telemetry.metrics import EndpointMetrics


def test_each_host_is_told_with_its_endpoint_as_it_is_when_asked() -> None:
    registry, served = CollectorRegistry(), [("KVM endpoint 1", "h1")]
    EndpointMetrics(registry, lambda: served)
    served.append(("KVM endpoint 2", 'h"2'))
    lines = generate_latest(registry).decode().splitlines()
    assert 'vireo_endpoint_host{endpoint="KVM endpoint 1",host="h1"} 1.0' in lines
    assert 'vireo_endpoint_host{endpoint="KVM endpoint 2",host="h\\"2"} 1.0' in lines
    served.clear()
    assert b"vireo_endpoint_host{" not in generate_latest(registry)
