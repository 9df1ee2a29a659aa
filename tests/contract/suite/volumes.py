"""Volumes: made, grown, removed (Capability.VOLUMES)."""

import uuid
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NoRoom, NotFound
from drivers.types import Capability, DesiredVolume, Owner, PoolSpec, SnapshotID, VolumeID

from .binding import Binding, StorageBinding
from .hostile import each_text
from .storebase import SIZE, Store, StoreBase
from .threads import THREADS, together
from .tools import MIB, raises_ours, settle

NO_POOL = PoolSpec("no-such-pool", "/var/lib/no-such-pool")


class _Making(StoreBase):
    def test_a_new_volume_is_in_its_pool(self, binding: Binding, store: Store) -> None:
        volume = store.created()
        [seen] = store.seen(volume)
        assert (seen.volume, seen.size) == (volume.volume, SIZE)
        assert seen.volume_id
        assert binding.leftovers(volume.volume)

    def test_volumes_do_not_mix(self, store: Store) -> None:
        first, second = store.created(marker="first"), store.created(2 * SIZE, marker="second")
        assert (store.read(first), store.read(second)) == ("first", "second")
        assert (store.size(first), store.size(second)) == (SIZE, 2 * SIZE)

    def test_a_volume_made_again_is_left_as_it_is(self, store: Store) -> None:
        volume = store.created(marker="kept")
        store.create(replace(volume, size=2 * SIZE, name="other"))
        assert (store.size(volume), store.read(volume)) == (SIZE, "kept")

    def test_one_made_by_many_is_one(self, store: Store) -> None:
        volume = store.volume()
        together([lambda: store.create(volume)] * THREADS)
        assert len(store.seen(volume)) == 1

    def test_of_an_image_it_has_the_image_s_content(self, binding: StorageBinding, store: Store) -> None:
        volume = store.created(binding.image.virtual_size + MIB, image=binding.image.name)
        [root] = store.make.observe(store.vm()).disks
        assert store.read(volume) == binding.read(root.volume_id)
        assert store.size(volume) == binding.image.virtual_size + MIB
        store.write(volume, "mine")
        assert store.read(store.created(binding.image.virtual_size, image=binding.image.name)) != "mine"

    def test_it_needs_its_image_no_longer_or_keeps_it(self, binding: Binding, connection: Connection, store: Store) -> None:
        image = replace(binding.image, name="contract-volume-sha256-3.qcow2")
        settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, image))
        volume = store.created(image.virtual_size, image=image.name)
        before = store.read(volume)
        try:
            connection.storage.delete_image(binding.host, binding.pool, image.name)
        except Conflict:
            assert connection.storage.has_image(binding.host, binding.pool, image.name)
        assert store.read(volume) == before
        store.delete(volume)
        connection.storage.delete_image(binding.host, binding.pool, image.name)
        assert not connection.storage.has_image(binding.host, binding.pool, image.name)

    def test_without_its_source_it_is_not_made(self, binding: Binding, store: Store) -> None:
        for source in ({"image": "no-such-image.qcow2"}, {"pool": NO_POOL}):
            volume = replace(store.volume(), **source)
            with raises_ours(NotFound):
                store.create(volume)
            assert binding.leftovers(volume.volume) == set()

    def test_what_can_t_be_is_refused_and_leaves_nothing(self, binding: Binding, connection: Connection, store: Store) -> None:
        snapshot = SnapshotID(str(uuid.uuid4()))
        wrong: list[DesiredVolume] = [
            store.volume(0),
            store.volume(-1),
            store.volume(binding.image.virtual_size - MIB // 2, image=binding.image.name),
            store.volume(image=binding.image.name, snapshot=snapshot),
        ]
        for volume in wrong:
            with raises_ours(InvalidSpec):
                store.create(volume)
            assert binding.leftovers(volume.volume) == set()
            assert store.seen(volume) == []

    def test_what_its_pool_has_no_room_for_may_be_tried_again_and_leaves_nothing(
        self, binding: Binding, connection: Connection, store: Store
    ) -> None:
        volume = store.volume(connection.storage.ensure_pool(binding.host, binding.pool).capacity * 4)
        for _ in range(2):
            with raises_ours(NoRoom):
                store.create(volume)
            assert binding.leftovers(volume.volume) == set()
            assert store.seen(volume) == []
        store.create(replace(volume, size=SIZE))
        assert store.size(volume) == SIZE

    @pytest.mark.parametrize("identity", ["", "../../etc/passwd", "a/b", "data", "00000000-0000-0000-0000-00000000000\n"])
    def test_a_volume_s_identity_is_a_uuid(self, connection: Connection, store: Store, identity: str) -> None:
        volume = replace(store.volume(), volume=VolumeID(identity))
        before = store.contents
        with raises_ours(InvalidSpec):
            store.create(volume)
        assert store.contents == before

    @each_text
    def test_volume_names_that_mean_harm_are_kept_or_refused(self, binding: Binding, store: Store, text: str) -> None:
        volume = store.volume()
        volume = replace(volume, name=text, owner=Owner(volume.owner.uid, text, text))
        try:
            store.create(volume)
        except InvalidSpec:
            assert binding.leftovers(volume.volume) == set()
        else:
            assert store.size(volume) == SIZE


class _Contents(StoreBase):
    def test_a_pool_lists_disks_also_of_vms_that_are_gone(self, binding: Binding, store: Store) -> None:
        vm = store.make.created()
        [disk] = store.make.observe(vm).disks
        for _ in range(2):
            [seen] = [one for one in store.contents.disks if one.instance == vm.instance]
            assert (seen.name, seen.size, seen.volume_id) == ("root", disk.size, disk.volume_id)
            if store.make.connection.compute.observe_all().get(vm.instance):
                binding.drop_definition(vm.instance)
        store.make.delete(vm)
        assert [one for one in store.contents.disks if one.instance == vm.instance] == []

    def test_each_thing_is_listed_as_what_it_is(self, binding: Binding, store: Store) -> None:
        vm, volume = store.make.created(), store.created()
        contents = store.contents
        assert volume.volume not in {one.instance for one in contents.disks}
        assert vm.instance not in {one.volume for one in contents.volumes}
        assert binding.image.name not in {one.name for one in contents.disks}
        paths = [one.volume_id for one in (*contents.disks, *contents.volumes, *contents.snapshots)]
        assert len(set(paths)) == len(paths)

    def test_an_unknown_pool_is_not_found(self, binding: Binding, connection: Connection) -> None:
        with raises_ours(NotFound):
            connection.volumes.contents(binding.host, NO_POOL)


class _Growing(StoreBase):
    def test_it_grows_and_keeps_its_content(self, store: Store) -> None:
        volume = store.created(marker="kept")
        for _ in range(2):
            store.grow(volume, 3 * SIZE)
            assert (store.size(volume), store.read(volume)) == (3 * SIZE, "kept")

    def test_it_never_shrinks(self, store: Store) -> None:
        volume = store.created(2 * SIZE)
        store.grow(volume, SIZE)
        assert store.size(volume) == 2 * SIZE

    def test_a_volume_that_is_not_there_can_t_grow(self, store: Store) -> None:
        with raises_ours(NotFound):
            store.grow(store.volume(), 2 * SIZE)
        with raises_ours(NotFound):
            store.grow(replace(store.volume(), pool=NO_POOL), 2 * SIZE)

    def test_beyond_its_pool_it_does_not_grow(self, binding: Binding, connection: Connection, store: Store) -> None:
        volume = store.created(marker="kept")
        capacity = connection.storage.ensure_pool(binding.host, binding.pool).capacity
        for _ in range(2):
            with raises_ours(NoRoom):
                store.grow(volume, capacity * 4)
            assert (store.size(volume), store.read(volume)) == (SIZE, "kept")

    def test_it_grows_under_a_vm_that_is_off(self, store: Store) -> None:
        volume = store.created()
        vm = store.vm(volume)
        store.grow(volume, 2 * SIZE)
        assert store.attached(vm) == [("data0", volume.volume, volume.pool.name, 2 * SIZE)]

    def test_it_grows_under_a_vm_that_runs(self, connection: Connection, store: Store) -> None:
        volume = store.created()
        vm = store.vm(volume)
        store.make.start(vm)
        if Capability.DISK_GROW_LIVE in connection.capabilities:
            store.grow(volume, 2 * SIZE)
            assert [size for *_, size in store.attached(vm)] == [2 * SIZE]
        else:
            with raises_ours(Conflict):
                store.grow(volume, 2 * SIZE)
            assert store.size(volume) == SIZE


class _Removing(StoreBase):
    def test_nothing_stays_behind_of_a_volume(self, binding: Binding, store: Store) -> None:
        volume, other = store.created(), store.created(marker="other")
        store.delete(volume)
        assert binding.leftovers(volume.volume) == set()
        assert store.seen(volume) == []
        assert store.read(other) == "other"

    def test_an_absent_volume_is_removed(self, store: Store) -> None:
        volume = store.created()
        for gone in (volume, volume, store.volume(), replace(store.volume(), pool=NO_POOL)):
            store.delete(gone)

    def test_made_again_it_is_empty(self, store: Store) -> None:
        fresh = store.read(store.created())
        volume = store.created(marker="secret")
        store.delete(volume)
        store.create(volume)
        assert store.read(volume) == fresh

    def test_an_attached_one_stays(self, store: Store) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        with raises_ours(Conflict):
            store.delete(volume)
        assert store.read(volume) == "kept"
        store.detach(vm, volume)
        store.delete(volume)
        assert store.seen(volume) == []


class Volumes(_Making, _Contents, _Growing, _Removing):
    """Volumes by themselves."""
