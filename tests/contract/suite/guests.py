"""With an image that boots, runs a guest agent and obeys cloud-init and the power button."""

from dataclasses import replace

from drivers.base import Connection
from drivers.types import Capability, DesiredVM, GuestInfo, Power, Seed, StopMode

from .base import ContractBase
from .tools import Maker, eventually


class Guests(ContractBase):
    def _booted(self, make: Maker) -> DesiredVM:
        nic = make.nic(ip="10.1.0.20")
        network = f"version: 2\nethernets:\n  front:\n    match: {{macaddress: '{nic.mac}'}}\n    addresses: [10.1.0.20/24]\n"
        seed = Seed("instance-id: i-1\nlocal-hostname: web-1\n", network, b"#cloud-config\n{}\n")
        vm = make.create(replace(make.vm(), nics=(nic,), seed=seed))
        make.start(vm)
        eventually(lambda: make.observe(vm).guest.agent)
        return vm

    def test_the_agent_tells_name_and_addresses(self, connection: Connection, make: Maker) -> None:
        assert Capability.GUEST_AGENT in connection.capabilities
        vm = self._booted(make)
        guest = eventually(lambda: make.observe(vm).guest, lambda seen: seen.hostname == "web-1" and bool(seen.addresses))
        assert guest == GuestInfo(True, "web-1", ("10.1.0.20",))
        assert connection.compute.observe_all()[vm.instance].guest in (guest, GuestInfo(agent=True))

    def test_a_soft_stop_is_obeyed(self, connection: Connection, make: Maker) -> None:
        assert Capability.SOFT_STOP in connection.capabilities
        vm = self._booted(make)
        make.stop(vm, StopMode.SOFT)
        make.stop(vm, StopMode.SOFT)
        eventually(lambda: make.power(vm), lambda power: power is Power.OFF)
        assert make.observe(vm).guest == GuestInfo()
        make.start(vm)
        eventually(lambda: make.observe(vm).guest.agent)
