"""Why a host or its cluster can't take a VM: one small rule each, tried in the order of the tables at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from controller.scheduler.index import Candidate, ClusterTotals
from controller.scheduler.views import ClusterView, Reason, Request, Usage
from drivers.types import Firmware

__all__ = [
    "CLUSTER_FILTERS",
    "SHAPE_FILTERS",
    "judge_cluster",
    "judge_load",
    "judge_shape",
    "most_usage",
    "threshold_exceeded",
    "too_large",
]

_PERCENT: Final = 100


def zone_disabled(cluster: ClusterView) -> Reason | None:
    """The Zone's allocation state is Disabled: nothing new goes there."""
    return None if cluster.zone_enabled else Reason.ZONE_DISABLED


def pod_disabled(cluster: ClusterView) -> Reason | None:
    """The Pod's allocation state is Disabled."""
    return None if cluster.pod_enabled else Reason.POD_DISABLED


def cluster_disabled(cluster: ClusterView) -> Reason | None:
    """The Cluster's allocation state is Disabled."""
    return None if cluster.enabled else Reason.CLUSTER_DISABLED


def host_disabled(host: Candidate, request: Request) -> Reason | None:
    """The Host's admin state is not Enabled."""
    return None if host.view.enabled else Reason.HOST_DISABLED


def host_refused(host: Candidate, request: Request) -> Reason | None:
    """The hypervisor answers, and refuses us, or is another than the Host stands for."""
    return Reason.HOST_REFUSED if host.view.refused else None


def host_down(host: Candidate, request: Request) -> Reason | None:
    """The hypervisor does not answer or reports the host down."""
    return None if host.view.connected else Reason.HOST_DOWN


def unsupported_firmware(host: Candidate, request: Request) -> Reason | None:
    """The VM boots with UEFI and the host can't."""
    return Reason.UNSUPPORTED_FIRMWARE if request.firmware is Firmware.UEFI and not host.view.uefi else None


def unsupported_disk_limits(host: Candidate, request: Request) -> Reason | None:
    """The VM's offering limits its disks and the host can't."""
    return Reason.UNSUPPORTED_DISK_LIMITS if request.disk_limits and not host.view.disk_limits else None


def host_tags_mismatch(host: Candidate, request: Request) -> Reason | None:
    """The host lacks a tag that is asked for; more tags do no harm."""
    return None if request.host_tags <= host.view.tags else Reason.HOST_TAGS_MISMATCH


def most_usage(host: Candidate, request: Request) -> Usage:
    """How much a host of this shape may carry already and still take the VM; negative where it can't however empty it is.

    A VM with more CPUs than the host itself never fits: overcommit never covers one VM with itself, a rule of CloudStack's
    (CapacityManagerImpl.checkIfHostHasCpuCapability). `vms`: its limit of guests per hypervisor.
    """
    guests = host.cluster.max_guests
    return Usage(
        cpus=host.cpus - request.cpus if request.cpus <= host.view.cpus else -1,
        memory=host.memory - request.memory,
        vms=sys.maxsize if guests is None else guests - 1,
    )


def judge_load(usage: Usage, most: Usage) -> Reason | None:
    """Why a host that carries `usage` and may carry `most` has no room for one more VM, or None."""
    if usage.vms > most.vms:
        return Reason.TOO_MANY_GUESTS
    if usage.cpus > most.cpus:
        return Reason.INSUFFICIENT_CPU
    return Reason.INSUFFICIENT_MEMORY if usage.memory > most.memory else None


def threshold_exceeded(cluster: ClusterView, totals: ClusterTotals, request: Request) -> Reason | None:
    """With this VM, more than the allowed part of the cluster would be allocated: the rest is kept for failures and growth.

    A VM pinned to a host is exempt. Both as in CloudStack (FirstFitPlanner.removeClustersCrossingThreshold is not consulted when
    DeploymentPlanningManagerImpl.planDeployment gets a host).
    """
    if request.host:
        return None
    cpus, memory = totals.used_cpus + request.cpus, totals.used_memory + request.memory
    over_cpu = cpus * _PERCENT > totals.cpus * cluster.cpu_threshold
    over_memory = memory * _PERCENT > totals.memory * cluster.memory_threshold
    return Reason.CLUSTER_THRESHOLD_EXCEEDED if over_cpu or over_memory else None


def too_large(host: Candidate, request: Request) -> bool:
    """Whether the VM would not fit on this host even if it were the only one. False while the host's capacity is not known."""
    known = host.view.cpus > 0 and host.view.memory > 0
    return known and (request.cpus > host.view.cpus or request.memory > host.memory)


CLUSTER_FILTERS: Final[tuple[Callable[[ClusterView], Reason | None], ...]] = (zone_disabled, pod_disabled, cluster_disabled)

SHAPE_FILTERS: Final[tuple[Callable[[Candidate, Request], Reason | None], ...]] = (
    host_disabled,
    host_refused,
    host_down,
    unsupported_firmware,
    unsupported_disk_limits,
    host_tags_mismatch,
)
"""What is the same for all hosts of one shape, see `shapes`."""


def judge_cluster(cluster: ClusterView) -> Reason | None:
    """Why no host of this cluster can take any VM, or None."""
    for rule in CLUSTER_FILTERS:
        if reason := rule(cluster):
            return reason
    return None


def judge_shape(host: Candidate, request: Request) -> Reason | None:
    """Why neither this host nor any other of its shape can take this VM, or None."""
    for rule in SHAPE_FILTERS:
        if reason := rule(host, request):
            return reason
    return None
