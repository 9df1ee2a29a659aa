"""Native tasks."""

import pytest

from drivers.base import Connection
from drivers.errors import NotFound
from drivers.types import OpRef, Started, Succeeded

from .base import ContractBase
from .binding import Binding
from .tools import Maker, eventually, raises_ours


class Tasks(ContractBase):
    @pytest.mark.parametrize("op", ["no-such-task", "", "../../etc/passwd", "task\0", "x" * 10_000, "0"])
    def test_a_task_that_nobody_knows_is_not_found(self, connection: Connection, op: str) -> None:
        with raises_ours(NotFound):
            connection.tasks.poll(OpRef(op))

    def test_a_task_can_be_polled_from_another_connection(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        outcome = connection.compute.create(binding.host, vm)
        if isinstance(outcome, Started):
            other = binding.connect()
            assert eventually(lambda: other.tasks.poll(outcome.op), lambda seen: isinstance(seen, Succeeded))
            assert other.tasks.poll(outcome.op) == Succeeded()
            other.close()
        assert make.observe(vm).instance == vm.instance
