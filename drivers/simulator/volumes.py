"""The groups of calls for volumes, snapshots and VMs that others made, over a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drivers.adoption import Adoption, FoundVM
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

__all__ = ["AdoptionCalls", "SnapshotCalls", "VolumeCalls"]


class VolumeCalls:
    """See `drivers.base.Volumes`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def contents(self, host: HostID, pool: PoolSpec) -> PoolContents:
        """Everything in a pool."""
        found: PoolContents = self._call("volumes.contents", host, pool)
        return found

    def create_volume(self, host: HostID, volume: DesiredVolume) -> Done | Started:
        """Make a volume."""
        return self._change("create_volume", host, volume)

    def grow_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> Done | Started:
        """Grow a volume to `size` bytes."""
        return self._change("grow_volume", host, pool, volume, size)

    def delete_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID) -> Done | Started:
        """Remove a volume."""
        return self._change("delete_volume", host, pool, volume)

    def snapshot_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> Done | Started:
        """Keep a volume's content."""
        return self._change("snapshot_volume", host, pool, volume, snapshot)

    def restore_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str) -> Done | Started:
        """Give a volume a snapshot's content, once for each token."""
        return self._change("restore_volume", host, pool, volume, snapshot, token)

    def delete_volume_snapshot(self, host: HostID, pool: PoolSpec, snapshot: SnapshotID) -> Done | Started:
        """Remove a snapshot of a volume."""
        return self._change("delete_volume_snapshot", host, pool, snapshot)

    def _change(self, name: str, *args: Any) -> Done | Started:
        outcome: Done | Started = self._call(f"volumes.{name}", *args)
        return outcome


class SnapshotCalls:
    """See `drivers.base.Snapshots`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def create_snapshot(self, host: HostID, instance: InstanceID, snapshot: DesiredSnapshot) -> Done | Started:
        """Take a snapshot of a VM."""
        return self._change("create_snapshot", host, instance, snapshot)

    def restore(self, host: HostID, instance: InstanceID, snapshot: SnapshotID, token: str) -> Done | Started:
        """Bring a VM back to a snapshot."""
        return self._change("restore", host, instance, snapshot, token)

    def delete_snapshot(self, host: HostID, instance: InstanceID, snapshot: SnapshotID) -> Done | Started:
        """Remove a snapshot of a VM."""
        return self._change("delete_snapshot", host, instance, snapshot)

    def _change(self, name: str, *args: Any) -> Done | Started:
        outcome: Done | Started = self._call(f"snapshots.{name}", *args)
        return outcome


class AdoptionCalls:
    """See `drivers.adoption.Adopting`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def find(self, instance: InstanceID) -> Sequence[FoundVM]:
        """Every VM with this identity."""
        found: Sequence[FoundVM] = self._call("adoption.find", instance)
        return found

    def adopt(self, host: HostID, instance: InstanceID, adoption: Adoption) -> Done | Started:
        """Take over a VM."""
        return self._change("adopt", host, instance, adoption)

    def disown(self, host: HostID, instance: InstanceID, uid: str) -> Done | Started:
        """Let go of a VM."""
        return self._change("disown", host, instance, uid)

    def _change(self, name: str, *args: Any) -> Done | Started:
        outcome: Done | Started = self._call(f"adoption.{name}", *args)
        return outcome
