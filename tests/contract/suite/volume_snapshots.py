"""Snapshots of volumes (Capability.VOLUME_SNAPSHOTS)."""

from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import REMEMBERED, Capability, Owner, Power, SnapshotID

from .binding import Binding
from .hostile import each_text
from .storebase import SIZE, Store, StoreBase
from .tools import raises_ours
from .volumes import NO_POOL


class _Keeping(StoreBase):
    def test_a_snapshot_is_in_the_volume_s_pool(self, binding: Binding, store: Store) -> None:
        volume = store.created(marker="kept")
        snapshot = store.keep(volume)
        [seen] = store.kept(snapshot)
        assert seen.size == SIZE
        assert seen.volume_id
        assert binding.leftovers(snapshot.snapshot)
        assert (store.read(volume), len(store.seen(volume))) == ("kept", 1)

    def test_a_volume_s_snapshot_taken_again_is_left_as_it_is(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        store.write(volume, "after")
        store.keep(volume, snapshot)
        store.bring_back(volume, snapshot)
        assert store.read(volume) == "before"

    def test_of_what_is_not_there_nothing_is_kept(self, binding: Binding, store: Store) -> None:
        for volume in (store.volume(), replace(store.volume(), pool=NO_POOL)):
            snapshot = store.snapshot()
            with raises_ours(NotFound):
                store.keep(volume, snapshot)
            assert binding.leftovers(snapshot.snapshot) == set()

    def test_a_volume_has_no_memory(self, binding: Binding, store: Store) -> None:
        volume = store.created()
        for snapshot in (store.snapshot(memory=True), store.snapshot(memory=True, quiesce=True)):
            with raises_ours(InvalidSpec):
                store.keep(volume, snapshot)
            assert binding.leftovers(snapshot.snapshot) == set()

    def test_it_is_taken_under_a_vm_that_is_off(self, store: Store) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        snapshot = store.keep(volume)
        store.write(volume, "later")
        assert len(store.attached(vm)) == 1
        assert store.read(store.created(snapshot=snapshot.snapshot)) == "kept"

    def test_it_is_taken_under_a_vm_that_runs(self, binding: Binding, connection: Connection, store: Store) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume)
        store.make.start(vm)
        snapshot = store.snapshot()
        if Capability.VOLUME_SNAPSHOT_LIVE in connection.capabilities:
            store.keep(volume, snapshot)
            assert store.read(store.created(snapshot=snapshot.snapshot)) == "kept"
        else:
            with raises_ours(Conflict):
                store.keep(volume, snapshot)
            assert binding.leftovers(snapshot.snapshot) == set()
        assert store.make.power(vm) is Power.ON
        store.make.stop(vm)
        store.detach(vm, volume)
        assert store.read(volume) == "kept"

    @pytest.mark.parametrize("identity", ["", "../../etc/passwd", "a/b", "snap"])
    def test_a_volume_s_snapshot_has_a_uuid(self, store: Store, identity: str) -> None:
        volume = store.created()
        before = store.contents
        with raises_ours(InvalidSpec):
            store.keep(volume, replace(store.snapshot(), snapshot=SnapshotID(identity)))
        assert store.contents == before

    @each_text
    def test_names_of_volume_snapshots_that_mean_harm_are_kept_or_refused(self, binding: Binding, store: Store, text: str) -> None:
        volume, snapshot = store.created(), store.snapshot()
        try:
            store.keep(volume, replace(snapshot, name=text, owner=Owner(snapshot.owner.uid, text, text)))
        except InvalidSpec:
            assert binding.leftovers(snapshot.snapshot) == set()
        else:
            assert len(store.kept(snapshot)) == 1


