"""Limits of disks and volumes: at creation, while a volume is attached, and SetDiskLimits (Capability.DISK_LIMITS)."""

from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import InvalidSpec, NotFound
from drivers.types import ApplyMode, AttachVolume, Change, DesiredVM, DetachVolume, DiskLimits, Power, SetCPUs, SetDiskLimits

from .binding import Binding
from .storebase import Store, StoreBase
from .tools import MIB, raises_ours

NONE = DiskLimits()
SLOW = DiskLimits(read_bytes=4 * MIB, write_bytes=2 * MIB, read_iops=400, write_iops=200)
OTHERS = [DiskLimits(read_bytes=8 * MIB), DiskLimits(write_iops=100), DiskLimits(MIB, MIB), SLOW, NONE]


def limits(store: Store, vm: DesiredVM) -> dict[str, DiskLimits | None]:
    """Of the VM's disks and volumes, by name; the same by itself and among all."""
    seen = store.make.observe(vm)
    found = {disk.name: disk.limits for disk in seen.disks} | {volume.name: volume.limits for volume in seen.volumes}
    listed = store.connection.compute.observe_all()[vm.instance]
    assert (listed.disks, listed.volumes) == (seen.disks, seen.volumes)
    return found


class Limiting(StoreBase):
    """Limits of disks."""

    def limited(self, store: Store, *, running: bool) -> DesiredVM:
        """A VM with a limited disk and a limited volume."""
        vm = store.make.vm()
        volume = replace(store.attachment(store.created()), limits=SLOW)
        vm = replace(vm, disks=tuple(replace(disk, limits=SLOW) for disk in vm.disks), volumes=(volume,))
        store.make.create(vm)
        if running:
            store.make.start(vm)
        return vm

    @pytest.mark.parametrize("running", [False, True])
    def test_a_vm_is_made_with_them(self, store: Store, running: bool) -> None:
        assert limits(store, self.limited(store, running=running)) == {"root": SLOW, "data": SLOW}

    def test_there_are_none_unless_they_are_asked_for(self, store: Store) -> None:
        assert limits(store, store.vm(store.created())) == {"root": NONE, "data0": NONE}

    @pytest.mark.parametrize("running", [False, True])
    def test_they_change_at_once_and_each_by_itself(self, connection: Connection, store: Store, running: bool) -> None:
        vm = self.limited(store, running=running)
        for wanted in OTHERS:
            change = SetDiskLimits("root", wanted)
            assert connection.compute.apply_mode(change, store.make.observe(vm)) is ApplyMode.LIVE
            store.apply(vm, change)
            assert limits(store, vm) == {"root": wanted, "data": SLOW}
        store.apply(vm, SetDiskLimits("data", NONE), SetDiskLimits("root", SLOW))
        assert limits(store, vm) == {"root": SLOW, "data": NONE}
        assert store.make.power(vm) is (Power.ON if running else Power.OFF)

    def test_they_outlast_a_restart(self, store: Store) -> None:
        vm = self.limited(store, running=True)
        store.apply(vm, SetDiskLimits("root", OTHERS[0]))
        store.make.stop(vm)
        store.make.start(vm)
        assert limits(store, vm) == {"root": OTHERS[0], "data": SLOW}

    @pytest.mark.parametrize("running", [False, True])
    def test_a_volume_comes_with_them_and_leaves_them_behind(self, connection: Connection, store: Store, running: bool) -> None:
        volume = store.created()
        vm = store.make.running() if running else store.make.created()
        slow = AttachVolume(replace(store.attachment(volume), limits=SLOW))
        if connection.compute.apply_mode(slow, store.make.observe(vm)) is not ApplyMode.LIVE:
            store.make.stop(vm)
        store.apply(vm, slow)
        assert limits(store, vm) == {"root": NONE, "data": SLOW}
        store.apply(vm, DetachVolume(volume.volume))
        store.apply(vm, AttachVolume(store.attachment(volume)))
        assert limits(store, vm) == {"root": NONE, "data": NONE}

    @pytest.mark.parametrize("running", [False, True])
    def test_set_again_nothing_changes(self, binding: Binding, store: Store, running: bool) -> None:
        vm = self.limited(store, running=running)
        before = binding.fingerprint(vm.instance)
        store.apply(vm, SetDiskLimits("root", SLOW), SetDiskLimits("data", SLOW))
        assert binding.fingerprint(vm.instance) == before

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            (SetDiskLimits("other", SLOW), NotFound),
            (SetDiskLimits("", SLOW), NotFound),
            (SetDiskLimits("root", DiskLimits(read_bytes=-1)), InvalidSpec),
            (SetDiskLimits("root", DiskLimits(write_iops=-1)), InvalidSpec),
        ],
    )
    def test_what_can_t_be_refuses_the_rest(
        self, binding: Binding, store: Store, wrong: Change, error: type[InvalidSpec] | type[NotFound]
    ) -> None:
        vm = store.make.created()
        before = binding.fingerprint(vm.instance)
        with raises_ours(error):
            store.apply(vm, SetCPUs(vm.cpus + 1), wrong)
        assert binding.fingerprint(vm.instance) == before

    def test_a_vm_or_a_volume_with_impossible_ones_is_not_made(self, binding: Binding, store: Store) -> None:
        vm, volume = store.make.vm(), store.created()
        with raises_ours(InvalidSpec):
            store.make.create(replace(vm, disks=tuple(replace(disk, limits=DiskLimits(write_bytes=-1)) for disk in vm.disks)))
        assert binding.leftovers(vm.instance) == set()
        other = store.make.created()
        with raises_ours(InvalidSpec):
            store.apply(other, AttachVolume(replace(store.attachment(volume), limits=DiskLimits(read_iops=-1))))
        assert limits(store, other) == {"root": NONE}
