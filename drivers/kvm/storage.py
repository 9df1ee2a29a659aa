"""Storage pools and template images of a host (drivers.base.Storage)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from drivers.errors import InvalidSpec, Unsupported
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import Role, Session
from drivers.kvm.store import holdings, images, nfs, pools, release, stored
from drivers.kvm.store.rbd import Clusters
from drivers.kvm.store.targets import Targets
from drivers.types import Done, HostID, ImageFile, ObservedPool, PoolSpec, StoredFile

SLOWEST_UPLOAD = 1 << 20
"""Bytes in a second; an upload that is slower does not end."""


class KVMStorage:
    """Directories, NFS exports and volume groups as pools of libvirt's storage driver; iSCSI targets and Ceph pools keep no images.

    An image is uploaded under its own name, then an empty marker volume is made beside it: libvirt cannot rename, and without the
    marker the image does not count. Its content is named by its checksum, so it never changes once it is complete.
    """

    def __init__(self, session: Session, hosts: KVMHosts, targets: Targets, clusters: Clusters) -> None:
        self._session = session
        self._cloud = session.endpoint.cloud
        self._hosts = hosts
        self._targets = targets
        self._clusters = clusters
        self._locks = KeyedLocks()

    def ensure_pool(self, host: HostID, pool: PoolSpec) -> ObservedPool:
        """Define, build and start the pool; its directory is made if need be.

        An iSCSI target and a Ceph pool are only looked at.
        """
        self._hosts.require(host)
        if pool.iscsi is not None:
            return ObservedPool(pool.name, sum(each.size for each in self._targets.read(pool)), 0)
        if pool.rbd is not None:
            return self._ceph(pool)

        def run(connection: Any) -> ObservedPool:
            with self._turn(pool.name):
                found = pools.find(connection, pool, refresh=True) or pools.define(connection, pool, self._cloud)
                if pool.raw:
                    holdings.drop_replaced(found)
                _state, capacity, _allocation, available = found.info()
            return ObservedPool(pool.name, int(capacity), int(available))

        extra = 0.0 if pool.nfs is None else nfs.PATIENCE
        with self._noted(pool):
            return self._session.run(Role.WORK, f"prepare the pool {pool.name}", run, mutating=True, extra=extra)

    def release_pool(self, host: HostID, pool: PoolSpec) -> Done:
        """Stop and undefine what `ensure_pool` defined; where it has to wait for an NFS server, it does so as long as that does."""
        self._hosts.require(host)

        def run(connection: Any) -> None:
            with self._turn(pool.name):
                release.release(connection, pool, self._cloud)

        extra = 0.0 if pool.nfs is None else nfs.PATIENCE
        if pool.has_files:
            self._session.run(Role.WORK, f"let go of the pool {pool.name}", run, mutating=True, extra=extra)
        return Done()

    def list_pools(self, host: HostID) -> tuple[PoolSpec, ...]:
        """Those that carry the UUID that only this cloud gives, or the one from before clouds were told apart."""
        self._hosts.require(host)

        def run(connection: Any) -> tuple[PoolSpec, ...]:
            return tuple(each for _, each in pools.ours(connection, self._cloud))

        return self._session.run(Role.WORK, "list the storage pools", run)

    def _ceph(self, pool: PoolSpec) -> ObservedPool:
        with self._noted(pool):
            action = f"look at the pool {pool.name}"
            return self._session.run(Role.STORAGE, action, lambda connection: self._clusters.ensure(connection, pool))

    def has_image(self, host: HostID, pool: PoolSpec, image: str) -> bool:
        """Whether image and marker are there."""
        self._hosts.require(host)
        if not pool.has_files:
            return False

        def run(connection: Any) -> bool:
            found = pools.find(connection, pool)
            return found is not None and images.complete(found, image)

        return self._session.run(Role.WORK, f"look for an image in the pool {pool.name}", run)

    def put_image(self, host: HostID, pool: PoolSpec, image: ImageFile) -> Done:
        """Upload the image through libvirt; what an interrupted upload left is replaced."""
        self._hosts.require(host)
        if not pool.has_files:
            raise InvalidSpec(f"the pool {pool.name} is for volumes only: no image can be put there")

        def run(connection: Any) -> None:
            with self._turn(f"{pool.name}/{image.name}"), images.opened(image) as content:
                found = pools.get(connection, pool, refresh=True)
                if not images.complete(found, image.name):
                    images.require_room(found, pool, image.physical_size)
                    images.upload(connection, found, image, content)

        extra = image.physical_size / SLOWEST_UPLOAD
        self._session.run(Role.WORK, f"put an image into the pool {pool.name}", run, mutating=True, extra=extra)
        return Done()

    def delete_image(self, host: HostID, pool: PoolSpec, image: str) -> Done:
        """Remove marker, then image, unless a disk in the pool is layered on it."""
        self._hosts.require(host)
        if not pool.has_files:
            return Done()

        def run(connection: Any) -> None:
            with self._turn(f"{pool.name}/{image}"):
                found = pools.find(connection, pool, refresh=True)
                if found is not None:
                    images.remove(found, image)

        self._session.run(Role.WORK, f"remove an image from the pool {pool.name}", run, mutating=True)
        return Done()

    def list_files(self, host: HostID, pool: PoolSpec) -> tuple[StoredFile, ...]:
        """One call for each file, so that it is known which are layered on others."""
        self._hosts.require(host)
        if pool.iscsi is not None:
            return ()
        if pool.rbd is not None:
            action = f"list the images of the pool {pool.name}"
            return self._session.run(Role.STORAGE, action, lambda connection: self._clusters.files(connection, pool))

        def run(connection: Any) -> tuple[StoredFile, ...]:
            return stored.read(pools.get(connection, pool, refresh=True))

        return self._session.run(Role.WORK, f"list the files of the pool {pool.name}", run)

    @contextmanager
    def _noted(self, pool: PoolSpec) -> Iterator[None]:
        """Have the host tell that it lacks NFS, LVM or Ceph, as long as that is so: it is known only by trying."""
        kind = "NFS" if pool.nfs is not None else "RBD" if pool.rbd is not None else "LVM" if pool.volume_group else ""
        try:
            yield
        except Unsupported as error:
            if kind:
                self._hosts.lacks[kind] = f"{kind} pools: {error.message}"
            raise
        self._hosts.lacks.pop(kind, None)

    def _turn(self, name: str) -> AbstractContextManager[None]:
        return self._locks.hold(name, self._session.timeouts.turn)
