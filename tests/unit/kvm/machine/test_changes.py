"""When each change can take effect."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kvm.domain.platform import CPU_LIMIT, ceiling
from drivers.kvm.machine.changes import mode
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DetachNIC,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    HostID,
    InstanceID,
    ObservedVM,
    Owner,
    PoolSpec,
    Power,
    Seed,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    VolumeAttachment,
    VolumeID,
)
from tests.unit.kvm.domain.test_build import NIC

GIB = 1 << 30
TYPES = ("kvm", "qemu")
VOLUME = VolumeID("11111111-1111-4111-8111-111111111111")
SEED = Seed("instance-id: 1\n", "", b"")
ON = ObservedVM(
    instance=InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"),
    owner=Owner("u", "n", "web"),
    name="web",
    host=HostID("kvm1"),
    power=Power.ON,
    cpus=2,
    memory=GIB,
    running_cpus=2,
    running_memory=GIB,
    seed_digest=SEED.digest,
)

TABLE: list[tuple[Change, ApplyMode]] = [
    (SetCPUs(2), ApplyMode.LIVE),
    (SetCPUs(3), ApplyMode.LIVE),
    (SetCPUs(8), ApplyMode.LIVE),
    (SetCPUs(9), ApplyMode.RESTART),
    (SetCPUs(1), ApplyMode.RESTART),
    (SetMemory(GIB), ApplyMode.LIVE),
    (SetMemory(2 * GIB), ApplyMode.RESTART),
    (SetMemory(GIB // 2), ApplyMode.RESTART),
    (GrowDisk("root", GIB), ApplyMode.LIVE),
    (SetDiskLimits("root", DiskLimits(read_iops=100)), ApplyMode.LIVE),
    (AttachNIC(NIC), ApplyMode.LIVE),
    (DetachNIC("eth0"), ApplyMode.LIVE),
    (AttachVolume(VolumeAttachment("data", VOLUME, PoolSpec("local", "/srv/local"))), ApplyMode.LIVE),
    (DetachVolume(VOLUME), ApplyMode.LIVE),
    (SetSeed(SEED), ApplyMode.LIVE),
    (SetSeed(Seed("instance-id: 2\n", "", b"")), ApplyMode.RESTART),
]


@pytest.mark.parametrize("power", [Power.ON, Power.PAUSED, Power.UNKNOWN])
@pytest.mark.parametrize(("change", "expected"), TABLE)
def test_while_it_may_run(change: Change, expected: ApplyMode, power: Power) -> None:
    assert mode(change, replace(ON, power=power), "kvm") is expected


@pytest.mark.parametrize(("change", "expected"), [(change, mode) for change, mode in TABLE if not isinstance(change, SetCPUs)])
def test_emulated_guests_differ_in_nothing_but_cpus(change: Change, expected: ApplyMode) -> None:
    assert mode(change, ON, "qemu") is expected


@pytest.mark.parametrize(
    ("cpus", "expected"), [(1, ApplyMode.RESTART), (2, ApplyMode.LIVE), (3, ApplyMode.RESTART), (8, ApplyMode.RESTART)]
)
def test_an_emulated_guest_keeps_its_cpus_until_it_restarts(cpus: int, expected: ApplyMode) -> None:
    assert mode(SetCPUs(cpus), ON, "qemu") is expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (GIB, ApplyMode.LIVE),
        (GIB + 1, ApplyMode.LIVE),
        (2 * GIB, ApplyMode.LIVE),
        (4 * GIB, ApplyMode.LIVE),
        (4 * GIB + 1, ApplyMode.RESTART),
        (GIB - 1, ApplyMode.RESTART),
    ],
)
def test_memory_comes_at_once_as_far_as_there_is_room(wanted: int, expected: ApplyMode) -> None:
    for kind in TYPES:
        assert mode(SetMemory(wanted), replace(ON, most_memory=4 * GIB), kind) is expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(2 * GIB, ApplyMode.RESTART), (3 * GIB, ApplyMode.LIVE), (GIB, ApplyMode.LIVE), (GIB + 1, ApplyMode.LIVE)],
)
def test_memory_that_the_guest_has_not_taken_is_not_given_again(wanted: int, expected: ApplyMode) -> None:
    offered = replace(ON, memory=2 * GIB, most_memory=4 * GIB, offered_memory=2 * GIB)
    assert mode(SetMemory(wanted), offered, "kvm") is expected


@pytest.mark.parametrize("power", [Power.OFF, Power.CRASHED])
@pytest.mark.parametrize("change", [change for change, _ in TABLE])
def test_while_it_is_off_everything_holds_at_once(change: Change, power: Power) -> None:
    for domain_type in TYPES:
        assert mode(change, replace(ON, power=power), domain_type) is ApplyMode.LIVE


@given(st.integers(1, CPU_LIMIT), st.integers(1, CPU_LIMIT), st.sampled_from(TYPES))
def test_cpus_that_are_added_one_after_the_other_never_exceed_what_the_vm_was_started_with(
    start: int, wanted: int, kind: str
) -> None:
    """The room depends on the number at start only; it must come out the same from any number reached since."""
    if mode(SetCPUs(wanted), replace(ON, running_cpus=start), kind) is ApplyMode.LIVE:
        assert start <= wanted <= ceiling(start, kind)
        assert ceiling(wanted, kind) == ceiling(start, kind)


@given(st.integers(1, CPU_LIMIT), st.sampled_from(TYPES))
def test_there_is_room_for_what_is_there(cpus: int, kind: str) -> None:
    assert cpus <= ceiling(cpus, kind) <= CPU_LIMIT
