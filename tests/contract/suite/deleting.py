"""Compute.delete."""

import uuid
from dataclasses import replace

from drivers.base import Connection
from drivers.errors import NotFound
from drivers.types import GrowDisk, InstanceID, PoolSpec

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours, settle


class Deleting(ContractBase):
    def test_what_was_never_there_is_deleted(self, binding: Binding, connection: Connection) -> None:
        instance = InstanceID(str(uuid.uuid4()))
        settle(connection, lambda: connection.compute.delete(binding.host, instance))
        settle(connection, lambda: connection.compute.delete(binding.host, instance, [binding.pool]))

    def test_nothing_stays_behind(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        vm = make.create(replace(vm, disks=(*vm.disks, make.disk("data"))))
        assert binding.leftovers(vm.instance)
        settle(connection, lambda: connection.compute.delete(binding.host, vm.instance))
        assert binding.leftovers(vm.instance) == set()
        with raises_ours(NotFound):
            make.observe(vm)

    def test_twice_is_success(self, make: Maker) -> None:
        vm = make.created()
        make.delete(vm)
        make.delete(vm)

    def test_a_running_vm_is_deleted(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.running()
        make.delete(vm)
        assert binding.leftovers(vm.instance) == set()
        assert vm.instance not in connection.compute.observe_all()

    def test_disks_are_found_when_the_definition_is_gone(self, binding: Binding, make: Maker) -> None:
        vm = make.vm()
        vm = make.create(replace(vm, disks=(*vm.disks, make.disk("data"))))
        binding.drop_definition(vm.instance)
        assert binding.leftovers(vm.instance)
        make.delete(vm)
        assert binding.leftovers(vm.instance) == set()

    def test_pools_that_are_not_there_hold_nothing(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        pools = [PoolSpec("no-such-pool", "/var/lib/no-such-pool"), binding.pool]
        settle(connection, lambda: connection.compute.delete(binding.host, vm.instance, pools))
        assert binding.leftovers(vm.instance) == set()

    def test_other_vms_and_images_are_left_alone(self, binding: Binding, connection: Connection, make: Maker) -> None:
        neighbour, vm = make.running(), make.created()
        before = binding.fingerprint(neighbour.instance), binding.leftovers(neighbour.instance)
        make.delete(vm)
        assert (binding.fingerprint(neighbour.instance), binding.leftovers(neighbour.instance)) == before
        assert connection.storage.has_image(binding.host, binding.pool, binding.image.name)

    def test_a_vm_made_again_has_fresh_disks(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        grown = [GrowDisk("root", vm.disks[0].size + 8 * MIB)]
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, grown))
        make.delete(vm)
        make.create(vm)
        assert make.observe(vm).disks[0].size == vm.disks[0].size
