"""What the tests of volumes and snapshots share: things that are described, made, written to, and gone after the test."""

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from drivers.base import Connection
from drivers.errors import DriverError
from drivers.types import (
    AttachVolume,
    Change,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachVolume,
    Done,
    ObservedSnapshot,
    ObservedVolume,
    Owner,
    PoolContents,
    SnapshotID,
    Started,
    VolumeAttachment,
    VolumeID,
    VolumeSnapshot,
)

from .base import CleaningMaker, ContractBase
from .binding import StorageBinding
from .tools import MIB, Maker, settle

__all__ = ["Store", "StoreBase"]

SIZE = 8 * MIB

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Store:
    """Makes volumes and snapshots for a binding, and remembers them."""

    binding: StorageBinding
    connection: Connection
    make: Maker
    volumes: list[DesiredVolume] = field(default_factory=list)
    snapshots: list[DesiredSnapshot] = field(default_factory=list)

    def do(self, call: Callable[..., Done | Started], *args: Any) -> None:
        """Carry a call on the binding's host through."""
        settle(self.connection, lambda: call(self.binding.host, *args))

    # Volumes -------------------------------------------------------------------------------------------------------

    def volume(self, size: int = SIZE, **values: Any) -> DesiredVolume:
        """The description of a volume; empty unless told otherwise."""
        number, volume = next(_numbers), VolumeID(str(uuid.uuid4()))
        made = DesiredVolume(
            volume, f"volume-{number}", Owner(f"uid-{volume}", "shop", f"data-{number}"), self.binding.pool, size, **values
        )
        self.volumes.append(made)
        return made

    def create(self, volume: DesiredVolume) -> DesiredVolume:
        """Make it."""
        self.do(self.connection.volumes.create_volume, volume)
        return volume

    def created(self, size: int = SIZE, *, marker: str = "", **values: Any) -> DesiredVolume:
        """A volume that exists, with a marker if given."""
        made = self.create(self.volume(size, **values))
        if marker:
            self.write(made, marker)
        return made

    def grow(self, volume: DesiredVolume, size: int) -> None:
        """Grow it."""
        self.do(self.connection.volumes.grow_volume, volume.pool, volume.volume, size)

    def delete(self, volume: DesiredVolume) -> None:
        """Remove it."""
        self.do(self.connection.volumes.delete_volume, volume.pool, volume.volume)

    @property
    def contents(self) -> PoolContents:
        """What is in the pool."""
        return self.connection.volumes.contents(self.binding.host, self.binding.pool)

    def seen(self, volume: DesiredVolume) -> list[ObservedVolume]:
        """The volume as the pool has it; one entry at most if all is well."""
        return [one for one in self.contents.volumes if one.volume == volume.volume]

    def size(self, volume: DesiredVolume) -> int:
        """Its size in the pool."""
        [found] = self.seen(volume)
        return found.size

    def write(self, volume: DesiredVolume, marker: str) -> None:
        """Write to a volume that no running VM has."""
        [found] = self.seen(volume)
        self.binding.write(found.volume_id, marker)

    def read(self, volume: DesiredVolume) -> str:
        """What is on it."""
        [found] = self.seen(volume)
        return self.binding.read(found.volume_id)

    # Volumes of VMs ------------------------------------------------------------------------------------------------

    def attachment(self, volume: DesiredVolume, name: str = "data") -> VolumeAttachment:
        """The volume as a disk of a VM."""
        return VolumeAttachment(name, volume.volume, volume.pool)

    def vm(self, *volumes: DesiredVolume, empty: bool = False) -> DesiredVM:
        """A VM that exists, powered off, with these volumes as disks `data0` and on."""
        named = tuple(self.attachment(volume, f"data{number}") for number, volume in enumerate(volumes))
        return self.make.create(replace(self.make.vm(empty=empty), volumes=named))

    def apply(self, vm: DesiredVM, *changes: Change) -> None:
        """Apply changes together."""
        self.do(self.connection.compute.apply, vm.instance, changes)

    def attach(self, vm: DesiredVM, volume: DesiredVolume, name: str = "data") -> None:
        """Attach."""
        self.apply(vm, AttachVolume(self.attachment(volume, name)))

    def detach(self, vm: DesiredVM, volume: DesiredVolume) -> None:
        """Detach."""
        self.apply(vm, DetachVolume(volume.volume))

    def attached(self, vm: DesiredVM) -> list[tuple[str, VolumeID, str, int]]:
        """The VM's volumes."""
        return [(one.name, one.volume, one.pool, one.size) for one in self.make.observe(vm).volumes]

    # Snapshots -----------------------------------------------------------------------------------------------------

    def snapshot(self, **values: Any) -> DesiredSnapshot:
        """The description of a snapshot."""
        number, snapshot = next(_numbers), SnapshotID(str(uuid.uuid4()))
        made = DesiredSnapshot(snapshot, f"snap-{number}", Owner(f"uid-{snapshot}", "shop", f"before-{number}"), **values)
        self.snapshots.append(made)
        return made

    def keep(self, volume: DesiredVolume, snapshot: DesiredSnapshot | None = None) -> DesiredSnapshot:
        """Take a snapshot of a volume."""
        snapshot = snapshot or self.snapshot()
        self.do(self.connection.volumes.snapshot_volume, volume.pool, volume.volume, snapshot)
        return snapshot

    def bring_back(self, volume: DesiredVolume, snapshot: DesiredSnapshot, token: str = "") -> str:
        """Restore a volume; returns the token."""
        token = token or str(uuid.uuid4())
        self.do(self.connection.volumes.restore_volume, volume.pool, volume.volume, snapshot.snapshot, token)
        return token

    def drop(self, snapshot: DesiredSnapshot) -> None:
        """Remove a snapshot of a volume."""
        self.do(self.connection.volumes.delete_volume_snapshot, self.binding.pool, snapshot.snapshot)

    def kept(self, snapshot: DesiredSnapshot) -> list[VolumeSnapshot]:
        """The snapshot as the pool has it."""
        return [one for one in self.contents.snapshots if one.snapshot == snapshot.snapshot]

    def take(self, vm: DesiredVM, snapshot: DesiredSnapshot | None = None) -> DesiredSnapshot:
        """Take a snapshot of a VM."""
        snapshot = snapshot or self.snapshot()
        self.do(self.connection.snapshots.create_snapshot, vm.instance, snapshot)
        return snapshot

    def restore(self, vm: DesiredVM, snapshot: DesiredSnapshot, token: str = "") -> str:
        """Bring a VM back; returns the token."""
        token = token or str(uuid.uuid4())
        self.do(self.connection.snapshots.restore, vm.instance, snapshot.snapshot, token)
        return token

    def forget(self, vm: DesiredVM, snapshot: DesiredSnapshot) -> None:
        """Remove a snapshot of a VM."""
        self.do(self.connection.snapshots.delete_snapshot, vm.instance, snapshot.snapshot)

    def taken(self, vm: DesiredVM) -> dict[SnapshotID, ObservedSnapshot]:
        """The VM's snapshots."""
        return {one.snapshot: one for one in self.make.observe(vm).snapshots}

    def tree(self, vm: DesiredVM) -> dict[SnapshotID, SnapshotID | None]:
        """The VM's snapshots with their parents."""
        return {one.snapshot: one.parent for one in self.taken(vm).values()}

    def current(self, vm: DesiredVM) -> list[SnapshotID]:
        """Those that the VM's disks continue from."""
        return [one.snapshot for one in self.taken(vm).values() if one.current]

    # Contents of a VM that is off ----------------------------------------------------------------------------------

    def mark(self, vm: DesiredVM, marker: str, volumes: Sequence[DesiredVolume] = ()) -> None:
        """Write to all disks of a VM and to these volumes."""
        for disk in self.make.observe(vm).disks:
            self.binding.write(disk.volume_id, marker)
        for volume in volumes:
            self.write(volume, marker)

    def marks(self, vm: DesiredVM, volumes: Sequence[DesiredVolume] = ()) -> set[str]:
        """What is on all of them."""
        disks = {self.binding.read(disk.volume_id) for disk in self.make.observe(vm).disks}
        return disks | {self.read(volume) for volume in volumes}


class StoreBase(ContractBase):
    """A store for each test; what it made is gone after the test, and that is checked too."""

    @pytest.fixture
    def store(self, binding: StorageBinding, connection: Connection, make: CleaningMaker) -> Iterator[Store]:
        store = Store(binding, connection, make)
        yield store
        for vm in make.described:
            with suppress(DriverError):
                make.delete(vm)
        for volume in store.volumes:
            with suppress(DriverError):
                store.delete(volume)
        for snapshot in store.snapshots:
            with suppress(DriverError):
                store.drop(snapshot)
        identities = [volume.volume for volume in store.volumes] + [snapshot.snapshot for snapshot in store.snapshots]
        assert [identity for identity in identities if binding.leftovers(identity)] == []
