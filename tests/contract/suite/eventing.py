"""Native events."""

import time
from collections.abc import Callable

import pytest

from drivers.base import Connection
from drivers.errors import Transient, Unsupported
from drivers.types import AttachNIC, Capability, DesiredVM, HostChanged, VMChanged
from tests.support.listening import Listening

from .base import ContractBase
from .binding import Binding
from .tools import DEADLINE, Maker, eventually, raises_ours, settle

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
        connection = binding.connect()
        if Capability.EVENTS not in connection.capabilities:
            with raises_ours(Unsupported):
                connection.events.subscribe(_unheard)
            connection.close()
            return
        vm = make.vm() if occasion == "create" else make.created()
        if occasion in ("stop", "cut power"):
            make.start(vm)
        listener = self._listener(connection)
        if occasion == "create":
            make.create(vm)
        OCCASIONS[occasion](make, vm)
        self._expect(listener, vm)
        connection.close()

    def test_what_nobody_fetches_is_kept_and_told_once(self, binding: Binding, make: Maker) -> None:
        connection = binding.connect()
        if Capability.EVENTS in connection.capabilities:
            listener = self._listener(connection)
            vms = [make.created(empty=True) for _ in range(2)]
            for _ in range(2):
                for vm in vms:
                    make.start(vm)
                    make.binding.cut_power(vm.instance)
            missing = {VMChanged(vm.instance) for vm in vms}
            deadline = time.monotonic() + DEADLINE
            while missing:
                told = list(listener.wait(5))
                assert len(told) == len(set(told)), "each VM once"
                missing -= set(told)
                assert time.monotonic() < deadline, "no event"
        connection.close()

    def test_nothing_new_is_nothing(self, binding: Binding) -> None:
        connection = binding.connect()
        if Capability.EVENTS in connection.capabilities:
            self._listener(connection)
            eventually(lambda: list(connection.events.fetch()), lambda told: told == [])  # what was before may come late
        connection.close()

    def test_a_closed_connection_tells_no_more(self, binding: Binding, make: Maker) -> None:
        """Whoever is notified in the very moment of the close, or after it, learns that there is nothing to be had."""
        connection = binding.connect()
        if Capability.EVENTS not in connection.capabilities:
            connection.close()
            return
        self._listener(connection)
        connection.close()

        def closed() -> bool:
            try:
                connection.events.fetch()
            except Transient:
                return True
            return False

        eventually(closed)
        make.created(empty=True)
        assert closed()

    def _listener(self, connection: Connection) -> Listening:
        """A subscription to which everything so far was told, until it is quiet."""
        listener, deadline = Listening(connection), time.monotonic() + DEADLINE
        while listener.wait(0.1):
            assert time.monotonic() < deadline, "never quiet"
        return listener

    def _expect(self, listener: Listening, vm: DesiredVM) -> None:
        deadline = time.monotonic() + DEADLINE
        while True:
            events = listener.wait(5)
            assert all(isinstance(event, VMChanged | HostChanged) for event in events)
            if VMChanged(vm.instance) in events:
                return
            assert time.monotonic() < deadline, "no event"


def _unheard() -> None:
    raise AssertionError("nobody subscribed")
