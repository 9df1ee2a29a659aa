"""Volumes and their snapshots."""

from __future__ import annotations

from drivers.errors import Conflict, InvalidSpec, NoRoom, NotFound, Unsupported
from drivers.types import (
    Capability,
    DesiredSnapshot,
    DesiredVolume,
    Done,
    HostID,
    InstanceID,
    Owner,
    PoolContents,
    PoolSpec,
    SnapshotID,
    Started,
    VolumeAttachment,
    VolumeID,
    remember,
)

from .datacentre import NO_SPACE, Datacentre, Scope, pool_key, require_room, takes
from .model import VM, Pool, PoolKey, PoolSnapshot, Volume
from .observe import pool_contents
from .quiesce import check_quiesce
from .rules import check_keeping, check_pool, check_snapshot, check_token, check_volume

__all__ = ["Volumes", "attachable"]


class Volumes:
    """Volume calls as `drivers.base.Volumes` has them; `scope` is what the caller's endpoint reaches."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def contents(self, host: HostID, pool: PoolSpec) -> PoolContents:
        """What is in a pool. Raises NotFound, Transient."""
        check_pool(pool)
        return pool_contents(self._dc.pool(host, pool))

    # Volumes -------------------------------------------------------------------------------------------------------

    def create_volume(self, host: HostID, volume: DesiredVolume) -> Done | Started:
        """Make a volume. Raises NotFound, InvalidSpec, NoRoom, Busy, Transient, Unsupported."""
        self._dc.host(host)
        check_volume(volume)
        if volume.snapshot is not None and not self._dc.has(Capability.VOLUME_SNAPSHOTS):
            raise Unsupported(f"this endpoint lacks {Capability.VOLUME_SNAPSHOTS}", native_code="SIM_UNSUPPORTED")
        subject = self._idle(host, volume.pool, volume.volume)
        if volume.volume in self._dc.pool(host, volume.pool).volumes:
            return Done()
        self._source(host, volume)
        return self._dc.run("volumes.create_volume", subject, lambda: self._make(host, volume))

    def _make(self, host: HostID, volume: DesiredVolume) -> None:
        """Looks again, because time has passed if this is the end of a task; so do all that follow."""
        pool = self._dc.pool(host, volume.pool)
        if volume.volume in pool.volumes:
            return
        content = self._source(host, volume)
        self._dc.made[volume.volume] += 1
        self._dc.add_volume(
            Volume(volume.volume, volume.name, volume.owner, pool.key, volume.pool.name, volume.size, content),
        )

    def _source(self, host: HostID, volume: DesiredVolume) -> str:
        """The content that the volume begins with. Raises NotFound without its source, InvalidSpec if that is larger, NoRoom."""
        pool = self._dc.pool(host, volume.pool)
        _check_room(pool, volume.pool.name, volume.size)
        content, size = "", 0
        if volume.image:
            if (image := pool.images.get(volume.image)) is None:
                raise NotFound(f"no image {volume.image!r} in pool {volume.pool.name!r}", native_code="SIM_IMAGE_UNKNOWN")
            content, size = volume.image, image.virtual_size
        elif volume.snapshot is not None:
            snapshot = _snapshot(pool, volume.pool.name, volume.snapshot)
            content, size = snapshot.content, snapshot.size
        if volume.size < size:
            raise InvalidSpec(f"volume {volume.name!r} is smaller than its source", native_code="SIM_DISK_SMALL")
        return content

    def grow_volume(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> Done | Started:
        """Grow a volume, also under its VM. Raises NotFound, InvalidSpec, NoRoom, Conflict, Busy, Transient."""
        if pool.iscsi is not None:
            return self._follow_lun(scope, host, pool, volume, size)
        if self._volume(host, pool, volume).size >= size:
            return Done()
        subject = self._idle(host, pool, volume)
        self._check_grow(scope, host, pool, volume, size)
        return self._dc.run("volumes.grow_volume", subject, lambda: self._grow(scope, host, pool, volume, size))

    def _follow_lun(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> Done:
        """Tell the VM that has a LUN how large it has become."""
        found = self._dc.pool(host, pool)
        for vm in self._dc.users(scope, found.key, volume):
            attached = vm.volumes[volume].volume
            has = found.luns.get(attached.lun, 0) if attached.lun is not None else 0
            if has < size:
                raise InvalidSpec(f"LUN {attached.lun} has {has} bytes, not {size}", native_code="SIM_DISK_SMALL")
            attached.size = has
            self._dc.vm_changed(vm)
        return Done()

    def _check_grow(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> None:
        found = self._dc.pool(host, pool)
        _check_room(found, pool.name, size)
        if found.raw:
            self._require_detached(scope, found.key, volume)
        for vm in self._dc.users(scope, found.key, volume):
            if vm.snapshots:
                raise Conflict(f"VM {vm.instance}, which has the volume, has snapshots", native_code="SIM_VM_HAS_SNAPSHOTS")
            if vm.has_power and not self._dc.has(Capability.DISK_GROW_LIVE):
                raise Conflict(f"VM {vm.instance} runs with the volume", native_code="SIM_VM_RUNS")

    def _grow(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> None:
        found = self._volume(host, pool, volume)
        self._check_grow(scope, host, pool, volume, size)
        pool_of = self._dc.pools[found.pool]
        pool_of.used += takes(pool_of, size) - takes(pool_of, found.size)
        found.size = max(found.size, size)
        self._dc.volume_changed(found)

    def delete_volume(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID) -> Done | Started:
        """Remove a volume. Raises Conflict while a VM has it, Busy, Transient."""
        self._dc.host(host)
        subject = self._idle(host, pool, volume)
        if not self._has(host, pool, volume):
            return Done()
        self._require_detached(scope, pool_key(host, pool), volume)
        return self._dc.run("volumes.delete_volume", subject, lambda: self._remove(scope, host, pool, volume))

    def _has(self, host: HostID, pool: PoolSpec, volume: VolumeID) -> bool:
        found = self._dc.find_pool(host, pool)
        return found is not None and volume in found.volumes

    def _remove(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID) -> None:
        if not self._has(host, pool, volume):
            return
        self._require_detached(scope, pool_key(host, pool), volume)
        self._dc.remove_volume(self._volume(host, pool, volume))

    # Their snapshots -----------------------------------------------------------------------------------------------

    def snapshot_volume(
        self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot
    ) -> Done | Started:
        """Keep a volume's content. Raises NotFound, Conflict, InvalidSpec, NoRoom, Busy, Transient, Unsupported."""
        self._dc.host(host)
        check_keeping(pool)
        check_snapshot(snapshot)
        if snapshot.memory:
            raise InvalidSpec(f"volume {volume} has no memory to keep", native_code="SIM_INVALID")
        subject = self._idle(host, pool, snapshot.snapshot)
        if snapshot.snapshot in self._dc.pool(host, pool).snapshots:
            return Done()
        self._check_snapshot(scope, host, pool, volume, snapshot)
        return self._dc.run("volumes.snapshot_volume", subject, lambda: self._keep(scope, host, pool, volume, snapshot))

    def _check_snapshot(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> None:
        self._volume(host, pool, volume)
        found = self._dc.pool(host, pool)
        _check_room(found, pool.name, 0)
        running = [vm for vm in self._dc.users(scope, found.key, volume) if vm.has_power]
        if running and not self._dc.has(Capability.VOLUME_SNAPSHOT_LIVE):
            raise Conflict(f"VM {running[0].instance} runs with the volume", native_code="SIM_VM_RUNS")
        if snapshot.quiesce:
            check_quiesce(self._dc, running)

    def _keep(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> None:
        found = self._dc.pool(host, pool)
        if snapshot.snapshot in found.snapshots:
            return
        self._check_snapshot(scope, host, pool, volume, snapshot)
        source = self._volume(host, pool, volume)
        self._dc.made[snapshot.snapshot] += 1
        self._dc.add_snapshot(
            PoolSnapshot(snapshot.snapshot, snapshot.name, snapshot.owner, found.key, source.size, source.content)
        )

    def restore_volume(
        self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str
    ) -> Done | Started:
        """Give a volume a snapshot's content: a copy beside its own. Raises Conflict while a VM has it, NotFound, InvalidSpec,
        NoRoom, Busy.
        """
        check_token(token)
        check_keeping(pool)
        subject = self._idle(host, pool, volume)
        if token in self._volume(host, pool, volume).tokens:
            return Done()
        self._check_restore(scope, host, pool, volume, snapshot)
        return self._dc.run("volumes.restore_volume", subject, lambda: self._restore(scope, host, pool, volume, snapshot, token))

    def _check_restore(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID) -> None:
        self._volume(host, pool, volume)
        found = self._dc.pool(host, pool)
        _snapshot(found, pool.name, snapshot)
        self._require_detached(scope, found.key, volume)
        _check_room(found, pool.name, 0)

    def _restore(self, scope: Scope, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str) -> None:
        if token in self._volume(host, pool, volume).tokens:
            return
        self._check_restore(scope, host, pool, volume, snapshot)
        found, kept = self._volume(host, pool, volume), self._dc.pool(host, pool).snapshots[snapshot]
        found.content, found.size = kept.content, max(found.size, kept.size)
        found.tokens = remember(token, found.tokens)
        self._dc.volume_changed(found)

    def delete_volume_snapshot(self, host: HostID, pool: PoolSpec, snapshot: SnapshotID) -> Done | Started:
        """Remove a snapshot of a volume. Raises Busy, Transient."""
        self._dc.host(host)
        subject = self._idle(host, pool, snapshot)
        found = self._dc.find_pool(host, pool)
        if found is None or snapshot not in found.snapshots:
            return Done()
        return self._dc.run("volumes.delete_volume_snapshot", subject, lambda: self._forget(found.key, snapshot))

    def _forget(self, key: PoolKey, snapshot: SnapshotID) -> None:
        pool = self._dc.pools.get(key)
        if pool is not None and snapshot in pool.snapshots:
            self._dc.remove_snapshot(key, snapshot)

    # Both ----------------------------------------------------------------------------------------------------------

    def _volume(self, host: HostID, pool: PoolSpec, volume: VolumeID) -> Volume:
        found = self._dc.pool(host, pool).volumes.get(volume)
        if found is None:
            raise NotFound(f"no volume {volume} in pool {pool.name!r}", native_code="SIM_VOLUME_UNKNOWN")
        return found

    def _idle(self, host: HostID, pool: PoolSpec, identity: str) -> tuple[str, ...]:
        """What a task on a volume or snapshot keeps busy. Raises Busy."""
        subject = (host, *pool_key(host, pool), identity)
        self._dc.tasks.require_idle(subject)
        return subject

    def _require_detached(self, scope: Scope, key: PoolKey, volume: VolumeID) -> None:
        if users := self._dc.users(scope, key, volume):
            raise Conflict(f"volume {volume} is attached to VM {users[0].instance}", native_code="SIM_VOLUME_IN_USE")


def attachable(dc: Datacentre, scope: Scope, host: HostID, instance: InstanceID, attachment: VolumeAttachment) -> Volume:
    """The volume of an attachment. Raises NotFound, Conflict while another VM has it."""
    pool = dc.pool(host, attachment.pool)
    volume = pool.volumes.get(attachment.volume) if attachment.lun is None else _lun(pool, attachment, attachment.lun)
    if volume is None:
        raise NotFound(f"no volume {attachment.volume} in pool {attachment.pool.name!r}", native_code="SIM_VOLUME_UNKNOWN")
    users = dc.users(scope, pool.key, volume.volume)
    users += [] if attachment.lun is None else dc.lun_users(scope, pool.key, attachment.lun)
    others = [vm for vm in users if not _is(vm, host, instance)]
    if others:
        raise Conflict(f"volume {volume.volume} is attached to VM {others[0].instance}", native_code="SIM_VOLUME_IN_USE")
    return volume


def _lun(pool: Pool, attachment: VolumeAttachment, lun: int) -> Volume:
    if (size := pool.luns.get(lun)) is None:
        raise NotFound(f"pool {attachment.pool.name!r} has no LUN {lun}", native_code="SIM_LUN_UNKNOWN")
    owner = Owner("", "", "")
    return Volume(attachment.volume, f"lun-{lun}", owner, pool.key, attachment.pool.name, size, lun=lun)


def _is(vm: VM, host: HostID, instance: InstanceID) -> bool:
    return (vm.host, vm.instance) == (host, instance)


def _snapshot(pool: Pool, name: str, snapshot: SnapshotID) -> PoolSnapshot:
    if (found := pool.snapshots.get(snapshot)) is None:
        raise NotFound(f"no snapshot {snapshot} in pool {name!r}", native_code="SIM_SNAPSHOT_UNKNOWN")
    return found


def _check_room(pool: Pool, name: str, size: int) -> None:
    """A thin volume takes little at first, but one that is larger than its pool could never be filled; a raw one takes all."""
    if size > pool.capacity:
        raise NoRoom.of(f"the pool {name}", size, pool.capacity - pool.used, native_code=NO_SPACE)
    require_room(pool, name, takes(pool, size))
