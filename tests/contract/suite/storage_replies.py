"""A reply about a volume or a snapshot that is lost after the call took effect: doing it again is right, and does it once."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from drivers.base import Connection
from drivers.errors import Unanswered
from drivers.types import AttachVolume, DesiredVM, DesiredVolume, DetachVolume, Done, Started

from .binding import FaultyBinding
from .storebase import SIZE, Store, StoreBase
from .tools import raises_ours, settle

Call = Callable[[], Done | Started]


class LostStorageReplies(StoreBase):
    """For counterparts that can lose replies."""

    def _lose_storage(self, connection: Connection, binding: FaultyBinding, name: str, call: Call) -> None:
        binding.lose_reply(name)
        with raises_ours(Unanswered) as caught:
            call()
        assert isinstance(caught.value, Unanswered)
        assert caught.value.outcome_unknown
        settle(connection, call)

    @pytest.mark.parametrize("name", ["create_volume", "grow_volume", "delete_volume"])
    def test_of_a_volume(self, connection: Connection, binding: FaultyBinding, store: Store, name: str) -> None:
        volume = store.volume()
        if name != "create_volume":
            store.create(volume)
        args: dict[str, tuple[Any, ...]] = {
            "create_volume": (volume,),
            "grow_volume": (volume.pool, volume.volume, 2 * SIZE),
            "delete_volume": (volume.pool, volume.volume),
        }
        method = getattr(connection.volumes, name)
        self._lose_storage(connection, binding, name, lambda: method(binding.host, *args[name]))
        sizes = {"create_volume": [SIZE], "grow_volume": [2 * SIZE], "delete_volume": []}
        assert [one.size for one in store.seen(volume)] == sizes[name]

    @pytest.mark.parametrize("name", ["snapshot_volume", "restore_volume", "delete_volume_snapshot"])
    def test_of_its_snapshot(self, connection: Connection, binding: FaultyBinding, store: Store, name: str) -> None:
        volume, snapshot = store.created(marker="before"), store.snapshot()
        if name != "snapshot_volume":
            store.keep(volume, snapshot)
            store.write(volume, "after")
        args: dict[str, tuple[Any, ...]] = {
            "snapshot_volume": (volume.pool, volume.volume, snapshot),
            "restore_volume": (volume.pool, volume.volume, snapshot.snapshot, str(uuid.uuid4())),
            "delete_volume_snapshot": (volume.pool, snapshot.snapshot),
        }
        method = getattr(connection.volumes, name)
        self._lose_storage(connection, binding, name, lambda: method(binding.host, *args[name]))
        assert len(store.kept(snapshot)) == (name != "delete_volume_snapshot")
        assert store.read(volume) == ("after" if name == "delete_volume_snapshot" else "before")

    @pytest.mark.parametrize("name", ["create_snapshot", "restore", "delete_snapshot"])
    def test_of_a_vm_s_snapshot(self, connection: Connection, binding: FaultyBinding, store: Store, name: str) -> None:
        vm, snapshot = store.vm(), store.snapshot()
        store.mark(vm, "before")
        if name != "create_snapshot":
            store.take(vm, snapshot)
            store.mark(vm, "after")
        args: dict[str, tuple[Any, ...]] = {
            "create_snapshot": (snapshot,),
            "restore": (snapshot.snapshot, str(uuid.uuid4())),
            "delete_snapshot": (snapshot.snapshot,),
        }
        method = getattr(connection.snapshots, name)
        self._lose_storage(connection, binding, name, lambda: method(binding.host, vm.instance, *args[name]))
        assert len(store.taken(vm)) == (name != "delete_snapshot")
        assert store.marks(vm) == {"after" if name == "delete_snapshot" else "before"}

    @pytest.mark.parametrize("attached", [False, True])
    def test_of_an_attachment(self, connection: Connection, binding: FaultyBinding, store: Store, attached: bool) -> None:
        volume = store.created(marker="kept")
        vm = store.vm(volume) if attached else store.vm()
        change = DetachVolume(volume.volume) if attached else AttachVolume(store.attachment(volume))
        self._lose_storage(connection, binding, "apply", lambda: connection.compute.apply(binding.host, vm.instance, [change]))
        self._check_attached(store, vm, volume, attached=not attached)

    def _check_attached(self, store: Store, vm: DesiredVM, volume: DesiredVolume, *, attached: bool) -> None:
        assert [one for _, one, *_ in store.attached(vm)] == ([volume.volume] if attached else [])
        assert store.read(volume) == "kept"
