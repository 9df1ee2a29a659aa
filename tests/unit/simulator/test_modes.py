"""When a change takes effect: the table."""

from dataclasses import replace

import pytest

from drivers.simulator.engine.modes import apply_mode
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Capability,
    Change,
    DetachNIC,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    HostID,
    InstanceID,
    ObservedVM,
    Owner,
    Power,
    Seed,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
)

from .world import attachment, nic, volume

EVERYTHING = frozenset(Capability)
LIVE, RESTART, POWER_OFF = ApplyMode.LIVE, ApplyMode.RESTART, ApplyMode.POWER_OFF


def test_memory_that_the_guest_was_offered_is_not_offered_again() -> None:
    offered = replace(seen(Power.ON), offered_memory=4000)
    assert apply_mode(SetMemory(4000), offered, EVERYTHING) is RESTART
    assert apply_mode(SetMemory(5000), offered, EVERYTHING) is LIVE
    assert apply_mode(SetMemory(2000), offered, EVERYTHING) is LIVE


def seen(power: Power) -> ObservedVM:
    """Two CPUs and 2,000 bytes running, three and 3,000 at the next start."""
    return ObservedVM(InstanceID("i"), Owner("u", "n", "n"), "n", HostID("h"), power, 3, 3000, 2, 2000)


@pytest.mark.parametrize(
    ("change", "needs", "with_it", "without"),
    [
        (SetCPUs(4), Capability.CPU_ADD_LIVE, LIVE, RESTART),
        (SetCPUs(2), Capability.CPU_ADD_LIVE, LIVE, LIVE),
        (SetCPUs(1), Capability.CPU_ADD_LIVE, RESTART, RESTART),
        (SetMemory(4000), Capability.MEMORY_ADD_LIVE, LIVE, RESTART),
        (SetMemory(2000), Capability.MEMORY_ADD_LIVE, LIVE, LIVE),
        (SetMemory(1000), Capability.MEMORY_ADD_LIVE, RESTART, RESTART),
        (GrowDisk("root", 9), Capability.DISK_GROW_LIVE, LIVE, POWER_OFF),
        (SetDiskLimits("root", DiskLimits(1)), Capability.DISK_LIMITS, LIVE, LIVE),
        (AttachNIC(nic()), Capability.NIC_HOTPLUG, LIVE, POWER_OFF),
        (DetachNIC("front"), Capability.NIC_HOTPLUG, LIVE, POWER_OFF),
        (AttachVolume(attachment(volume())), Capability.VOLUME_HOTPLUG, LIVE, POWER_OFF),
        (DetachVolume(volume().volume), Capability.VOLUME_HOTPLUG, LIVE, POWER_OFF),
        (SetSeed(Seed("", "")), Capability.UEFI, RESTART, RESTART),
    ],
)
def test_on_a_running_vm_it_depends(change: Change, needs: Capability, with_it: ApplyMode, without: ApplyMode) -> None:
    for power in (Power.ON, Power.PAUSED, Power.UNKNOWN):
        assert apply_mode(change, seen(power), EVERYTHING) is with_it
        assert apply_mode(change, seen(power), EVERYTHING - {needs}) is without
    for power in (Power.OFF, Power.CRASHED):
        assert apply_mode(change, seen(power), frozenset()) is LIVE
