"""Native events."""

import threading
import time
from collections.abc import Callable

import pytest

from drivers.base import Connection
from drivers.errors import Unsupported
from drivers.types import AttachNIC, Capability, DesiredVM, HostChanged, VMChanged

from .base import ContractBase
from .binding import Binding
from .tools import DEADLINE, Maker, raises_ours, settle

OCCASIONS: dict[str, Callable[[Maker, DesiredVM], None]] = {
    "create": lambda make, vm: None,
    "start": lambda make, vm: make.start(vm),
    "stop": lambda make, vm: make.stop(vm),
    "attach": lambda make, vm: settle(
        make.connection, lambda: make.connection.compute.apply(make.binding.host, vm.instance, [AttachNIC(make.nic("late"))])
    ),
    "cut power": lambda make, vm: make.binding.cut_power(vm.instance),
    "delete": lambda make, vm: make.delete(vm),
    "drop": lambda make, vm: make.binding.drop_definition(vm.instance),
}


class Eventing(ContractBase):
    @pytest.mark.parametrize("occasion", OCCASIONS)
    def test_each_occasion_is_told(self, binding: Binding, make: Maker, occasion: str) -> None:
        listener = binding.connect()
        if Capability.EVENTS not in listener.capabilities:
            with raises_ours(Unsupported):
                listener.events.wait(0)
            listener.close()
            return
        vm = make.vm() if occasion == "create" else make.created()
        if occasion in ("stop", "cut power"):
            make.start(vm)
        self._drain(listener)
        if occasion == "create":
            make.create(vm)
        OCCASIONS[occasion](make, vm)
        self._expect(listener, vm)
        listener.close()

    def test_an_event_wakes_who_waits(self, binding: Binding, make: Maker) -> None:
        listener = binding.connect()
        if Capability.EVENTS in listener.capabilities:
            vm = make.created(empty=True)
            self._drain(listener)
            starter = threading.Timer(0.2, lambda: make.start(vm))
            starter.start()
            self._expect(listener, vm)
            starter.join()
        listener.close()

    def test_nothing_new_is_nothing(self, binding: Binding) -> None:
        listener = binding.connect()
        if Capability.EVENTS in listener.capabilities:
            self._drain(listener)
            assert list(listener.events.wait(0.05)) == []
        listener.close()

    def _drain(self, listener: Connection) -> None:
        """Read what is there, until it is quiet."""
        deadline = time.monotonic() + DEADLINE
        while listener.events.wait(0.1):
            assert time.monotonic() < deadline, "never quiet"

    def _expect(self, listener: Connection, vm: DesiredVM) -> None:
        deadline = time.monotonic() + DEADLINE
        while True:
            events = listener.events.wait(5)
            assert all(isinstance(event, VMChanged | HostChanged) for event in events)
            if VMChanged(vm.instance) in events:
                return
            assert time.monotonic() < deadline, "no event"
