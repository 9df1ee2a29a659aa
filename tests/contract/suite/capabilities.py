"""A declared capability works, an undeclared one raises Unsupported or is not promised. VMs without disks, so that nothing else is
needed."""

from dataclasses import replace

from drivers.base import Connection
from drivers.errors import Unsupported
from drivers.types import (
    ApplyMode,
    AttachNIC,
    Capability,
    Change,
    DesiredVM,
    DetachNIC,
    Firmware,
    GrowDisk,
    Power,
    SetCPUs,
    SetMemory,
    StopMode,
)

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours, settle


class Capabilities(ContractBase):
    def test_power(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created(empty=True)
        if Capability.POWER in connection.capabilities:
            make.start(vm)
            assert make.power(vm) is Power.ON
            return
        with raises_ours(Unsupported):
            connection.power.start(binding.host, vm.instance)
        with raises_ours(Unsupported):
            connection.power.stop(binding.host, vm.instance, StopMode.HARD)

    def test_soft_stop(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created(empty=True)
        if Capability.POWER in connection.capabilities:
            make.start(vm)
        if Capability.SOFT_STOP in connection.capabilities:
            make.stop(vm, StopMode.SOFT)
            make.stop(vm, StopMode.SOFT)
            assert make.power(vm) is Power.ON, "there is no guest that could obey"
        else:
            with raises_ours(Unsupported):
                connection.power.stop(binding.host, vm.instance, StopMode.SOFT)

    def test_storage(self, binding: Binding, connection: Connection) -> None:
        if Capability.STORAGE in connection.capabilities:
            assert connection.storage.ensure_pool(binding.host, binding.pool).capacity > 0
            return
        for call in (
            lambda: connection.storage.ensure_pool(binding.host, binding.pool),
            lambda: connection.storage.has_image(binding.host, binding.pool, binding.image.name),
            lambda: connection.storage.put_image(binding.host, binding.pool, binding.image),
            lambda: connection.storage.delete_image(binding.host, binding.pool, binding.image.name),
            lambda: connection.storage.list_files(binding.host, binding.pool),
        ):
            with raises_ours(Unsupported):
                call()

    def test_events(self, binding: Binding) -> None:
        listener = binding.connect()
        if Capability.EVENTS in listener.capabilities:
            assert listener.events.fetch() is not None
        else:
            with raises_ours(Unsupported):
                listener.events.fetch()
        listener.close()

    def test_uefi(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = replace(make.vm(empty=True), firmware=Firmware.UEFI)
        if Capability.UEFI in connection.capabilities:
            make.create(vm)
            assert make.power(vm) is Power.OFF
            return
        with raises_ours(Unsupported):
            connection.compute.create(binding.host, vm)
        assert binding.leftovers(vm.instance) == set()

    def test_cpus_and_memory_live(self, connection: Connection, make: Maker) -> None:
        """Small VMs may have no room for memory."""
        vm = make.create(replace(make.vm(empty=True), memory=max(make.binding.memory, 1024 * MIB)))
        self._check_live(connection, make, vm, Capability.CPU_ADD_LIVE, SetCPUs(vm.cpus + 1))
        self._check_live(connection, make, vm, Capability.MEMORY_ADD_LIVE, SetMemory(vm.memory * 2))

    def test_disks_live(self, connection: Connection, make: Maker) -> None:
        if Capability.STORAGE not in connection.capabilities:
            assert Capability.DISK_GROW_LIVE not in connection.capabilities
            return
        vm = make.vm(empty=True)
        vm = make.create(replace(vm, disks=(make.disk("data"),)))
        self._check_live(connection, make, vm, Capability.DISK_GROW_LIVE, GrowDisk("data", vm.disks[0].size + MIB))

    def test_nics_live(self, connection: Connection, make: Maker) -> None:
        vm = make.created(empty=True)
        self._check_live(connection, make, vm, Capability.NIC_HOTPLUG, AttachNIC(make.nic("late")))
        if Capability.NIC_HOTPLUG in connection.capabilities:
            self._check_live(connection, make, vm, Capability.NIC_HOTPLUG, DetachNIC("late"))

    def _check_live(self, connection: Connection, make: Maker, vm: DesiredVM, capability: Capability, change: Change) -> None:
        """The change is LIVE on a running VM if, and only if, that is declared; and then it is made without losing power."""
        if Capability.POWER in connection.capabilities:
            make.start(vm)
        running = replace(make.observe(vm), power=Power.ON)
        mode = connection.compute.apply_mode(change, running)
        assert (mode is ApplyMode.LIVE) == (capability in connection.capabilities)
        if mode is ApplyMode.LIVE and Capability.POWER in connection.capabilities:
            settle(connection, lambda: connection.compute.apply(make.binding.host, vm.instance, [change]))
            assert make.power(vm) is Power.ON
            assert connection.compute.observe_all()[vm.instance].power is Power.ON
