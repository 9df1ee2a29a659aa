"""Compute.apply and apply_mode."""

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DesiredVM,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    InstanceID,
    ObservedNIC,
    ObservedVM,
    Power,
    Seed,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
)

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours, settle

SEED = Seed("local-hostname: renamed\n", "version: 2\nethernets: {}\n", b"#cloud-config\n")

Make = Callable[[DesiredVM, Maker], Change]

CHANGES: dict[str, Make] = {
    "more CPUs": lambda vm, make: SetCPUs(vm.cpus + 1),
    "fewer CPUs": lambda vm, make: SetCPUs(vm.cpus - 1),
    "more memory": lambda vm, make: SetMemory(vm.memory * 2),
    "less memory": lambda vm, make: SetMemory(vm.memory // 2),
    "a larger disk": lambda vm, make: GrowDisk("root", vm.disks[0].size + 8 * MIB),
    "a NIC more": lambda vm, make: AttachNIC(make.nic("back", vlan=11, ip="10.2.0.9")),
    "a NIC less": lambda vm, make: DetachNIC("front"),
    "another seed": lambda vm, make: SetSeed(SEED),
}


def next_start_has(seen: ObservedVM, change: Change) -> bool:
    """Whether the VM as defined has the change."""
    match change:
        case SetCPUs(cpus):
            return seen.cpus == cpus
        case SetMemory(memory):
            return seen.memory == memory
        case GrowDisk(name, size):
            return any((disk.name, disk.size) == (name, size) for disk in seen.disks)
        case SetDiskLimits(name, limits):
            return any((disk.name, disk.limits) == (name, limits) for disk in (*seen.disks, *seen.volumes))
        case AttachNIC(nic):
            return ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip) in seen.nics
        case DetachNIC(name):
            return all(nic.name != name for nic in seen.nics)
        case AttachVolume(attachment):
            return any((one.name, one.volume) == (attachment.name, attachment.volume) for one in seen.volumes)
        case DetachVolume(volume):
            return all(one.volume != volume for one in seen.volumes)
        case SetSeed(seed):
            return seen.seed_digest == seed.digest


def runs_with(seen: ObservedVM, change: Change) -> bool:
    """Whether the running VM has the change; what can't be seen from outside counts as had."""
    match change:
        case SetCPUs(cpus):
            return seen.running_cpus == cpus
        case SetMemory(memory):
            return seen.running_memory == memory
        case _:
            return next_start_has(seen, change)


each_change = pytest.mark.parametrize("what", CHANGES)


class _EachChange(ContractBase):
    @pytest.fixture
    def vm(self, make: Maker) -> DesiredVM:
        """A VM with two CPUs, so that it can have fewer."""
        return make.create(replace(make.vm(), cpus=2, memory=make.binding.memory * 2))

    def _apply(self, make: Maker, vm: DesiredVM, *changes: Change) -> None:
        settle(make.connection, lambda: make.connection.compute.apply(make.binding.host, vm.instance, changes))

    @each_change
    def test_while_off_it_holds_at_once(self, make: Maker, vm: DesiredVM, what: str) -> None:
        change = CHANGES[what](vm, make)
        assert not next_start_has(make.observe(vm), change)
        self._apply(make, vm, change)
        assert next_start_has(make.observe(vm), change)
        make.start(vm)
        assert runs_with(make.observe(vm), change)

    @each_change
    def test_again_changes_nothing(self, binding: Binding, make: Maker, vm: DesiredVM, what: str) -> None:
        change = CHANGES[what](vm, make)
        self._apply(make, vm, change)
        before = binding.fingerprint(vm.instance)
        self._apply(make, vm, change)
        assert binding.fingerprint(vm.instance) == before

    @each_change
    def test_while_on_it_takes_effect_when_its_mode_says(
        self, connection: Connection, make: Maker, vm: DesiredVM, what: str
    ) -> None:
        change = CHANGES[what](vm, make)
        make.start(vm)
        before = make.observe(vm)
        mode = connection.compute.apply_mode(change, before)
        assert mode in (ApplyMode.LIVE, ApplyMode.RESTART, ApplyMode.POWER_OFF)
        if mode is ApplyMode.POWER_OFF:
            with raises_ours(Conflict):
                self._apply(make, vm, change)
            assert replace(make.observe(vm), guest=before.guest) == before
            make.stop(vm)
            self._apply(make, vm, change)
        else:
            self._apply(make, vm, change)
            self._check_now(make.observe(vm), change, before, live=mode is ApplyMode.LIVE)
            make.stop(vm)
        make.start(vm)
        assert runs_with(make.observe(vm), change)

    def _check_now(self, seen: ObservedVM, change: Change, before: ObservedVM, *, live: bool) -> None:
        assert seen.power is Power.ON
        assert next_start_has(seen, change)
        if live:
            assert runs_with(seen, change)
        else:
            assert (seen.running_cpus, seen.running_memory) == (before.running_cpus, before.running_memory)

    @each_change
    def test_asking_for_the_mode_makes_no_call(self, binding: Binding, make: Maker, vm: DesiredVM, what: str) -> None:
        make.start(vm)
        seen = make.observe(vm)
        change = CHANGES[what](vm, make)
        connection = binding.connect()
        mode = connection.compute.apply_mode(change, seen)
        connection.close()
        assert connection.compute.apply_mode(change, seen) is mode

    @each_change
    def test_on_a_vm_that_is_not_there_it_is_not_found(
        self, binding: Binding, connection: Connection, make: Maker, vm: DesiredVM, what: str
    ) -> None:
        with raises_ours(NotFound):
            connection.compute.apply(binding.host, InstanceID(str(uuid.uuid4())), [CHANGES[what](vm, make)])


