"""Calls to one host about volumes and snapshots, each in a lane of its endpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from drivers.types import (
    DesiredSnapshot,
    DesiredVolume,
    Done,
    HostID,
    InstanceID,
    PoolContents,
    PoolSpec,
    SnapshotID,
    Started,
    VolumeID,
)

if TYPE_CHECKING:
    from controller.inventory.session import Session

Changing = Callable[[InstanceID | None], AbstractContextManager[None]]
"""Marks what is known of a VM as out of date around a call that changes it."""


class VolumeCalls:
    """See `drivers.base.Volumes`. What may copy much data goes into the slow lane."""

    def __init__(self, session: Session, host: Callable[[], HostID], changing: Changing) -> None:
        self._session = session
        self._host = host
        self._changing = changing

    async def contents(self, pool: PoolSpec) -> PoolContents:
        """See `drivers.base.Volumes.contents`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.survey(connection.volumes.contents, host, pool)

    async def create(self, volume: DesiredVolume) -> Done | Started:
        """See `drivers.base.Volumes.create_volume`."""
        host, connection, lanes = self._host(), self._session.connection(), self._session.lanes
        copied = volume.image or volume.snapshot or volume.pool.raw
        return await (lanes.copy if copied else lanes.change)(connection.volumes.create_volume, host, volume)

    async def grow(self, pool: PoolSpec, volume: VolumeID, size: int, instance: InstanceID | None = None) -> Done | Started:
        """See `drivers.base.Volumes.grow_volume`; name the VM that has it attached."""
        host, connection, lanes = self._host(), self._session.connection(), self._session.lanes
        with self._changing(instance):
            return await (lanes.copy if pool.raw else lanes.change)(connection.volumes.grow_volume, host, pool, volume, size)

    async def delete(self, pool: PoolSpec, volume: VolumeID) -> Done | Started:
        """See `drivers.base.Volumes.delete_volume`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.change(connection.volumes.delete_volume, host, pool, volume)

    async def snapshot(self, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> Done | Started:
        """See `drivers.base.Volumes.snapshot_volume`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.copy(connection.volumes.snapshot_volume, host, pool, volume, snapshot)

    async def restore(self, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str) -> Done | Started:
        """See `drivers.base.Volumes.restore_volume`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.copy(connection.volumes.restore_volume, host, pool, volume, snapshot, token)

    async def delete_snapshot(self, pool: PoolSpec, snapshot: SnapshotID) -> Done | Started:
        """See `drivers.base.Volumes.delete_volume_snapshot`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.change(connection.volumes.delete_volume_snapshot, host, pool, snapshot)


class SnapshotCalls:
    """See `drivers.base.Snapshots`. What may copy much data goes into the slow lane."""

    def __init__(self, session: Session, host: Callable[[], HostID], changing: Changing) -> None:
        self._session = session
        self._host = host
        self._changing = changing

    async def create(self, instance: InstanceID, snapshot: DesiredSnapshot) -> Done | Started:
        """See `drivers.base.Snapshots.create_snapshot`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.copy(connection.snapshots.create_snapshot, host, instance, snapshot)

    async def restore(self, instance: InstanceID, snapshot: SnapshotID, token: str) -> Done | Started:
        """See `drivers.base.Snapshots.restore`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.copy(connection.snapshots.restore, host, instance, snapshot, token)

    async def delete(self, instance: InstanceID, snapshot: SnapshotID) -> Done | Started:
        """See `drivers.base.Snapshots.delete_snapshot`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.copy(connection.snapshots.delete_snapshot, host, instance, snapshot)
