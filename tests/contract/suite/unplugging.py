"""A NIC whose network went away under it is told of, and put back once it can be. Needs a binding that can do so."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from drivers.base import Connection
from drivers.errors import NetworkMissing, Transient
from drivers.types import AttachNIC, Capability, DesiredVM, ObservedNIC, Power, VMChanged
from tests.support.listening import Listening

from .base import ContractBase
from .binding import UnpluggingBinding
from .tools import DEADLINE, Maker, eventually


class Network:
    """The network of the binding's NICs, as somebody at the host has it in hand. Hosts are listed then, as they always are."""

    def __init__(self, binding: UnpluggingBinding, connection: Connection) -> None:
        self._binding = binding
        self._hosts = connection.hosts
        self.lost = False

    def lose(self) -> None:
        self._binding.lose_network()
        self.lost = True
        self._hosts.list_hosts()

    def heal(self) -> None:
        self._binding.heal_network()
        self.lost = False
        self._hosts.list_hosts()


class Unplugging(ContractBase):
    @pytest.fixture
    def network(self, binding: UnpluggingBinding, connection: Connection) -> Iterator[Network]:
        """There in the end, whatever a test did."""
        network = Network(binding, connection)
        yield network
        if network.lost:
            network.heal()

    def _nic(self, make: Maker, vm: DesiredVM) -> ObservedNIC:
        [nic] = make.observe(vm).nics
        return nic

    def _missing(self, make: Maker, vm: DesiredVM) -> bool:
        unplugged = self._nic(make, vm).unplugged
        assert unplugged is not None
        assert unplugged.place == f"bridge {make.binding.attachment.bridge}, vlan-10"
        return unplugged.missing

    def test_a_nic_in_the_air_is_told_of_and_its_vm_runs_on(self, make: Maker, network: Network) -> None:
        vm, off = make.running(), make.created()
        before = self._nic(make, vm)
        assert before.unplugged is None
        network.lose()
        assert self._missing(make, vm)
        assert make.observe(vm).power is Power.ON
        nic = self._nic(make, vm)
        assert (nic.name, nic.mac, nic.segment, nic.moved) == (before.name, before.mac, before.segment, None)
        assert make.connection.compute.observe_all()[vm.instance].nics == (nic,)
        assert self._nic(make, off).unplugged is None, "a VM that is off has nothing plugged in"

    def test_it_is_put_back_once_the_network_is_there(self, binding: UnpluggingBinding, make: Maker, network: Network) -> None:
        vm = make.running()
        before, change = self._nic(make, vm), AttachNIC(vm.nics[0])
        network.lose()
        with pytest.raises(NetworkMissing):
            make.apply(vm, change)
        assert self._missing(make, vm)
        network.heal()
        assert not self._missing(make, vm), "nothing is plugged in there by itself"
        make.apply(vm, change)
        assert self._nic(make, vm) == before
        fingerprint = binding.fingerprint(vm.instance)
        make.apply(vm, change)
        assert binding.fingerprint(vm.instance) == fingerprint
        network.lose()
        assert self._missing(make, vm), "it is a NIC like any other again"

    def test_no_vm_starts_without_its_network(self, binding: UnpluggingBinding, make: Maker, network: Network) -> None:
        vm = make.running()
        network.lose()
        make.stop(vm)
        assert self._nic(make, vm).unplugged is None
        with pytest.raises(NetworkMissing, match=binding.attachment.bridge):
            make.start(vm)
        assert make.observe(vm).power is Power.OFF
        network.heal()
        make.start(vm)
        assert self._nic(make, vm).unplugged is None

    def test_that_a_network_went_and_came_is_told(self, connection: Connection, make: Maker, network: Network) -> None:
        assert Capability.EVENTS in connection.capabilities
        vm, listener = make.running(), _quiet(connection)
        for happens in (network.lose, network.heal):
            happens()
            eventually(lambda: VMChanged(vm.instance) in listener.wait(5))


def _quiet(connection: Connection) -> Listening:
    """A subscription to which all that was before has been told, as far as it was kept: nobody has read of it until now."""
    listener, deadline = Listening(connection), time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with suppress(Transient):  # some of that may be lost: whoever subscribes observes all once
            if not listener.wait(0.1):
                return listener
    raise AssertionError("never quiet")
