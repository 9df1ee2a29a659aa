"""Snapshots of VMs with their running state (Capability.SNAPSHOT_MEMORY), and of frozen guests (SNAPSHOT_QUIESCE)."""

from drivers.base import Connection
from drivers.errors import Conflict
from drivers.types import ApplyMode, Capability, Power, SetCPUs, SetMemory

from .storebase import Store, StoreBase
from .tools import eventually, raises_ours


class SnapshotMemory(StoreBase):
    """VMs that are brought back running."""

    def test_it_is_taken_of_a_vm_that_runs_on(self, connection: Connection, store: Store) -> None:
        assert Capability.SNAPSHOT_MEMORY in connection.capabilities
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        store.take(vm, snapshot)
        assert [(one.snapshot, one.memory) for one in store.taken(vm).values()] == [(snapshot.snapshot, True)]
        assert store.make.power(vm) is Power.ON

    def test_a_stopped_vm_runs_again_with_what_was_on_its_disks(self, store: Store) -> None:
        volume = store.created()
        vm = store.vm(volume)
        store.mark(vm, "before", [volume])
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        store.make.stop(vm)
        store.mark(vm, "after", [volume])
        token = store.restore(vm, snapshot)
        seen = store.make.observe(vm)
        assert (seen.power, seen.restored, len(seen.volumes)) == (Power.ON, (token,), 1)
        assert (seen.running_cpus, seen.running_memory) == (vm.cpus, vm.memory)
        store.make.stop(vm)
        assert store.marks(vm, [volume]) == {"before"}

    def test_a_running_vm_is_brought_back_and_runs(self, store: Store) -> None:
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        token = store.restore(vm, snapshot)
        assert (store.make.power(vm), store.make.observe(vm).restored) == (Power.ON, (token,))
        assert store.current(vm) == [snapshot.snapshot]

    def test_a_token_starts_a_vm_once(self, store: Store) -> None:
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        token = store.restore(vm, snapshot)
        store.make.stop(vm)
        store.restore(vm, snapshot, token)
        assert store.make.power(vm) is Power.OFF

    def test_an_older_token_starts_no_vm(self, store: Store) -> None:
        vm = store.vm()
        off = store.take(vm)
        store.make.start(vm)
        on = store.take(vm, store.snapshot(memory=True))
        older = store.restore(vm, on)
        store.make.stop(vm)
        newer = store.restore(vm, off)
        store.restore(vm, on, older)
        assert (store.make.power(vm), store.make.observe(vm).restored) == (Power.OFF, (newer, older))
        assert store.current(vm) == [off.snapshot]

    def test_kinds_mix_in_one_tree(self, store: Store) -> None:
        vm = store.vm()
        off = store.take(vm)
        store.make.start(vm)
        on = store.take(vm, store.snapshot(memory=True))
        assert store.tree(vm) == {off.snapshot: None, on.snapshot: off.snapshot}
        with raises_ours(Conflict):
            store.restore(vm, off)
        store.make.stop(vm)
        store.restore(vm, off)
        assert store.make.power(vm) is Power.OFF
        store.restore(vm, on)
        assert store.make.power(vm) is Power.ON
        store.forget(vm, off)
        store.restore(vm, on)
        assert store.tree(vm) == {on.snapshot: None}

    def test_what_is_declared_now_holds_after_a_stop(self, store: Store) -> None:
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        store.restore(vm, snapshot)
        store.make.stop(vm)
        seen = store.make.observe(vm)
        assert (seen.cpus, seen.memory, len(seen.disks), len(seen.nics)) == (vm.cpus, vm.memory, 1, 1)

    def test_one_that_runs_with_the_size_of_then_is_brought_to_that_of_now(self, connection: Connection, store: Store) -> None:
        """Where that can be done while it runs; the definition has it already."""
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        wanted = (SetCPUs(vm.cpus + 1), SetMemory(vm.memory * 2))
        store.apply(vm, *wanted)
        store.restore(vm, snapshot)
        seen = store.make.observe(vm)
        assert (seen.running_cpus, seen.running_memory) == (vm.cpus, vm.memory)
        live = [change for change in wanted if connection.compute.apply_mode(change, seen) is ApplyMode.LIVE]
        store.apply(vm, *live)
        seen = store.make.observe(vm)
        assert (seen.cpus, seen.memory) == (vm.cpus + 1, vm.memory * 2)
        assert seen.running_cpus == vm.cpus + any(isinstance(change, SetCPUs) for change in live)
        assert seen.running_memory == vm.memory * (1 + any(isinstance(change, SetMemory) for change in live))

    def test_it_goes_with_its_vm(self, store: Store) -> None:
        vm = store.vm()
        store.make.start(vm)
        snapshot = store.take(vm, store.snapshot(memory=True))
        store.make.delete(vm)
        assert store.binding.leftovers(vm.instance) == store.binding.leftovers(snapshot.snapshot) == set()


class SnapshotQuiesce(StoreBase):
    """Guests whose agent freezes them; the binding's image must boot and have one."""

    def test_a_guest_is_frozen_and_runs_on(self, connection: Connection, store: Store) -> None:
        assert Capability.SNAPSHOT_QUIESCE in connection.capabilities
        volume = store.created()
        vm = store.vm(volume)
        store.make.start(vm)
        eventually(lambda: store.make.observe(vm).guest.agent)
        if Capability.SNAPSHOT_RUNNING in connection.capabilities:
            snapshot = store.take(vm, store.snapshot(quiesce=True))
            assert [(one.snapshot, one.memory) for one in store.taken(vm).values()] == [(snapshot.snapshot, False)]
        if Capability.VOLUME_SNAPSHOT_LIVE in connection.capabilities:
            assert len(store.kept(store.keep(volume, store.snapshot(quiesce=True)))) == 1
        assert store.make.power(vm) is Power.ON
        eventually(lambda: store.make.observe(vm).guest.agent)
