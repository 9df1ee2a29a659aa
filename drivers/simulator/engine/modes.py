"""When a change can take effect, from what the hypervisor can do and what the VM runs with. Pure."""

from __future__ import annotations

from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Capability,
    Change,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    ObservedVM,
    Power,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
)

from .model import GROUP

__all__ = ["apply_mode"]


def apply_mode(change: Change, observed: ObservedVM, capabilities: frozenset[Capability]) -> ApplyMode:
    """LIVE while the VM is off. On a running VM CPUs and memory only grow live, a disk grows, and NICs and volumes come
    and go, if declared. A disk in a volume group never grows.

    Memory that its guest was offered and has not taken waits for the next start, as a seed does. Limits of disks hold at once.
    """
    if isinstance(change, GrowDisk) and _is_raw(change.name, observed):
        return ApplyMode.RECREATE
    if observed.power in (Power.OFF, Power.CRASHED):
        return ApplyMode.LIVE
    match change:
        case SetCPUs(cpus):
            grows = cpus == observed.running_cpus or (cpus > observed.running_cpus and Capability.CPU_ADD_LIVE in capabilities)
            return ApplyMode.LIVE if grows else ApplyMode.RESTART
        case SetMemory(memory):
            fresh = memory > observed.running_memory and memory != observed.offered_memory
            more = fresh and Capability.MEMORY_ADD_LIVE in capabilities
            return ApplyMode.LIVE if more or memory == observed.running_memory else ApplyMode.RESTART
        case GrowDisk():
            return ApplyMode.LIVE if Capability.DISK_GROW_LIVE in capabilities else ApplyMode.POWER_OFF
        case SetDiskLimits():
            return ApplyMode.LIVE
        case AttachNIC() | DetachNIC():
            return ApplyMode.LIVE if Capability.NIC_HOTPLUG in capabilities else ApplyMode.POWER_OFF
        case AttachVolume() | DetachVolume():
            return ApplyMode.LIVE if Capability.VOLUME_HOTPLUG in capabilities else ApplyMode.POWER_OFF
        case _:
            return ApplyMode.RESTART


def _is_raw(name: str, observed: ObservedVM) -> bool:
    return any(disk.name == name and disk.volume_id.startswith(GROUP) for disk in observed.disks)