class _ChangesTogether(ContractBase):
    def test_all_of_them(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        changes = [CHANGES[what](vm, make) for what in ("more CPUs", "more memory", "a larger disk", "a NIC more", "another seed")]
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, changes))
        seen = make.observe(vm)
        assert [change for change in changes if not next_start_has(seen, change)] == []

    def test_none_of_none(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        before = binding.fingerprint(vm.instance)
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, []))
        assert binding.fingerprint(vm.instance) == before

    def test_one_that_is_refused_refuses_the_others(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        before = binding.fingerprint(vm.instance)
        changes = [SetCPUs(vm.cpus + 1), GrowDisk("root", vm.disks[0].size - MIB)]
        with raises_ours(InvalidSpec):
            settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, changes))
        assert binding.fingerprint(vm.instance) == before

    @pytest.mark.parametrize("change", [SetCPUs(0), SetCPUs(-1), SetMemory(0), SetMemory(-1)])
    def test_changes_to_impossible_sizes_are_refused(
        self, binding: Binding, connection: Connection, make: Maker, change: Change
    ) -> None:
        vm = make.created(empty=True)
        with raises_ours(InvalidSpec):
            settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [change]))

    def test_a_disk_that_is_not_there_can_t_grow(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        with raises_ours(NotFound, InvalidSpec):
            settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [GrowDisk("data", 64 * MIB)]))

    @pytest.mark.parametrize("running", [False, True])
    def test_a_nic_is_exchanged_for_another_under_its_name(self, connection: Connection, make: Maker, running: bool) -> None:
        vm = make.running() if running else make.created()
        fresh = make.nic("front", vlan=12)
        seen = make.observe(vm)
        changes = [DetachNIC("front"), AttachNIC(fresh)]
        if {connection.compute.apply_mode(change, seen) for change in changes} != {ApplyMode.LIVE}:
            make.stop(vm)
        settle(connection, lambda: connection.compute.apply(make.binding.host, vm.instance, changes))
        assert [(nic.name, nic.mac) for nic in make.observe(vm).nics] == [("front", fresh.mac)]

    def test_a_nic_that_is_not_there_counts_as_removed(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        before = make.observe(vm)
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [DetachNIC("no-such-nic")]))
        assert make.observe(vm) == before

    def test_a_nic_that_can_t_be_is_refused(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        before = binding.fingerprint(vm.instance)
        for wrong in (make.nic("other", vlan=4095), replace(make.nic("other"), mac="ff:ff:ff:ff:ff:ff")):
            with raises_ours(InvalidSpec):
                settle(connection, lambda wrong=wrong: connection.compute.apply(binding.host, vm.instance, [AttachNIC(wrong)]))
        assert binding.fingerprint(vm.instance) == before

    def test_two_changes_one_after_the_other_add_up(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.running()
        for change in (SetCPUs(vm.cpus + 1), SetMemory(vm.memory * 2), SetSeed(SEED)):
            settle(connection, lambda change=change: connection.compute.apply(binding.host, vm.instance, [change]))
        make.stop(vm)
        make.start(vm)
        seen = make.observe(vm)
        assert (seen.running_cpus, seen.running_memory) == (vm.cpus + 1, vm.memory * 2)
        assert seen.seed_digest == SEED.digest


class Applying(_EachChange, _ChangesTogether):
    """Changes one by one and together."""