class _BringingBack(StoreBase):
    def test_the_content_comes_back_and_the_snapshot_stays(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        for marker in ("once", "twice"):
            store.write(volume, marker)
            store.bring_back(volume, snapshot)
            assert store.read(volume) == "before"
            assert len(store.kept(snapshot)) == 1

    def test_it_keeps_the_larger_size(self, store: Store) -> None:
        volume, small = store.created(marker="before"), store.created(SIZE // 2)
        snapshot = store.keep(volume)
        store.grow(volume, 2 * SIZE)
        store.bring_back(volume, snapshot)
        assert (store.size(volume), store.read(volume)) == (2 * SIZE, "before")
        store.bring_back(small, snapshot)
        assert (store.size(small), store.read(small)) == (SIZE, "before")

    def test_an_attached_volume_is_left_alone(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        store.write(volume, "after")
        vm = store.vm(volume)
        with raises_ours(Conflict):
            store.bring_back(volume, snapshot)
        assert store.read(volume) == "after"
        store.detach(vm, volume)
        store.bring_back(volume, snapshot)
        assert store.read(volume) == "before"

    def test_a_volume_s_token_takes_effect_once(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        token = store.bring_back(volume, snapshot)
        assert store.read(volume) == "before"
        store.write(volume, "after")
        store.bring_back(volume, snapshot, token)
        assert store.read(volume) == "after"
        store.grow(volume, 2 * SIZE)
        vm = store.vm(volume)
        store.bring_back(volume, snapshot, token)
        store.make.start(vm)
        store.bring_back(volume, snapshot, token)
        store.make.stop(vm)
        store.detach(vm, volume)
        store.bring_back(volume, snapshot, token)
        assert (store.size(volume), store.read(volume)) == (2 * SIZE, "after")
        store.drop(snapshot)
        store.bring_back(volume, snapshot, token)
        assert store.read(volume) == "after"

    def test_a_volume_s_older_tokens_take_no_effect_again(self, store: Store) -> None:
        volume = store.created(marker="first")
        first = store.keep(volume)
        store.write(volume, "second")
        second = store.keep(volume)
        oldest, older = store.bring_back(volume, first), store.bring_back(volume, second)
        store.grow(volume, 2 * SIZE)
        newest = store.bring_back(volume, second)
        assert store.read(volume) == "second"
        store.write(volume, "after")
        for snapshot, token in ((first, oldest), (second, older), (second, newest), (first, oldest)):
            store.bring_back(volume, snapshot, token)
            assert store.read(volume) == "after"
        vm = store.vm(volume)
        store.bring_back(volume, first, oldest)
        store.detach(vm, volume)
        store.drop(first)
        store.bring_back(volume, first, oldest)
        assert (store.size(volume), store.read(volume)) == (2 * SIZE, "after")

    def test_a_volume_s_last_tokens_are_remembered(self, binding: Binding, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        tokens = [store.bring_back(volume, snapshot) for _ in range(REMEMBERED + 2)]
        store.write(volume, "after")
        for token in tokens[-REMEMBERED:]:
            store.bring_back(volume, snapshot, token)
        assert (store.read(volume), len(store.seen(volume))) == ("after", 1)
        store.bring_back(volume, snapshot)
        assert store.read(volume) == "before"
        store.delete(volume)
        assert binding.leftovers(volume.volume) == set()

    def test_another_token_brings_it_back_again(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        for _ in range(2):
            store.bring_back(volume, snapshot)
            assert store.read(volume) == "before"
            store.write(volume, "after")

    def test_a_volume_s_token_is_no_empty_text(self, connection: Connection, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        store.write(volume, "after")
        with raises_ours(InvalidSpec):
            store.do(connection.volumes.restore_volume, volume.pool, volume.volume, snapshot.snapshot, "")
        assert store.read(volume) == "after"

    def test_a_token_is_of_one_volume_alone(self, store: Store) -> None:
        """Neither another volume has it, nor one that was made of it, nor a later one of the same identity."""
        volume, other = store.created(marker="before"), store.created(marker="other")
        snapshot = store.keep(volume)
        token = store.bring_back(volume, snapshot)
        copy = store.created(snapshot=store.keep(volume).snapshot)
        last = store.bring_back(volume, snapshot)
        store.delete(volume)
        store.create(volume)
        for each in (volume, other, copy):
            for one in (token, last):
                store.write(each, "after")
                store.bring_back(each, snapshot, one)
                assert store.read(each) == "before"

    @each_text
    def test_tokens_that_mean_harm_are_kept_or_refused(self, connection: Connection, store: Store, text: str) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        store.write(volume, "after")
        try:
            store.do(connection.volumes.restore_volume, volume.pool, volume.volume, snapshot.snapshot, text)
        except InvalidSpec:
            assert store.read(volume) == "after"
            return
        assert store.read(volume) == "before"
        store.write(volume, "later")
        store.bring_back(volume, snapshot, text)
        assert store.read(volume) == "later"

    def test_a_volume_or_snapshot_that_is_not_there_is_not_found(self, store: Store) -> None:
        volume = store.created(marker="kept")
        snapshot = store.keep(volume)
        with raises_ours(NotFound):
            store.bring_back(volume, store.snapshot())
        with raises_ours(NotFound):
            store.bring_back(store.volume(), snapshot)
        assert store.read(volume) == "kept"


class _Standing(StoreBase):
    def test_a_snapshot_outlives_its_volume_and_makes_others(self, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        store.delete(volume)
        assert len(store.kept(snapshot)) == 1
        first, second = store.created(snapshot=snapshot.snapshot), store.created(2 * SIZE, snapshot=snapshot.snapshot)
        assert (store.size(first), store.size(second)) == (SIZE, 2 * SIZE)
        store.write(first, "mine")
        assert store.read(second) == "before"
        assert store.read(store.created(snapshot=snapshot.snapshot)) == "before"

    def test_volumes_keep_their_content_without_it(self, binding: Binding, store: Store) -> None:
        volume = store.created(marker="before")
        snapshot = store.keep(volume)
        made = store.created(snapshot=snapshot.snapshot)
        store.drop(snapshot)
        assert (store.read(made), store.read(volume)) == ("before", "before")
        assert store.kept(snapshot) == []
        store.grow(made, 2 * SIZE)
        vm = store.vm(made)
        store.make.start(vm)
        assert store.make.power(vm) is Power.ON

    def test_an_absent_snapshot_of_a_volume_is_removed(self, binding: Binding, connection: Connection, store: Store) -> None:
        snapshot = store.keep(store.created())
        for gone in (snapshot, snapshot, store.snapshot()):
            store.drop(gone)
        assert binding.leftovers(snapshot.snapshot) == set()
        store.do(connection.volumes.delete_volume_snapshot, NO_POOL, snapshot.snapshot)

    def test_of_several_one_goes(self, store: Store) -> None:
        volume = store.created(marker="one")
        first = store.keep(volume)
        store.write(volume, "two")
        second = store.keep(volume)
        store.write(volume, "three")
        third = store.keep(volume)
        store.drop(second)
        for snapshot, marker in ((first, "one"), (third, "three")):
            assert store.read(store.created(snapshot=snapshot.snapshot)) == marker
        assert store.read(volume) == "three"

    def test_a_volume_must_fit_it_and_it_must_be_there(self, binding: Binding, store: Store) -> None:
        snapshot = store.keep(store.created())
        for volume, error in (
            (store.volume(SIZE // 2, snapshot=snapshot.snapshot), InvalidSpec),
            (store.volume(snapshot=store.snapshot().snapshot), NotFound),
        ):
            with raises_ours(error):
                store.create(volume)
            assert binding.leftovers(volume.volume) == set()


class VolumeSnapshots(_Keeping, _BringingBack, _Standing):
    """Snapshots of volumes."""
