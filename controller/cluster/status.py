"""What a cluster has and what of it is promised, summed over its hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def sums(hosts: Sequence[Host]) -> Sums:
    """Add up what the hosts' statuses say; a host that is not up counts with what it had."""
    return Sums(
        total=len(hosts),
        up=sum(host.status.state == HostState.UP for host in hosts),
        capacity=Capacity(
            cpus=sum(host.status.capacity.cpus for host in hosts),
            memory=Quantity.of(sum(host.status.capacity.memory.bytes for host in hosts)),
        ),
        allocated=Allocated(
            cpus=sum(host.status.allocated.cpus for host in hosts),
            memory=Quantity.of(sum(host.status.allocated.memory.bytes for host in hosts)),
            vms=sum(host.status.allocated.vms for host in hosts),
        ),
    )
