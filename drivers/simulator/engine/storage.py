"""Pools and template images."""

from __future__ import annotations

from dataclasses import replace

from drivers.errors import Conflict, InvalidSpec, StorageUnavailable
from drivers.types import Done, HostID, ImageFile, ObservedPool, PoolSpec, Started, StoredFile, StoredKind

from .datacentre import DISK_OVERHEAD, Datacentre, in_place, pool_key, require_room, takes
from .model import VM, Host, Image, Pool, PoolKey
from .observe import observed_pool, pool_contents
from .rules import check_files, check_image, check_image_file, check_pool

__all__ = ["Storage"]


class Storage:
    """Pool and image calls as `drivers.base.Storage` has them."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def ensure_pool(self, host: HostID, pool: PoolSpec, cloud: str) -> ObservedPool:
        """Make or report a pool. Raises InvalidSpec, NotFound, Transient."""
        there = self._dc.host(host)
        check_pool(pool)
        key = pool_key(host, pool)
        if key not in self._dc.pools and pool.iscsi is not None:
            raise StorageUnavailable(f"no iSCSI target answers as {pool.iscsi}", native_code="SIM_TARGET_UNREACHABLE")
        if pool.has_files and not in_place(there.pools, pool):
            self._define(there, pool, cloud)
        if key not in self._dc.pools:
            self._dc.pools[key] = Pool(key, self._dc.settings.pool_capacity)
            self._dc.dirty.add(("pool", *key))
        return observed_pool(pool, self._dc.pools[key])

    def _define(self, host: Host, pool: PoolSpec, cloud: str) -> None:
        """Have the host know the pool; of a target or a Ceph pool hosts keep nothing."""
        if pool.name in host.pools:
            raise InvalidSpec(f"host {host.host!r} has a pool {pool.name!r} in another place", native_code="SIM_POOL_NAME_TAKEN")
        host.pools[pool.name] = replace(pool, shared=False)
        host.makers[pool.name] = cloud
        self._dc.dirty.add(("host", host.host))

    def release_pool(self, host: HostID, pool: PoolSpec, cloud: str) -> Done:
        """Let a host have a pool of that cloud no longer.

        Raises Conflict while a VM there, whoever's, has a disk in it; NotFound, Transient.
        """
        there = self._dc.host(host)
        keys = {pool_key(host, replace(pool, shared=shared)) for shared in (False, True)}
        for name in in_place(there.pools, pool):
            if not _is_of(there, name, cloud):
                continue
            if user := next((vm for vm in there.vms.values() if keys & _pools_of(vm)), None):
                raise Conflict(f"VM {user.instance} has a disk in pool {pool.name!r}", native_code="SIM_POOL_IN_USE")
            del there.pools[name]
            there.makers.pop(name, None)
            self._dc.dirty.add(("host", host))
        return Done()

    def list_pools(self, host: HostID, cloud: str) -> tuple[PoolSpec, ...]:
        """The pools that a host has of that cloud. Raises NotFound, Transient."""
        there = self._dc.host(host)
        return tuple(pool for name, pool in there.pools.items() if _is_of(there, name, cloud))

    def has_image(self, host: HostID, pool: PoolSpec, image: str) -> bool:
        """Whether an image is there."""
        self._dc.host(host)
        found = self._dc.find_pool(host, pool)
        return found is not None and image in found.images

    def put_image(self, host: HostID, pool: PoolSpec, image: ImageFile) -> Done | Started:
        """Put an image; it is not there before the task's end. Raises InvalidSpec, NoRoom, NotFound, Busy, Transient."""
        check_files(pool)
        target = self._dc.pool(host, pool)
        check_image_file(image)
        if image.name in target.images:
            return Done()
        require_room(target, pool.name, image.physical_size)
        subject = (host, *target.key, image.name)
        self._dc.tasks.require_idle(subject)
        return self._dc.run("storage.put_image", subject, lambda: self._store(target, pool.name, image))

    def _store(self, pool: Pool, name: str, image: ImageFile) -> None:
        if image.name in pool.images:
            return
        require_room(pool, name, image.physical_size)
        pool.images[image.name] = Image(image.virtual_size, image.physical_size)
        pool.used += image.physical_size
        self._dc.dirty.add(("image", *pool.key, image.name))

    def delete_image(self, host: HostID, pool: PoolSpec, image: str) -> Done:
        """Remove an image. Raises Conflict while a disk is layered on it."""
        self._dc.host(host)
        check_image(image)
        found = self._dc.find_pool(host, pool)
        if found is None or image not in found.images:
            return Done()
        if found.layered.get(image):
            raise Conflict(f"disks are layered on image {image!r}", native_code="SIM_IMAGE_IN_USE")
        found.used -= found.images.pop(image).physical_size
        self._dc.dirty.add(("image", *found.key, image))
        return Done()

    def list_files(self, host: HostID, pool: PoolSpec) -> tuple[StoredFile, ...]:
        """All that is in a pool. Raises NotFound, Transient."""
        return _files(self._dc.pool(host, pool))


def _is_of(host: Host, pool: str, cloud: str) -> bool:
    return host.makers.get(pool, "") in ("", cloud)


def _pools_of(vm: VM) -> set[PoolKey]:
    return {disk.pool for disk in vm.disks.values()} | {each.volume.pool for each in vm.volumes.values()}


def _files(pool: Pool) -> tuple[StoredFile, ...]:
    contents, path = pool_contents(pool), pool.key.path
    images = [
        StoredFile(StoredKind.IMAGE, name, f"{path}/image-{name}", image.physical_size, pool.layered.get(name, 0) > 0)
        for name, image in pool.images.items()
    ]
    return (
        *images,
        *(StoredFile(StoredKind.DISK, one.instance, one.volume_id, takes(pool, one.size)) for one in contents.disks),
        *(StoredFile(StoredKind.VOLUME, one.volume, one.volume_id, takes(pool, one.size)) for one in contents.volumes),
        *(StoredFile(StoredKind.SNAPSHOT, one.snapshot, one.volume_id, DISK_OVERHEAD) for one in contents.snapshots),
    )
