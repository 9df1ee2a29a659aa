"""Volumes as disks of VMs: `DesiredVM.volumes`, AttachVolume and DetachVolume (Capability.VOLUMES)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import ApplyMode, AttachVolume, Capability, Change, DesiredVM, DesiredVolume, DetachVolume, Power, SetCPUs

from .binding import Binding
from .storebase import SIZE, Store, StoreBase
from .tools import raises_ours


class _Attaching(StoreBase):
    def test_a_vm_is_made_with_its_volumes(self, binding: Binding, connection: Connection, store: Store) -> None:
        first, second = store.created(marker="first"), store.created(2 * SIZE)
        vm = store.vm(first, second)
        expected = [("data0", first.volume, binding.pool.name, SIZE), ("data1", second.volume, binding.pool.name, 2 * SIZE)]
        assert sorted(store.attached(vm)) == expected
        assert [disk.name for disk in store.make.observe(vm).disks] == ["root"]
        assert store.make.observe(vm).foreign_devices == ()
        assert connection.compute.observe_all()[vm.instance].volumes == store.make.observe(vm).volumes
        store.make.start(vm)
        assert sorted(store.attached(vm)) == expected

    def test_a_vm_without_its_volume_is_not_made(self, binding: Binding, store: Store) -> None:
        attached = store.created()
        store.vm(attached)
        for volume, error in ((store.volume(), NotFound), (attached, Conflict)):
            vm = replace(store.make.vm(), volumes=(store.attachment(volume),))
            with raises_ours(error):
                store.make.create(vm)
            assert binding.leftovers(vm.instance) == set()

    @pytest.mark.parametrize("running", [False, True])
    def test_it_comes_and_goes_when_its_mode_says(self, connection: Connection, store: Store, running: bool) -> None:
        volume = store.created(marker="kept")
        vm = store.make.running() if running else store.make.created()
        self._change(connection, store, vm, AttachVolume(store.attachment(volume)))
        assert store.attached(vm) == [("data", volume.volume, volume.pool.name, SIZE)]
        self._change(connection, store, vm, DetachVolume(volume.volume))
        assert store.attached(vm) == []
        assert store.read(volume) == "kept"

    def _change(self, connection: Connection, store: Store, vm: DesiredVM, change: Change) -> None:
        """Live if, and only if, the VM is off or that is declared; then the VM keeps its power."""
        before = store.make.observe(vm)
        mode = connection.compute.apply_mode(change, before)
        can = before.power is Power.OFF or Capability.VOLUME_HOTPLUG in connection.capabilities
        assert mode is (ApplyMode.LIVE if can else ApplyMode.POWER_OFF)
        if mode is ApplyMode.POWER_OFF:
            with raises_ours(Conflict):
                store.apply(vm, change)
            assert store.make.observe(vm).volumes == before.volumes
            store.make.stop(vm)
            store.apply(vm, change)
            store.make.start(vm)
        store.apply(vm, change)
        assert store.make.power(vm) is before.power

    def test_what_was_attached_live_is_there_at_the_next_start(self, store: Store) -> None:
        volume = store.created()
        vm = store.vm()
        store.attach(vm, volume)
        store.make.start(vm)
        store.make.stop(vm)
        store.make.start(vm)
        assert [name for name, *_ in store.attached(vm)] == ["data"]

    def test_attached_or_detached_again_nothing_changes(self, binding: Binding, store: Store) -> None:
        volume = store.created()
        vm = store.vm()
        for change in (AttachVolume(store.attachment(volume)), DetachVolume(volume.volume)):
            store.apply(vm, change)
            before = binding.fingerprint(vm.instance)
            store.apply(vm, change)
            assert binding.fingerprint(vm.instance) == before

    def test_one_is_exchanged_for_another_under_its_name(self, store: Store) -> None:
        old, new = store.created(), store.created()
        vm = store.vm(old)
        store.apply(vm, DetachVolume(old.volume), AttachVolume(store.attachment(new, "data0")))
        assert [(name, volume) for name, volume, *_ in store.attached(vm)] == [("data0", new.volume)]


REFUSED: dict[str, tuple[Callable[[Store, DesiredVolume, DesiredVolume], Change], type[Exception]]] = {
    "not there": (lambda store, mine, free: AttachVolume(store.attachment(store.volume())), NotFound),
    "the name of another volume": (lambda store, mine, free: AttachVolume(store.attachment(free, "data0")), Conflict),
    "the name of a disk": (lambda store, mine, free: AttachVolume(store.attachment(free, "root")), Conflict),
    "the same under another name": (lambda store, mine, free: AttachVolume(store.attachment(mine, "other")), Conflict),
    "a path as its name": (lambda store, mine, free: AttachVolume(store.attachment(free, "../data")), InvalidSpec),
    "no name": (lambda store, mine, free: AttachVolume(store.attachment(free, "")), InvalidSpec),
}


class _Refusing(StoreBase):
    @pytest.mark.parametrize("what", REFUSED)
    def test_what_can_t_be_attached_refuses_the_rest(self, binding: Binding, store: Store, what: str) -> None:
        mine, free = store.created(), store.created()
        vm = store.vm(mine)
        change, error = REFUSED[what]
        before = binding.fingerprint(vm.instance)
        wrong = change(store, mine, free)
        with raises_ours(error):  # type: ignore[arg-type]
            store.apply(vm, SetCPUs(vm.cpus + 1), wrong)
        assert binding.fingerprint(vm.instance) == before

    def test_a_volume_is_on_one_vm(self, store: Store) -> None:
        volume = store.created()
        vm, other = store.vm(volume), store.vm()
        with raises_ours(Conflict):
            store.attach(other, volume)
        assert (len(store.attached(vm)), store.attached(other)) == (1, [])
        store.detach(vm, volume)
        store.attach(other, volume)
        assert (store.attached(vm), len(store.attached(other))) == ([], 1)

    def test_what_is_not_attached_counts_as_taken(self, binding: Binding, store: Store) -> None:
        elsewhere = store.created()
        other, vm = store.vm(elsewhere), store.make.created()
        before = binding.fingerprint(vm.instance)
        for volume in (elsewhere, store.created(), store.volume()):
            store.detach(vm, volume)
        assert binding.fingerprint(vm.instance) == before
        assert len(store.attached(other)) == 1

    def test_a_vm_that_is_not_there_gets_nothing(self, store: Store) -> None:
        volume = store.created()
        with raises_ours(NotFound):
            store.attach(store.make.vm(), volume)
        store.delete(volume)


class _Outliving(StoreBase):
    @pytest.mark.parametrize("running", [False, True])
    def test_a_volume_outlives_its_vm(self, store: Store, running: bool) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        if running:
            store.make.start(vm)
        store.make.delete(vm)
        assert store.read(volume) == "kept"
        assert len(store.attached(store.vm(volume))) == 1

    def test_a_volume_outlives_its_vm_s_definition(self, binding: Binding, store: Store) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        binding.drop_definition(vm.instance)
        store.make.delete(vm)
        assert store.read(volume) == "kept"
        store.attach(store.vm(), volume)


class Attaching(_Attaching, _Refusing, _Outliving):
    """Volumes of VMs."""
