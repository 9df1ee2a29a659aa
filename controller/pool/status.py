"""What hosts say of a pool → its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.inventory.pools import PoolFailure
from controller.runtime.conditions import Conditions
from controller.runtime.results import Result, done, waiting
from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.lookups import snapshots_by_pool, vms_by_pool, volumes_by_pool
from crds.fields import Quantity
from crds.references import AllocationState
from crds.v1alpha1 import StoragePool
from crds.v1alpha1.storagepool import PoolCapacity, PoolState
from drivers.types import ObservedPool

HOSTS_READY = "HostsReady"
STEPS = 100
_MOST_HOSTS = 1000
"""What the status takes."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A pool on the hosts of its scope: ready on some, failing on some, `absent` on those that are down or have not answered yet.

    `unasked`: some hosts have not had their chance to connect and answer since the controller started.
    """

    ready: Mapping[str, ObservedPool] = field(default_factory=dict)
    failing: Sequence[PoolFailure] = ()
    absent: Sequence[str] = ()
    unasked: bool = False


def capacity(known: PoolCapacity, seen: ObservedPool, allocated: int) -> PoolCapacity:
    """Size and use of a pool, in bytes.

    Free space stays as it was until it differs by 1 % of the total: a guest that writes to its disk must not cost an API write each
    time. It is rounded down to a unit that is small beside the total, so that people can read it.
    """
    total, free = max(0, seen.capacity), max(0, seen.available)
    unit = next(unit for unit in (2**30, 2**20, 2**10, 1) if unit == 1 or unit * STEPS <= total)
    available = Quantity.of(free // unit * unit)
    if known.available is not None and known.total.bytes == total and abs(known.available.bytes - free) * STEPS < total:
        available = known.available
    return PoolCapacity(total=Quantity.of(total), available=available, allocated=Quantity.of(allocated))


async def allocated(store: Store, pool: str) -> int:
    """Sum of the full sizes of the disks, volumes and snapshots of volumes in the pool, in bytes."""
    total = 0
    async for volume in volumes_by_pool.slowly(store, pool):
        total += (volume.status.size or volume.spec.size).bytes
    async for snapshot in snapshots_by_pool.slowly(store, pool):
        total += snapshot.status.size.bytes if snapshot.status.size else 0
    async for status in vms_by_pool.statuses(store, pool):
        total += sum(Quantity(disk["size"]).bytes for disk in status.get("disks", ()) if disk["pool"] == pool)
    return total


def describe(pool: StoragePool, conditions: Conditions, survey: Survey) -> None:
    """Set state, the number of hosts and the condition HostsReady."""
    status = pool.status
    status.hosts_mounted = len(survey.ready)
    status.hosts_failing = sorted(failure.host for failure in survey.failing)[:_MOST_HOSTS]
    if pool.spec.allocation_state is AllocationState.DISABLED:
        status.state = PoolState.DISABLED
    else:
        status.state = PoolState.UP if survey.ready else PoolState.INITIALIZED
    if survey.failing:
        reason = survey.failing[0].reason
        conditions.set(HOSTS_READY, False, reason, f"not usable on {len(survey.failing)} hosts: {_failures(survey)}")
    elif survey.absent:
        message = f"{len(survey.absent)} hosts are not up or have not answered: {listing(survey.absent)}"
        conditions.set(HOSTS_READY, False, "HostsNotUp", message)
    elif survey.ready:
        conditions.set(HOSTS_READY, True, "Mounted")
    else:
        conditions.set(HOSTS_READY, False, "NoHosts", "there is no host in its scope")


def result(pool: StoragePool, survey: Survey) -> Result:
    """A pool is ready when one host has it; those where it fails are told by HostsReady."""
    if survey.ready:
        return done("Disabled" if pool.spec.allocation_state is AllocationState.DISABLED else "Up")
    if survey.failing:
        return waiting(survey.failing[0].reason, f"not usable on any host: {_failures(survey)}")
    if survey.absent:
        return waiting("NoHostUp", f"none of the {len(survey.absent)} hosts in its scope is up and has answered")
    return waiting("NoHosts", "there is no host in its scope")


def _failures(survey: Survey) -> str:
    return listing([f"{failure.host}: {failure.message}" for failure in survey.failing])
