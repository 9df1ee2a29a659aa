"""Short ways to say what a cloud looks like."""

from typing import Any

from controller.scheduler import ClusterView, HostView, PoolScope, PoolView, Request
from controller.scheduler.index import HostIndex

GI = 1 << 30


def cluster(name: str = "c1", **more: Any) -> ClusterView:
    defaults: dict[str, Any] = {"name": name, "zone": "z1", "pod": "p1", "cpu_threshold": 100, "memory_threshold": 100}
    return ClusterView(**(defaults | more))


def host(name: str = "h1", **more: Any) -> HostView:
    defaults: dict[str, Any] = {"name": name, "cluster": "c1", "cpus": 16, "memory": 64 * GI}
    return HostView(**(defaults | more))


def pool(name: str = "shared", **more: Any) -> PoolView:
    defaults: dict[str, Any] = {"name": name, "scope": PoolScope.ZONE, "of": "z1", "capacity": 1000 * GI, "available": 1000 * GI}
    return PoolView(**(defaults | more))


def request(uid: str = "vm", **more: Any) -> Request:
    defaults: dict[str, Any] = {"uid": uid, "zone": "z1", "cpus": 2, "memory": 4 * GI, "disk": 10 * GI}
    return Request(**(defaults | more))


def cloud(*views: ClusterView | HostView | PoolView) -> HostIndex:
    """An index of these; with cluster c1 and a zone-wide pool if none is given."""
    index = HostIndex()
    if not any(isinstance(view, ClusterView) for view in views):
        index.put_cluster(cluster())
    if not any(isinstance(view, PoolView) for view in views):
        index.put_pool(pool())
    for view in views:
        if isinstance(view, ClusterView):
            index.put_cluster(view)
        elif isinstance(view, HostView):
            index.put_host(view)
        else:
            index.put_pool(view)
    return index
