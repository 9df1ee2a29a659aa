"""Power.start, Power.stop and Power.resume. Guests here need not obey; those that do are in `guests`."""

import uuid

import pytest

from drivers.base import Connection
from drivers.errors import NotFound
from drivers.types import Capability, InstanceID, Power, StopMode

from .base import ContractBase
from .binding import Binding
from .tools import Maker, raises_ours, settle


class Powering(ContractBase):
    def test_on_off_on(self, make: Maker) -> None:
        vm = make.created()
        for _ in range(2):
            make.start(vm)
            assert make.power(vm) is Power.ON
            make.stop(vm)
            assert make.power(vm) is Power.OFF

    def test_starting_twice_is_success_and_no_restart(self, binding: Binding, make: Maker) -> None:
        vm = make.running()
        before = binding.fingerprint(vm.instance)
        make.start(vm)
        assert binding.fingerprint(vm.instance) == before

    def test_stopping_twice_is_success(self, make: Maker) -> None:
        vm = make.running()
        make.stop(vm)
        make.stop(vm)
        assert make.power(vm) is Power.OFF

    @pytest.mark.parametrize("mode", StopMode)
    def test_stopping_what_is_off_is_success(self, connection: Connection, make: Maker, mode: StopMode) -> None:
        vm = make.created()
        if mode is StopMode.HARD or Capability.SOFT_STOP in connection.capabilities:
            make.stop(vm, mode)
        assert make.power(vm) is Power.OFF

    def test_what_somebody_else_stopped_starts_again(self, binding: Binding, make: Maker) -> None:
        vm = make.running()
        binding.cut_power(vm.instance)
        assert make.power(vm) is Power.OFF
        make.start(vm)
        assert make.power(vm) is Power.ON

    def test_what_is_not_there_is_not_found(self, binding: Binding, connection: Connection) -> None:
        nobody = InstanceID(str(uuid.uuid4()))
        with raises_ours(NotFound):
            connection.power.start(binding.host, nobody)
        with raises_ours(NotFound):
            connection.power.stop(binding.host, nobody, StopMode.HARD)
        with raises_ours(NotFound):
            connection.power.resume(binding.host, nobody)

    def test_what_no_disk_has_suspended_is_left_as_it_is(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created(empty=True)
        for power in (Power.OFF, Power.ON):
            if power is Power.ON:
                make.start(vm)
            before = binding.fingerprint(vm.instance)
            settle(connection, lambda: connection.power.resume(binding.host, vm.instance))
            assert (make.power(vm), binding.fingerprint(vm.instance)) == (power, before)
            assert make.observe(vm).failures == ()

    def test_power_leaves_the_vm_as_it_was_made(self, make: Maker) -> None:
        vm = make.created()
        before = make.observe(vm)
        make.start(vm)
        make.stop(vm)
        assert make.observe(vm) == before

    def test_neighbours_keep_their_power(self, binding: Binding, connection: Connection, make: Maker) -> None:
        first, second = make.running(empty=True), make.running(empty=True)
        settle(connection, lambda: connection.power.stop(binding.host, first.instance, StopMode.HARD))
        assert (make.power(first), make.power(second)) == (Power.OFF, Power.ON)
