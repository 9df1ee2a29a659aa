"""A NIC that somebody plugs in elsewhere is seen, and put back. Needs a binding that can do so."""

import pytest

from drivers.base import Connection
from drivers.types import ApplyMode, AttachNIC, DesiredVM, DetachNIC, ObservedNIC, Segment

from .base import ContractBase
from .binding import MovingBinding
from .tools import Maker, settle

ELSEWHERE = 11
running = pytest.mark.parametrize("running", [False, True], ids=["off", "on"])


class Moving(ContractBase):
    @running
    def test_a_nic_on_another_vlan_is_told_with_both_places(self, binding: MovingBinding, make: Maker, running: bool) -> None:
        vm = make.running() if running else make.created()
        [before] = make.observe(vm).nics
        assert before.moved is None
        binding.move_nic(vm.instance, vm.nics[0].mac, ELSEWHERE)
        [seen] = make.observe(vm).nics
        assert seen.moved is not None
        bridge = f"bridge {binding.attachment.bridge}"
        assert (seen.moved.made, seen.moved.now) == (f"{bridge}, vlan-10", f"{bridge}, vlan-{ELSEWHERE}")
        assert (seen.name, seen.mac, seen.network, seen.ip) == (before.name, before.mac, before.network, before.ip)
        assert seen.segment == Segment(10), "what was recorded, not what somebody made of it"
        assert [nic.moved for nic in make.connection.compute.observe_all()[vm.instance].nics] == [seen.moved]

    @running
    def test_it_is_put_back_and_that_again_changes_nothing(
        self, binding: MovingBinding, connection: Connection, make: Maker, running: bool
    ) -> None:
        vm = make.running() if running else make.created()
        before = make.observe(vm)
        binding.move_nic(vm.instance, vm.nics[0].mac, ELSEWHERE)
        self._put_back(connection, make, vm)
        assert make.observe(vm).nics == before.nics
        fingerprint = binding.fingerprint(vm.instance)
        self._put_back(connection, make, vm)
        assert binding.fingerprint(vm.instance) == fingerprint

    def _put_back(self, connection: Connection, make: Maker, vm: DesiredVM) -> None:
        change = AttachNIC(vm.nics[0])
        if connection.compute.apply_mode(change, make.observe(vm)) is not ApplyMode.LIVE:
            make.stop(vm)
        settle(connection, lambda: connection.compute.apply(make.binding.host, vm.instance, [change]))

    def test_what_was_moved_is_taken_off_like_any_other(self, binding: MovingBinding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        binding.move_nic(vm.instance, vm.nics[0].mac, ELSEWHERE)
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [DetachNIC(vm.nics[0].name)]))
        assert make.observe(vm).nics == ()
        fresh = make.nic(vm.nics[0].name)
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [AttachNIC(fresh)]))
        assert make.observe(vm).nics == (ObservedNIC(fresh.name, fresh.mac, fresh.network, fresh.segment, fresh.ip),)
