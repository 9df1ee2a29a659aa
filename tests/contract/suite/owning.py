"""What has no mark of ours is never changed or removed."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict
from drivers.types import Done, InstanceID, SetCPUs, Started, StopMode

from .base import ContractBase
from .binding import Binding
from .tools import Maker, raises_ours

CALLS: dict[str, Callable[[Connection, Binding, InstanceID], Done | Started]] = {
    "apply": lambda connection, binding, vm: connection.compute.apply(binding.host, vm, [SetCPUs(2)]),
    "delete": lambda connection, binding, vm: connection.compute.delete(binding.host, vm, [binding.pool]),
    "start": lambda connection, binding, vm: connection.power.start(binding.host, vm),
    "stop": lambda connection, binding, vm: connection.power.stop(binding.host, vm, StopMode.HARD),
}


class Owning(ContractBase):
    @pytest.fixture
    def foreign(self, binding: Binding) -> Iterator[InstanceID]:
        """A VM that somebody else made."""
        instance = InstanceID(str(uuid.uuid4()))
        binding.make_foreign_vm(instance)
        before = binding.fingerprint(instance)
        assert before is not None
        yield instance
        assert binding.fingerprint(instance) == before
        binding.remove_foreign_vm(instance)

    @pytest.mark.parametrize("call", CALLS)
    def test_a_foreign_vm_is_not_touched(self, binding: Binding, connection: Connection, foreign: InstanceID, call: str) -> None:
        with raises_ours(Conflict):
            CALLS[call](connection, binding, foreign)

    def test_a_foreign_vm_is_not_taken_over(
        self, binding: Binding, connection: Connection, make: Maker, foreign: InstanceID
    ) -> None:
        vm = replace(make.vm(), instance=foreign)
        with raises_ours(Conflict):
            connection.compute.create(binding.host, vm)

    def test_a_foreign_vm_is_not_shown(self, binding: Binding, connection: Connection, foreign: InstanceID) -> None:
        with raises_ours(Conflict):
            connection.compute.observe(binding.host, foreign)
        assert foreign not in connection.compute.observe_all()

    def test_our_own_work_leaves_it_alone(self, connection: Connection, make: Maker, foreign: InstanceID) -> None:
        vm = make.running()
        make.stop(vm)
        make.delete(vm)
        assert foreign not in connection.compute.observe_all()
