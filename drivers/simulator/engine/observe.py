"""From the engine's objects to what a driver reports."""

from __future__ import annotations

from drivers.types import (
    Capability,
    InstanceID,
    ObservedDisk,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    Owner,
    PoolSpec,
    Power,
)

from .guest import guest_info
from .model import VM, Disk, Host, Pool

__all__ = ["observed_host", "observed_pool", "observed_vm"]

VERSION = "1.0"


def observed_host(host: Host) -> ObservedHost:
    """A host as it reports itself, which may be a lie."""
    return ObservedHost(
        host=host.host,
        native_id=f"sim-{host.host}",
        hypervisor="Simulator",
        version=VERSION,
        cpus=host.cpus if host.lie_cpus is None else host.lie_cpus,
        memory=host.memory if host.lie_memory is None else host.lie_memory,
        up=host.up and host.reachable,
        message="" if host.up and host.reachable else "the host does not answer",
    )


def observed_pool(spec: PoolSpec, pool: Pool) -> ObservedPool:
    """A pool with its sizes in bytes."""
    return ObservedPool(spec.name, pool.capacity, max(0, pool.capacity - pool.used))


def observed_vm(vm: VM, owner: Owner, host: Host, capabilities: frozenset[Capability]) -> ObservedVM:
    """A VM of ours. Of a host that doesn't answer, nobody knows whether its VMs run."""
    on = vm.has_power
    return ObservedVM(
        instance=vm.instance,
        owner=owner,
        name=vm.name,
        host=vm.host,
        power=vm.power if host.up and host.reachable else Power.UNKNOWN,
        cpus=vm.cpus,
        memory=vm.memory,
        running_cpus=vm.running_cpus if on else vm.cpus,
        running_memory=vm.running_memory if on else vm.memory,
        disks=tuple(_disk(vm.instance, disk) for disk in vm.disks.values()),
        nics=tuple(vm.nics.values()),
        seed_digest=vm.seed_digest,
        guest=guest_info(vm, capabilities),
        foreign_devices=vm.foreign,
    )


def _disk(instance: InstanceID, disk: Disk) -> ObservedDisk:
    return ObservedDisk(disk.name, disk.pool_name, f"{disk.pool.path}/{instance}-{disk.name}", disk.size)
