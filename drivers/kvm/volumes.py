"""Volumes of a host and their snapshots (drivers.base.Volumes)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import libvirt

from drivers.errors import Busy, Conflict, InvalidSpec, NoRoom, NotFound
from drivers.kvm import names
from drivers.kvm.domain import observe
from drivers.kvm.domain import volumes as disks
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks, volume_key
from drivers.kvm.link.session import COPY_LIMIT, Role, Session
from drivers.kvm.machine import attaching
from drivers.kvm.names import Kind
from drivers.kvm.snapshot import backup
from drivers.kvm.snapshot.freeze import frozen
from drivers.kvm.store import blocks, holdings, images, pools, volumes
from drivers.kvm.store.groups import GroupPool
from drivers.kvm.store.rbd import Clusters
from drivers.kvm.store.targets import Targets
from drivers.kvm.subject import Subject, subject
from drivers.types import DesiredSnapshot, DesiredVolume, Done, HostID, InstanceID, PoolContents, PoolSpec, SnapshotID, VolumeID


class KVMVolumes:
    """Volumes are qcow2 files that stand alone: one made of an image or a snapshot is a whole copy, and so is a snapshot.

    Calls on one volume follow each other, and calls on the VM that has it too. Every call is synchronous, so none returns a task.
    """

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks, targets: Targets, clusters: Clusters) -> None:
        """`locks` by instance and by volume are shared with KVMCompute."""
        self._session = session
        self._hosts = hosts
        self._locks = locks
        self._targets = targets
        self._clusters = clusters

    def contents(self, host: HostID, pool: PoolSpec) -> PoolContents:
        """The directory is read again first: QEMU grows files, and other hosts write into a shared pool."""
        self._hosts.require(host)
        if pool.iscsi is not None:
            return PoolContents(luns=self._targets.read(pool))
        if pool.rbd is not None:
            action = f"list the pool {pool.name}"
            found = self._session.run(Role.STORAGE, action, lambda connection: self._clusters.contents(connection, pool))
            return PoolContents(volumes=found)

        def run(connection: Any) -> PoolContents:
            return holdings.read(pools.get(connection, pool, refresh=True))

        return self._session.run(Role.WORK, f"list the pool {pool.name}", run)

    def create_volume(self, host: HostID, volume: DesiredVolume) -> Done:
        """Empty and thin, or a whole copy of its source; a logical volume is written whole in any case."""
        if volume.pool.iscsi is not None:
            raise InvalidSpec(f"the pool {volume.pool.name} has LUNs only: nothing can be made in it")

        def run(connection: Any) -> None:
            with self._turn(volume.volume):
                if volume.pool.rbd is not None:
                    self._clusters.create(connection, volume)
                else:
                    _create(pools.get(connection, volume.pool, refresh=volume.pool.raw), volume)

        return self._run(host, f"make the volume {volume.volume}", run)

    def grow_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> Done:
        """By QEMU where a VM runs with it, else in its file."""

        def run(connection: Any) -> None:
            with self._turn_with_user(connection, volume) as vm:
                if pool.rbd is not None:
                    _grow_image(connection, self._clusters, pool, volume, size, vm)
                elif pool.iscsi is None:
                    _grow(pools.get(connection, pool, refresh=pool.raw), volume, size, vm)
                elif vm is not None:
                    _follow_lun(volume, size, vm)

        return self._run(host, f"grow the volume {volume}", run)

    def delete_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID) -> Done:
        """Whatever has its name, complete or not."""

        def run(connection: Any) -> None:
            with self._turn(volume):
                _require_detached(connection, volume)
                if pool.rbd is not None:
                    self._clusters.delete(connection, pool, volume)
                found = pools.find(connection, pool, refresh=True) if pool.has_files else None
                if found is not None:
                    holdings.remove(found, Kind.VOLUME, volume)

        return self._run(host, f"delete the volume {volume}", run)

    def snapshot_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> Done:
        """A whole copy: by QEMU, of one moment, where a VM runs with it."""
        _require_snapshots(pool)
        timeout = self._session.timeouts.agent

        def run(connection: Any) -> None:
            with self._turn_with_user(connection, volume) as vm:
                found = pools.get(connection, pool, refresh=True)
                _snapshot(found, volume, snapshot, vm, timeout)

        return self._run(host, f"take a snapshot of the volume {volume}", run)

    def restore_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str) -> Done:
        """The snapshot's content is copied beside the volume's, and takes its place, with the token, when it is complete."""
        if not token:
            raise InvalidSpec("a restore needs a token, so that it takes effect once")
        _require_snapshots(pool)

        def run(connection: Any) -> None:
            with self._turn(volume):
                _restore(connection, pools.get(connection, pool, refresh=True), volume, snapshot, token)

        return self._run(host, f"restore the volume {volume}", run)

    def delete_volume_snapshot(self, host: HostID, pool: PoolSpec, snapshot: SnapshotID) -> Done:
        """Nothing depends on it."""

        def run(connection: Any) -> None:
            found = pools.find(connection, pool, refresh=True) if pool.has_files else None
            if found is not None:
                holdings.remove(found, Kind.SNAPSHOT, snapshot)

        return self._run(host, f"delete the snapshot {snapshot}", run)

    def _run(self, host: HostID, action: str, function: Callable[[Any], None]) -> Done:
        self._hosts.require(host)
        self._session.run(Role.WORK, action, function, mutating=True, extra=COPY_LIMIT)
        return Done()

    @contextmanager
    def _turn(self, volume: VolumeID) -> Iterator[None]:
        with self._locks.hold(volume_key(volume), self._session.timeouts.turn):
            yield

    @contextmanager
    def _turn_with_user(self, connection: Any, volume: VolumeID) -> Iterator[Subject | None]:
        """Turns on the VM that has the volume, if one has, and on the volume; the VM as it is then."""
        before = _user(connection, volume)
        with ExitStack() as turns:
            if before is not None:
                turns.enter_context(self._locks.hold(before, self._session.timeouts.turn))
            turns.enter_context(self._turn(volume))
            if _user(connection, volume) != before:
                raise Busy("the volume is being attached or detached")
            yield None if before is None else subject(connection, before)


def _user(connection: Any, volume: VolumeID) -> InstanceID | None:
    domain = attaching.user(connection, names.uuid_text(volume))
    return None if domain is None else InstanceID(domain.UUIDString())


def _require_detached(connection: Any, volume: VolumeID) -> None:
    user = _user(connection, volume)
    if user is not None:
        raise Conflict(f"the volume {volume} is attached to the VM {user}")


def _require_files(pool: PoolSpec) -> None:
    if not pool.has_files:
        what = "has LUNs only" if pool.iscsi is not None else "is of Ceph"
        raise InvalidSpec(f"the pool {pool.name} {what}: no snapshot of a volume can be kept in it")


def _require_snapshots(pool: PoolSpec) -> None:
    _require_files(pool)
    if pool.raw:
        raise InvalidSpec(f"the pool {pool.name} is a volume group of LVM, which keeps no snapshots")


def _create(pool: Any, volume: DesiredVolume) -> None:
    if holdings.find(pool, Kind.VOLUME, volume.volume) is not None:
        return
    _check_size(pool, volume.size)
    source = _source(pool, volume)

    def fill(name: str) -> None:
        if source:
            holdings.copy(pool, name, source, volume.size)
        elif isinstance(pool, GroupPool):
            blocks.write(pool, name, volume.size)
        else:
            volumes.create_disk(pool, name, volume.size)

    holdings.make(pool, Kind.VOLUME, volume.volume, fill)


def _check_size(pool: Any, size: int) -> None:
    """Volumes are thin, so together they may exceed their pool, but one alone that does could never be filled. Raises NoRoom."""
    volumes.check_size(size)
    _state, capacity, _allocation, available = pool.info()
    if size > int(capacity):
        raise NoRoom.of("the pool", size, int(available))


def _source(pool: Any, volume: DesiredVolume) -> str:
    """The libvirt volume to copy; empty if there is none. Raises NotFound."""
    if volume.snapshot is not None and volume.image:
        raise InvalidSpec("a volume is made of an image or of a snapshot, not of both")
    if volume.snapshot is not None:
        return holdings.get(pool, Kind.SNAPSHOT, volume.snapshot).file
    if volume.image and not images.complete(pool, volume.image):
        raise NotFound(f"the image of the volume {volume.volume} is not in the pool {volume.pool.name}")
    return names.image(volume.image) if volume.image else ""


def _grow(pool: Any, volume: VolumeID, size: int, vm: Subject | None) -> None:
    _check_size(pool, size)
    name = holdings.get(pool, Kind.VOLUME, volume).file
    if isinstance(pool, GroupPool):
        _grow_block(pool, volume, name, size, vm)
        return
    rounded = volumes.rounded(size)
    if volumes.capacity(pool, name) < rounded:
        if vm is not None:
            vm.require_no_snapshots("grow a volume")
        if vm is not None and vm.live is not None:
            vm.domain.blockResize(_target(vm, volume), rounded, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            volumes.get(pool, name).resize(rounded, 0)
    if vm is not None:
        _note_size(vm, volume, volumes.capacity(pool, name))


def _grow_block(pool: GroupPool, volume: VolumeID, name: str, size: int, vm: Subject | None) -> None:
    """Libvirt cannot make a logical volume larger: a larger copy takes its place, which no VM may have under its old name."""
    if volumes.capacity(pool, name) >= size:
        return
    if vm is not None:
        raise Conflict("a logical volume of LVM cannot grow while a VM has it; detach it")
    holdings.make(pool, Kind.VOLUME, volume, lambda fresh: holdings.copy(pool, fresh, name, size))


def _grow_image(connection: Any, clusters: Clusters, pool: PoolSpec, volume: VolumeID, size: int, vm: Subject | None) -> None:
    """By QEMU where a VM runs with it."""
    if vm is None or vm.live is None:
        seen = clusters.grow(connection, pool, volume, size)
    else:
        seen, wanted = clusters.size(connection, pool, volume, size), volumes.rounded(size)
        if seen < wanted:
            vm.domain.blockResize(_target(vm, volume), wanted, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
            seen = wanted
    if vm is not None:
        _note_size(vm, volume, seen)


def _follow_lun(volume: VolumeID, size: int, vm: Subject) -> None:
    """QEMU looks how large the LUN has become, and refuses a size that it has not."""
    if vm.live is not None:
        vm.domain.blockResize(_target(vm, volume), size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    _note_size(vm, volume, size)


def _target(vm: Subject, volume: VolumeID) -> str:
    """Device name of the volume in the running VM. Raises Busy if only its next start has it."""
    disk = None if vm.live is None else disks.find(vm.live, volume)
    if disk is None:
        raise Busy("the volume is being attached or detached")
    return observe.device(disk)


def _note_size(vm: Subject, volume: VolumeID, size: int) -> None:
    marked = tuple(replace(other, size=size) if other.volume == volume else other for other in vm.mark.volumes)
    if marked != vm.mark.volumes:
        vm.write_mark(replace(vm.mark, volumes=marked))


def _snapshot(pool: Any, volume: VolumeID, snapshot: DesiredSnapshot, vm: Subject | None, timeout: int) -> None:
    if holdings.find(pool, Kind.SNAPSHOT, snapshot.snapshot) is not None:
        return
    name = holdings.get(pool, Kind.VOLUME, volume).file
    running = vm if vm is not None and vm.live is not None else None
    if snapshot.memory:
        raise InvalidSpec("a snapshot of a volume has no memory")
    if snapshot.quiesce and running is None:
        raise Conflict("the volume is on no VM that runs, so there is no guest to freeze")

    def fill(copy: str) -> None:
        if running is None:
            holdings.copy(pool, copy, name, volumes.capacity(pool, name))
        else:
            _copy_live(pool, volume, running, copy, timeout if snapshot.quiesce else 0)

    holdings.make(pool, Kind.SNAPSHOT, snapshot.snapshot, fill)


def _copy_live(pool: Any, volume: VolumeID, vm: Subject, copy: str, timeout: int) -> None:
    """The copy has what the volume has at the moment when the job begins, so no longer must the guest be frozen."""
    job = backup.Job(vm.domain, _target(vm, volume), holdings.path(pool, copy))
    backup.cancel_leftover(vm.domain)
    if timeout:
        with frozen(vm.domain, timeout):
            job.begin()
    else:
        job.begin()
    job.wait()
    pools.reread(pool)
    volumes.get(pool, copy)


def _restore(connection: Any, pool: Any, volume: VolumeID, snapshot: SnapshotID, token: str) -> None:
    """Whoever copies may have been stopped meanwhile, and somebody else gone on: so all is looked at again before it counts."""
    present = holdings.get(pool, Kind.VOLUME, volume)
    if holdings.brought_by(pool, present, token):
        holdings.drop_older(pool, present)
        return
    _require_detached(connection, volume)
    source = holdings.get(pool, Kind.SNAPSHOT, snapshot).file
    size = max(volumes.capacity(pool, source), volumes.capacity(pool, present.file))

    def fill(name: str) -> None:
        holdings.copy(pool, name, source, size)
        holdings.note_tokens(pool, name, token, present)
        pools.reread(pool)
        _require_detached(connection, volume)
        if holdings.get(pool, Kind.VOLUME, volume) != present:
            raise Busy("the volume was given another content meanwhile")

    holdings.make(pool, Kind.VOLUME, volume, fill)
