"""Compute.create."""

import uuid
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import InvalidSpec, NotFound
from drivers.types import DesiredVM, GrowDisk, HostID, InstanceID, PoolSpec, Power, Seed

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours, settle


class Creating(ContractBase):
    def test_a_new_vm_is_off(self, make: Maker) -> None:
        assert make.power(make.created()) is Power.OFF

    def test_again_is_success_and_changes_nothing(self, binding: Binding, make: Maker) -> None:
        vm = make.created()
        before = binding.fingerprint(vm.instance)
        make.create(vm)
        assert binding.fingerprint(vm.instance) == before

    def test_again_with_another_description_leaves_it_as_it_is(self, make: Maker) -> None:
        vm = make.created()
        before = make.observe(vm)
        make.create(replace(vm, cpus=vm.cpus + 1, memory=vm.memory * 2, nics=(), disks=(*vm.disks, make.disk("more"))))
        assert make.observe(vm) == before

    def test_again_leaves_a_running_vm_running(self, make: Maker) -> None:
        vm = make.running()
        make.create(vm)
        assert make.power(vm) is Power.ON

    def test_many_vms_do_not_mix(self, connection: Connection, make: Maker) -> None:
        vms = [make.created() for _ in range(5)]
        seen = connection.compute.observe_all()
        volumes = [disk.volume_id for vm in vms for disk in seen[vm.instance].disks]
        assert len(set(volumes)) == len(vms)
        assert [seen[vm.instance].owner for vm in vms] == [vm.owner for vm in vms]

    def test_vms_of_one_name_are_two_vms(self, make: Maker) -> None:
        first = make.created(empty=True)
        second = make.create(replace(make.vm(empty=True), name=first.name))
        assert make.observe(first).owner != make.observe(second).owner

    def test_a_disk_of_ours_that_exists_is_used_as_it_is(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        size = vm.disks[0].size + 8 * MIB
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [GrowDisk("root", size)]))
        before = make.observe(vm).disks
        binding.drop_definition(vm.instance)
        assert binding.leftovers(vm.instance)
        make.create(vm)
        assert make.observe(vm).disks == before
        assert before[0].size == size

    def test_without_its_image_it_is_not_found_and_nothing_stays(
        self, binding: Binding, connection: Connection, make: Maker
    ) -> None:
        vm = make.vm()
        missing = replace(make.disk("data"), image="no-such-image-sha256-0.qcow2", size=64 * MIB)
        self._refused(binding, connection, replace(vm, disks=(*vm.disks, missing)), NotFound)

    def test_without_its_pool_it_is_not_found_and_nothing_stays(
        self, binding: Binding, connection: Connection, make: Maker
    ) -> None:
        vm = make.vm()
        missing = replace(make.disk("data"), pool=PoolSpec("no-such-pool", "/var/lib/no-such-pool"))
        self._refused(binding, connection, replace(vm, disks=(*vm.disks, missing)), NotFound)

    def test_a_disk_smaller_than_its_image_is_refused(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        small = replace(make.disk("data", image=True), size=binding.image.virtual_size - 1)
        self._refused(binding, connection, replace(vm, disks=(*vm.disks, small)), InvalidSpec)

    @pytest.mark.parametrize("wrong", [{"cpus": 0}, {"cpus": -1}, {"memory": 0}, {"memory": -1}])
    def test_impossible_sizes_are_refused(
        self, binding: Binding, connection: Connection, make: Maker, wrong: dict[str, int]
    ) -> None:
        self._refused(binding, connection, replace(make.vm(), **wrong), InvalidSpec)

    def test_one_disk_name_twice_is_refused(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        self._refused(binding, connection, replace(vm, disks=(*vm.disks, vm.disks[0])), InvalidSpec)

    def test_what_is_no_uuid_is_refused(self, binding: Binding, connection: Connection, make: Maker) -> None:
        for instance in ("", "vm-1", str(uuid.uuid4()) + "0", "../" + str(uuid.uuid4())[3:]):
            with raises_ours(InvalidSpec):
                connection.compute.create(binding.host, replace(make.vm(empty=True), instance=InstanceID(instance)))

    def test_an_unknown_host_is_not_found(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        with raises_ours(NotFound):
            connection.compute.create(HostID("no-such-host.invalid"), vm)
        assert binding.leftovers(vm.instance) == set()

    def test_user_data_may_be_large(self, make: Maker) -> None:
        seed = Seed("local-hostname: guest\n", "", b"#!script\n" + b"x" * 512 * 1024)
        vm = make.create(replace(make.vm(), seed=seed))
        assert make.observe(vm).seed_digest == seed.digest

    def test_after_a_refusal_the_right_description_works(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        self._refused(binding, connection, replace(vm, cpus=0), InvalidSpec)
        make.create(vm)
        assert make.power(vm) is Power.OFF

    def _refused(self, binding: Binding, connection: Connection, vm: DesiredVM, kind: type[InvalidSpec | NotFound]) -> None:
        with raises_ours(kind):
            settle(connection, lambda: connection.compute.create(binding.host, vm))
        assert binding.leftovers(vm.instance) == set()
        assert vm.instance not in connection.compute.observe_all()
