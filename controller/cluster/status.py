"""What a cluster has and what of it is promised, summed over its hosts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.scheduler import Usage
from crds.fields import Quantity
from crds.references import Allocated, Capacity
from crds.v1alpha1 import Host
from crds.v1alpha1.host import HostState


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the hosts of a cluster."""

    total: int
    up: int
    capacity: Capacity
    allocated: Allocated


def sums(hosts: Iterable[Host]) -> Sums:
    """Add up what the hosts' statuses say; a host that is not up counts with what it had. Each host is looked at once."""
    total = up = 0
    has, given = Usage(), Usage()
    for status in (host.status for host in hosts):
        total, up = total + 1, up + (status.state == HostState.UP)
        has = Usage(has.cpus + status.capacity.cpus, has.memory + status.capacity.memory.bytes)
        promised = status.allocated
        given = Usage(given.cpus + promised.cpus, given.memory + promised.memory.bytes, given.vms + promised.vms)
    return Sums(
        total=total,
        up=up,
        capacity=Capacity(cpus=has.cpus, memory=Quantity.of(has.memory)),
        allocated=Allocated(cpus=given.cpus, memory=Quantity.of(given.memory), vms=given.vms),
    )
