"""Whatever somebody changes of a VM past the driver is told by an event or seen by the next look. For bindings that can do so."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.types import Capability, DesiredVM, GuestInfo, ObservedVM, Power, VMChanged
from tests.support.listening import Listening

from .base import ContractBase
from .binding import Alteration, AlteringBinding
from .tools import DEADLINE, Maker

SEEN: Mapping[Alteration, Callable[[ObservedVM], object]] = {
    Alteration.CPUS: lambda seen: seen.cpus,
    Alteration.MEMORY: lambda seen: seen.memory,
    Alteration.ADDED_DEVICE: lambda seen: seen.foreign_devices,
    Alteration.REMOVED_NIC: lambda seen: seen.nics,
    Alteration.MOVED_NIC: lambda seen: [nic.moved for nic in seen.nics],
}
"""Where each is seen."""

ROWS = [(what, running) for what in Alteration for running in (False, True) if (what, running) != (Alteration.REMOVED_NIC, True)]
"""What and on what. A NIC that somebody takes off a VM that runs is there until its guest lets go of it."""


class Altering(ContractBase):
    @pytest.mark.parametrize(("what", "running"), ROWS)
    def test_each_is_told_or_seen(self, binding: AlteringBinding, make: Maker, what: Alteration, running: bool) -> None:
        connection = binding.connect()
        vm = make.create(replace(make.vm(), cpus=2, memory=2 * binding.memory))
        if running:
            make.start(vm)
        listener = _quiet(connection) if Capability.EVENTS in connection.capabilities else None
        before = _look(connection, vm)
        binding.alter(vm.instance, what)
        if listener is not None and self._is_told(binding, connection, what, running=running):
            _expect(listener, vm)
        seen = _look(connection, vm)
        assert SEEN[what](seen) != SEEN[what](before)
        assert seen.power is (Power.ON if running else Power.OFF)
        connection.close()

    def _is_told(self, binding: AlteringBinding, connection: Connection, what: Alteration, *, running: bool) -> bool:
        """All is where the driver says so; else what its documentation promises."""
        return Capability.DEFINITION_EVENTS in connection.capabilities or (running and what in binding.told_of_running)


def _look(connection: Connection, vm: DesiredVM) -> ObservedVM:
    """What the look at everything has of it."""
    return replace(connection.compute.observe_all()[vm.instance], guest=GuestInfo())


def _quiet(connection: Connection) -> Listening:
    listener, deadline = Listening(connection), time.monotonic() + DEADLINE
    while listener.wait(0.5):
        assert time.monotonic() < deadline, "never quiet"
    return listener


def _expect(listener: Listening, vm: DesiredVM) -> None:
    deadline = time.monotonic() + DEADLINE
    while VMChanged(vm.instance) not in listener.wait(5):
        assert time.monotonic() < deadline, "no event"
