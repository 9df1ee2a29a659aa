"""Storage.list_files: everything in a pool under our names, whoever has it."""

import uuid
from dataclasses import replace

from drivers.base import Connection
from drivers.errors import NotFound
from drivers.types import DesiredVM, PoolSpec, StoredFile, StoredKind

from .binding import Binding
from .storebase import Store, StoreBase
from .tools import raises_ours


class Listing(StoreBase):
    """Files of a pool."""

    def files(self, store: Store, identity: str) -> list[StoredFile]:
        listed = store.connection.storage.list_files(store.binding.host, store.binding.pool)
        assert len({file.path for file in listed}) == len(listed)
        return [file for file in listed if file.identity == identity]

    def kinds(self, store: Store, identity: str) -> list[StoredKind]:
        return sorted({file.kind for file in self.files(store, identity)} - {StoredKind.SEED})

    def test_each_kind_is_told(self, store: Store) -> None:
        volume = store.created()
        snapshot, vm = store.keep(volume), store.vm(volume)
        assert self.kinds(store, vm.instance) == [StoredKind.DISK]
        assert self.kinds(store, volume.volume) == [StoredKind.VOLUME]
        assert self.kinds(store, snapshot.snapshot) == [StoredKind.SNAPSHOT]
        assert self.kinds(store, store.binding.image.name) == [StoredKind.IMAGE]

    def test_paths_and_sizes_are_those_of_the_pool(self, store: Store) -> None:
        volume = store.created()
        vm = store.vm(volume)
        [disk] = [file for file in self.files(store, vm.instance) if file.kind is StoredKind.DISK]
        assert disk.path == store.make.observe(vm).disks[0].volume_id
        [held] = self.files(store, volume.volume)
        assert held.path == store.seen(volume)[0].volume_id
        [image] = self.files(store, store.binding.image.name)
        for file in (disk, held, image):
            assert 0 <= file.allocated < store.connection.storage.ensure_pool(store.binding.host, store.binding.pool).capacity

    def test_an_image_is_layered_on_while_a_disk_needs_it(self, store: Store) -> None:
        def layered() -> list[bool]:
            return [file.layered for file in self.files(store, store.binding.image.name)]

        assert layered() == [False]
        vm = store.vm()
        assert layered() == [True]
        assert not any(file.layered for file in self.files(store, vm.instance))
        store.make.delete(vm)
        assert layered() == [False]

    def test_what_was_made_for_a_vm_is_told_when_its_definition_is_gone(self, binding: Binding, store: Store) -> None:
        vm = store.vm()
        binding.drop_definition(vm.instance)
        assert self.kinds(store, vm.instance) == [StoredKind.DISK]
        store.make.delete(vm)
        assert self.files(store, vm.instance) == []

    def test_what_was_removed_is_not_told(self, store: Store) -> None:
        volume = store.created()
        snapshot = store.keep(volume)
        store.delete(volume)
        assert self.files(store, volume.volume) == []
        assert self.kinds(store, snapshot.snapshot) == [StoredKind.SNAPSHOT]
        store.drop(snapshot)
        assert self.files(store, snapshot.snapshot) == []

    def test_a_vm_without_disks_has_no_files(self, store: Store) -> None:
        vm: DesiredVM = store.make.create(replace(store.make.vm(empty=True), disks=()))
        assert self.files(store, vm.instance) == []

    def test_a_pool_that_is_not_there_is_not_found(self, binding: Binding, connection: Connection) -> None:
        with raises_ours(NotFound):
            connection.storage.list_files(binding.host, PoolSpec("absent", f"{binding.pool.path}-{uuid.uuid4()}"))
