"""A reply that is lost after the call took effect: the caller is told that it can't know, and doing it again is right."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Unanswered
from drivers.types import DesiredVM, Done, Power, SetCPUs, Started, StopMode

from .base import ContractBase
from .binding import FaultyBinding
from .tools import Maker, raises_ours, settle


class LostReplies(ContractBase):
    @pytest.mark.parametrize("call", ["create", "start", "stop", "apply", "delete"])
    def test_the_outcome_is_unknown_and_again_is_right(
        self, binding: FaultyBinding, connection: Connection, make: Maker, call: str
    ) -> None:
        vm = make.vm()
        if call != "create":
            make.create(vm)
        if call == "stop":
            make.start(vm)
        self._lose(binding, connection, call, self._call(binding, connection, vm, call))
        self._check(make, vm, call)

    def test_an_image_too(self, binding: FaultyBinding, connection: Connection) -> None:
        image = replace(binding.image, name="contract-lost-sha256-2.qcow2")
        self._lose(binding, connection, "put_image", lambda: connection.storage.put_image(binding.host, binding.pool, image))
        assert connection.storage.has_image(binding.host, binding.pool, image.name)
        connection.storage.delete_image(binding.host, binding.pool, image.name)

    def _lose(self, binding: FaultyBinding, connection: Connection, call: str, make_call: Callable[[], Done | Started]) -> None:
        binding.lose_reply(call)
        with raises_ours(Unanswered) as caught:
            make_call()
        assert isinstance(caught.value, Unanswered)
        assert caught.value.outcome_unknown
        settle(connection, make_call)

    def _call(self, binding: FaultyBinding, connection: Connection, vm: DesiredVM, call: str) -> Callable[[], Done | Started]:
        calls: dict[str, Callable[[], Done | Started]] = {
            "create": lambda: connection.compute.create(binding.host, vm),
            "start": lambda: connection.power.start(binding.host, vm.instance),
            "stop": lambda: connection.power.stop(binding.host, vm.instance, StopMode.HARD),
            "apply": lambda: connection.compute.apply(binding.host, vm.instance, [SetCPUs(vm.cpus + 1)]),
            "delete": lambda: connection.compute.delete(binding.host, vm.instance, [binding.pool]),
        }
        return calls[call]

    def _check(self, make: Maker, vm: DesiredVM, call: str) -> None:
        if call == "delete":
            assert make.binding.leftovers(vm.instance) == set()
            return
        seen = make.observe(vm)
        assert seen.power is (Power.ON if call == "start" else Power.OFF)
        assert seen.cpus == vm.cpus + (call == "apply")
        assert len(seen.disks) == len(vm.disks)
