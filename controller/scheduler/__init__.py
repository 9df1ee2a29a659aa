"""Placement: which host and storage pool a new VM goes to. Pure; it knows nothing of Kubernetes or of a hypervisor.

`HostIndex` keeps hosts, clusters and pools up to date by small changes, so that placing one VM among 10,000 hosts takes a fraction
of a millisecond. It also keeps what every VM was given, so that a burst never gives the same room twice. `Scheduler` decides.
"""

from __future__ import annotations

from controller.scheduler.index import HostIndex
from controller.scheduler.scheduler import Scheduler
from controller.scheduler.views import (
    Allocation,
    ClusterView,
    HostView,
    NewVolume,
    Placement,
    PoolScope,
    PoolView,
    Reason,
    Rejection,
    Request,
    Usage,
)

__all__ = [
    "Allocation",
    "ClusterView",
    "HostIndex",
    "HostView",
    "NewVolume",
    "Placement",
    "PoolScope",
    "PoolView",
    "Reason",
    "Rejection",
    "Request",
    "Scheduler",
    "Usage",
]
