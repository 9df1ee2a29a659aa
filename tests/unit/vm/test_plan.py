"""The plan: each rule by a table, and convergence as a property over a model of a hypervisor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.vm.plan import (
    Action,
    Apply,
    Create,
    Pending,
    RecordRestart,
    Start,
    Stop,
    Want,
    Why,
    awaits_guest,
    held_by_snapshots,
    outlook,
    pending,
    plan,
)
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DetachNIC,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    ObservedSnapshot,
    ObservedVM,
    Power,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    SnapshotID,
    VolumeID,
)

from .things import GIB, as_made, carried_out, mount, nic, wanted


def always(mode: ApplyMode):
    return lambda _change, _have: mode


LIVE, RESTART, POWER_OFF = always(ApplyMode.LIVE), always(ApplyMode.RESTART), always(ApplyMode.POWER_OFF)


@pytest.mark.parametrize(
    ("power", "power_on", "restart", "expected"),
    [
        (Power.ON, True, False, None),
        (Power.OFF, False, False, None),
        (Power.PAUSED, True, False, None),
        (Power.OFF, True, False, Start()),
        (Power.ON, False, False, Stop(Why.DECLARED)),
        (Power.PAUSED, False, False, Stop(Why.DECLARED)),
        (Power.ON, True, True, Stop(Why.RESTART)),
        (Power.OFF, True, True, RecordRestart()),
        (Power.OFF, False, True, RecordRestart()),
        (Power.ON, False, True, Stop(Why.DECLARED)),
        (Power.CRASHED, True, False, Stop(Why.CRASHED)),
        (Power.CRASHED, False, False, Stop(Why.CRASHED)),
        (Power.UNKNOWN, True, False, None),
        (Power.UNKNOWN, False, False, None),
    ],
)
def test_power(power: Power, power_on: bool, restart: bool, expected: Action | None) -> None:
    vm = wanted()
    assert plan(Want(vm, power_on, restart), as_made(vm, power), LIVE) == expected


def test_absent_vm_is_created_even_if_declared_off() -> None:
    assert plan(Want(wanted(), power_on=False), None, LIVE) == Create()


@pytest.mark.parametrize(
    ("have", "changes"),
    [
        ({"cpus": 1, "running_cpus": 1}, [SetCPUs(2)]),
        ({"memory": GIB, "running_memory": GIB}, [SetMemory(2 * GIB)]),
        ({"seed_digest": "other"}, [SetSeed(wanted().seed)]),
        ({"nics": ()}, [AttachNIC(nic())]),
    ],
)
def test_each_difference_becomes_a_change(have: dict[str, object], changes: list[Change]) -> None:
    vm = wanted()
    observed = replace(as_made(vm), **have)
    assert plan(Want(vm, power_on=True), observed, LIVE) == Apply(tuple(changes))


def test_disk_grows_and_never_shrinks() -> None:
    vm = wanted()
    small, large = as_made(vm), as_made(vm)
    small = replace(small, disks=(replace(small.disks[0], size=5 * GIB),))
    large = replace(large, disks=(replace(large.disks[0], size=50 * GIB),))
    assert plan(Want(vm, power_on=True), small, LIVE) == Apply((GrowDisk("root", 10 * GIB),))
    assert plan(Want(vm, power_on=True), large, LIVE) is None


@pytest.mark.parametrize("other", [nic(vlan=200), nic(mac="02:00:00:00:00:09"), nic(ip="10.0.0.9")])
def test_nic_that_differs_is_replaced_under_its_name(other: object) -> None:
    vm = wanted()
    observed = as_made(wanted(nics=(other,)))
    assert plan(Want(vm, power_on=True), observed, LIVE) == Apply((DetachNIC("front"), AttachNIC(nic())))


def test_undeclared_nic_is_removed() -> None:
    observed = as_made(wanted(nics=(nic(), nic("back", mac="02:00:00:00:00:02", ip="10.0.0.6"))))
    assert plan(Want(wanted(), power_on=True), observed, LIVE) == Apply((DetachNIC("back"),))


def test_unknown_seed_leaves_the_one_that_is_there() -> None:
    assert plan(Want(wanted(seed=None), power_on=True), as_made(wanted()), LIVE) is None


def test_change_that_needs_power_off_waits_and_is_pending() -> None:
    vm = wanted()
    observed = replace(as_made(vm), cpus=1, running_cpus=1)
    assert plan(Want(vm, power_on=True), observed, POWER_OFF) is None
    assert pending(vm, observed, POWER_OFF) == [Pending("offering", "1 CPUs", "2 CPUs", ApplyMode.POWER_OFF)]


def test_change_for_the_next_start_is_written_once_and_stays_pending() -> None:
    vm = wanted()
    before = replace(as_made(vm), memory=GIB, running_memory=GIB)
    assert plan(Want(vm, power_on=True), before, RESTART) == Apply((SetMemory(2 * GIB),))
    written = replace(before, memory=2 * GIB)
    assert plan(Want(vm, power_on=True), written, RESTART) is None
    assert pending(vm, written, RESTART) == [Pending("offering", "1Gi of memory", "2Gi of memory", ApplyMode.RESTART)]


def test_memory_that_the_guest_has_not_taken_is_pending_with_that_reason() -> None:
    vm = wanted()
    have = replace(as_made(vm), running_memory=GIB, offered_memory=2 * GIB)
    assert plan(Want(vm, power_on=True), have, RESTART) is None
    assert pending(vm, have, RESTART) == [
        Pending(
            "offering",
            "1Gi of memory",
            "2Gi of memory, which the guest was given and has not taken",
            ApplyMode.RESTART,
        )
    ]


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        ({"memory": 2 * GIB, "offered_memory": 2 * GIB}, True),
        ({"memory": GIB, "offered_memory": 2 * GIB}, False),
        ({"memory": 2 * GIB, "offered_memory": 3 * GIB}, False),
        ({"memory": 2 * GIB, "offered_memory": 0}, False),
    ],
)
def test_when_nothing_but_the_guest_is_waited_for(have: dict[str, int], expected: bool) -> None:
    observed = replace(as_made(wanted()), running_memory=GIB, **have)  # type: ignore[arg-type]
    assert awaits_guest(SetMemory(2 * GIB), observed) is expected
    assert not awaits_guest(SetCPUs(2), observed)


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_what_only_a_new_vm_can_have_is_pending_and_never_tried(power: Power) -> None:
    """A VM that is off starts without it."""
    vm = wanted()
    larger = replace(vm, disks=tuple(replace(disk, size=disk.size + GIB) for disk in vm.disks))
    have = replace(as_made(vm), power=power)

    def mode_of(change: Change, _have: ObservedVM) -> ApplyMode:
        return ApplyMode.RECREATE if isinstance(change, GrowDisk) else ApplyMode.LIVE

    for found in (pending(larger, have, mode_of), outlook(larger, have, mode_of)):
        assert [(each.field, each.needs) for each in found] == [("rootDisk.size", ApplyMode.RECREATE)]
    action = plan(Want(larger, power_on=True), have, mode_of)
    assert action == (Start() if power is Power.OFF else None)


def test_several_changes_of_one_field_are_pending_as_one() -> None:
    """The list is keyed by field: two entries with one could not be written."""
    vm = wanted(nics=(nic(mac="02:00:00:00:00:09"),))
    observed = replace(as_made(wanted()), cpus=1, running_cpus=1, memory=GIB, running_memory=GIB)
    assert pending(vm, observed, POWER_OFF) == [
        Pending("offering", "1 CPUs, 1Gi of memory", "2 CPUs, 2Gi of memory", ApplyMode.POWER_OFF),
        Pending("networks[front]", "present", "shop/front", ApplyMode.POWER_OFF),
    ]


def test_nothing_is_pending_while_off() -> None:
    vm = wanted()
    assert pending(vm, replace(as_made(vm, Power.OFF), cpus=1), RESTART) == []


def test_hardware_is_changed_before_the_start() -> None:
    vm = wanted()
    observed = replace(as_made(vm, Power.OFF), cpus=1, running_cpus=1)
    assert plan(Want(vm, power_on=True), observed, POWER_OFF) == Apply((SetCPUs(2),))


SNAPSHOT = ObservedSnapshot(SnapshotID("s"), None, memory=False, created=0)


def test_a_volume_under_another_name_is_taken_off_before_it_comes_back() -> None:
    """In two steps: a hypervisor would refuse a volume, or a name, that is still there."""
    have = as_made(wanted(volumes=(mount("a", "1"), mount("b", "2"))))
    swapped = wanted(volumes=(mount("a", "2"), mount("b", "1")))
    first = plan(Want(swapped, power_on=True), have, LIVE)
    assert first == Apply((DetachVolume(VolumeID("1")), DetachVolume(VolumeID("2"))))
    bare = replace(have, volumes=())
    assert plan(Want(swapped, power_on=True), bare, LIVE) == Apply((AttachVolume(mount("a", "2")), AttachVolume(mount("b", "1"))))


def test_volumes_wait_for_power_off_where_they_must() -> None:
    have, want = as_made(wanted(volumes=(mount("a", "1"),))), wanted(volumes=(mount("a", "2"),))
    assert plan(Want(want, power_on=True), have, POWER_OFF) is None
    assert pending(want, have, POWER_OFF) == [Pending("volumes[a]", "1", "2", ApplyMode.POWER_OFF)]


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_a_snapshot_holds_up_disks_and_volumes_only(power: Power) -> None:
    have = replace(as_made(wanted(volumes=(mount("a", "1"),)), power), snapshots=(SNAPSHOT,))
    want = wanted(volumes=(mount("b", "2"),), disks=(replace(wanted().disks[0], size=20 * GIB),), cpus=4)
    assert plan(Want(want, power_on=power is Power.ON), have, LIVE) == Apply((SetCPUs(4),))
    assert held_by_snapshots(want, have) == ["spec.rootDisk.size", "spec.volumes[a]", "spec.volumes[b]"]
    assert held_by_snapshots(want, replace(have, snapshots=())) == []


SLOW = DiskLimits(write_iops=100)


def test_each_disk_with_other_limits_gets_the_declared() -> None:
    root = replace(wanted().disks[0], limits=SLOW)
    want = wanted(disks=(root,), volumes=(replace(mount("a", "1"), limits=SLOW), replace(mount("b", "2"), limits=SLOW)))
    have = as_made(want)
    assert plan(Want(want, power_on=True), have, LIVE) is None
    other = (replace(have.volumes[0], limits=None), have.volumes[1])
    have = replace(have, disks=(replace(have.disks[0], limits=DiskLimits()),), volumes=other)
    assert plan(Want(want, power_on=True), have, LIVE) == Apply((SetDiskLimits("root", SLOW), SetDiskLimits("a", SLOW)))
    assert outlook(want, have, LIVE) == [
        Pending(
            "offering",
            "disk root: no limits, disk a: limits of another kind",
            "disk root: write 100 IOPS, disk a: write 100 IOPS",
            ApplyMode.LIVE,
        )
    ]


def test_a_volume_that_takes_the_name_of_another_comes_with_its_limits() -> None:
    have, want = as_made(wanted(volumes=(mount("a", "1"),))), wanted(volumes=(replace(mount("a", "2"), limits=SLOW),))
    assert plan(Want(want, power_on=True), have, LIVE) == Apply((DetachVolume(VolumeID("1")),))
    bare = replace(have, volumes=())
    assert plan(Want(want, power_on=True), bare, LIVE) == Apply((AttachVolume(want.volumes[0]),))


MODES = st.dictionaries(
    st.sampled_from([SetCPUs, SetMemory, GrowDisk, SetDiskLimits, AttachNIC, DetachNIC, SetSeed, AttachVolume, DetachVolume]),
    st.sampled_from(list(ApplyMode)[:3]),
)
NAMES = st.lists(st.sampled_from("abc"), unique=True)
MOUNTS = st.builds(lambda names, ids: tuple(map(mount, names, ids)), NAMES, st.permutations("123"))
SIZES = st.integers(1, 4)
SEEN_LIMITS = st.sampled_from([None, DiskLimits(), DiskLimits(read_bytes=1), DiskLimits(write_iops=1)])


@st.composite
def observations(draw: st.DrawFn) -> ObservedVM:
    power = draw(st.sampled_from([Power.ON, Power.OFF, Power.PAUSED, Power.CRASHED]))
    names = draw(st.lists(st.sampled_from(["front", "back", "third"]), unique=True))
    nics = tuple(nic(name, vlan=draw(st.sampled_from([100, 200])), mac=f"02:00:00:00:00:0{i}") for i, name in enumerate(names))
    have = as_made(wanted(nics=nics, volumes=draw(MOUNTS), cpus=draw(SIZES), memory=draw(SIZES) * GIB), power)
    have = replace(have, snapshots=draw(st.sampled_from([(), (SNAPSHOT,)])))
    have = replace(have, volumes=tuple(replace(each, limits=draw(SEEN_LIMITS)) for each in have.volumes))
    disk = replace(have.disks[0], size=draw(SIZES) * 5 * GIB, limits=draw(SEEN_LIMITS))
    return replace(have, disks=(disk,), seed_digest=draw(st.sampled_from(["", "x"])))


@given(have=observations(), mounts=MOUNTS, power_on=st.booleans(), restart=st.booleans(), modes=MODES)
def test_plan_converges(have: ObservedVM, mounts: Any, power_on: bool, restart: bool, modes: dict[type, ApplyMode]) -> None:
    """Carried out step by step, the plan ends; a VM declared on is stopped only for a crash or a restart, and once."""

    def mode_of(change: Change, _have: ObservedVM) -> ApplyMode:
        return modes.get(type(change), ApplyMode.LIVE)

    want, stops = Want(wanted(volumes=tuple(replace(each, limits=SLOW) for each in mounts)), power_on, restart), 0
    crashed = have.power is Power.CRASHED
    for _ in range(12):
        action = plan(want, have, mode_of)
        match action:
            case None:
                break
            case Stop():
                stops += 1
                have = replace(have, power=Power.OFF, running_cpus=have.cpus, running_memory=have.memory)
            case RecordRestart():
                want = replace(want, restart=False)
            case Start():
                have = replace(have, power=Power.ON)
            case Apply(changes):
                for change in changes:
                    allowed = have.power is Power.OFF or mode_of(change, have) is not ApplyMode.POWER_OFF
                    assert allowed, f"{change} was planned for a running VM"
                    have = carried_out(change, have, mode_of(change, have))
            case Create():
                pytest.fail("an existing VM was to be created")
    else:
        pytest.fail("the plan does not end")
    assert (have.power in (Power.ON, Power.PAUSED)) == power_on
    assert stops <= 1
    if power_on and not crashed and not want.restart and not restart:
        assert stops == 0
    if have.power is Power.OFF:
        assert not plan(Want(want.vm, power_on=False), have, mode_of)
        assert {n.name for n in have.nics} == {n.name for n in want.vm.nics}
        volumes = {(each.name, each.volume) for each in have.volumes}
        assert have.snapshots or volumes == {(each.name, each.volume) for each in mounts}
        assert have.disks[0].limits == DiskLimits()
        assert have.snapshots or {each.limits for each in have.volumes} <= {SLOW}
