"""Compute.observe and observe_all."""

import uuid
from dataclasses import replace

from drivers.base import Connection
from drivers.errors import NotFound
from drivers.types import Capability, GuestInfo, HostID, InstanceID, ObservedNIC, Power, Segment

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours


class Observing(ContractBase):
    def test_what_does_not_exist_is_not_found(self, binding: Binding, connection: Connection) -> None:
        with raises_ours(NotFound):
            connection.compute.observe(binding.host, InstanceID(str(uuid.uuid4())))

    def test_a_host_of_another_endpoint_is_not_found(self, connection: Connection, make: Maker) -> None:
        vm = make.created(empty=True)
        with raises_ours(NotFound):
            connection.compute.observe(HostID("no-such-host.invalid"), vm.instance)

    def test_a_vm_is_seen_as_it_was_made(self, binding: Binding, make: Maker) -> None:
        wanted = make.vm()
        nics = (make.nic("front", vlan=10, ip="10.1.0.20"), make.nic("back", vlan=4094), make.nic("flat", vlan=None))
        disks = (make.disk("root", image=True), make.disk("data", size=16 * MIB))
        wanted = make.create(replace(wanted, nics=nics, disks=disks))
        seen = make.observe(wanted)
        assert (seen.instance, seen.owner, seen.host) == (wanted.instance, wanted.owner, binding.host)
        assert (seen.cpus, seen.memory, seen.power) == (wanted.cpus, wanted.memory, Power.OFF)
        assert (seen.running_cpus, seen.running_memory) == (wanted.cpus, wanted.memory)
        assert [(disk.name, disk.pool, disk.size) for disk in seen.disks] == [
            (disk.name, binding.pool.name, disk.size) for disk in disks
        ]
        assert len({disk.volume_id for disk in seen.disks}) == 2
        assert seen.nics == tuple(ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip) for nic in nics)
        assert wanted.seed is not None
        assert seen.seed_digest == wanted.seed.digest
        assert seen.foreign_devices == ()
        assert seen.guest == GuestInfo()

    def test_segments_are_kept(self, make: Maker) -> None:
        wanted = make.vm(empty=True)
        wanted = make.create(replace(wanted, nics=(make.nic("a", vlan=1), make.nic("b", vlan=None), make.nic("c", vlan=4094))))
        assert [nic.segment for nic in make.observe(wanted).nics] == [Segment(1), Segment(None), Segment(4094)]

    def test_a_vm_with_nothing_is_a_vm(self, make: Maker) -> None:
        seen = make.observe(make.created(empty=True))
        assert (seen.disks, seen.nics, seen.seed_digest, seen.foreign_devices) == ((), (), "", ())

    def test_all_sees_what_one_sees(self, connection: Connection, make: Maker) -> None:
        off, on = make.created(), make.running()
        everything = connection.compute.observe_all()
        for vm in (off, on):
            one = replace(make.observe(vm), guest=GuestInfo())
            assert replace(everything[vm.instance], guest=GuestInfo()) == one

    def test_all_sees_changes_and_removals(self, binding: Binding, connection: Connection, make: Maker) -> None:
        first, second = make.created(empty=True), make.created(empty=True)
        before = connection.compute.observe_all()
        assert {first.instance, second.instance} <= set(before)
        make.start(first)
        make.delete(second)
        after = connection.compute.observe_all()
        assert after[first.instance].power is Power.ON
        assert second.instance not in after
        assert before[first.instance].power is Power.OFF

    def test_all_sees_what_others_did(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.running(empty=True)
        assert connection.compute.observe_all()[vm.instance].power is Power.ON
        binding.cut_power(vm.instance)
        assert connection.compute.observe_all()[vm.instance].power is Power.OFF
        binding.drop_definition(vm.instance)
        assert vm.instance not in connection.compute.observe_all()

    def test_looking_changes_nothing(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        before = binding.fingerprint(vm.instance)
        connection.compute.observe_all()
        make.observe(vm)
        connection.hosts.list_hosts()
        assert binding.fingerprint(vm.instance) == before

    def test_a_running_vm_shows_what_it_runs_with(self, make: Maker) -> None:
        vm = make.running(empty=True)
        seen = make.observe(vm)
        assert (seen.power, seen.running_cpus, seen.running_memory) == (Power.ON, vm.cpus, vm.memory)

    def test_guest_information_needs_a_running_guest(self, connection: Connection, make: Maker) -> None:
        vm = make.running(empty=True)
        assert make.observe(vm).guest == GuestInfo()
        make.stop(vm)
        assert make.observe(vm).guest == GuestInfo()
        assert Capability.GUEST_AGENT not in connection.capabilities or make.observe(vm).guest.agent is False
