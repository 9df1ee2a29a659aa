"""Directory pools of one host. Runs on the caller's connection."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from drivers.errors import InvalidSpec, NotFound
from drivers.kvm import errors, names
from drivers.kvm.store import volumes
from drivers.kvm.xmltext import add, element, parse, render
from drivers.types import PoolSpec

PROBE = ".vireo-probe"
_UNUSABLE = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EINVAL,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)


def find(connection: Any, pool: PoolSpec, *, refresh: bool = False) -> Any | None:
    """The running libvirt pool for `pool`, or None. It is ours by name, or somebody's in the same directory.

    With `refresh`, or when other hosts write to it too, libvirt reads the directory again.
    Raises InvalidSpec if our name is used for another directory.
    """
    path = names.pool_path(pool.path)
    found = _by_name(connection, names.pool(pool.name)) or _by_path(connection, path)
    if found is None:
        return None
    if _path(found) != path:
        raise InvalidSpec(f"the pool {pool.name} exists on the host in another directory")
    if not found.isActive():
        _activate(found)
    elif refresh or pool.shared:
        reread(found)
    return found


def get(connection: Any, pool: PoolSpec, *, refresh: bool = False) -> Any:
    """Like `find`, but raises NotFound."""
    found = find(connection, pool, refresh=refresh)
    if found is None:
        raise NotFound(f"the pool {pool.name} is not on the host yet")
    return found


def volume_at(connection: Any, path: str) -> Any | None:
    """The volume with that path, in whatever pool; None if there is none. What libvirt does not know yet is looked for.

    A file that somebody put into a pool's directory is known to libvirt only when it reads that again.
    """
    for again in (True, False):
        with _missing_is_fine():
            return connection.storageVolLookupByPath(path)
        if again:
            with _missing_is_fine():
                reread(connection.storagePoolLookupByTargetPath(path.rpartition("/")[0]))
    return None


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    """Pass over a volume or a pool that is not there."""
    try:
        yield
    except libvirt.libvirtError as error:
        if errors.code(error) not in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
            raise


def define(connection: Any, pool: PoolSpec) -> Any:
    """Make the pool, its directory included, and start it now and with the host. Nothing is left if that fails.

    Raises InvalidSpec if the directory cannot be a pool.
    """
    root = element("pool", {"type": "dir"})
    add(root, "name", text=names.pool(pool.name))
    add(add(root, "target"), "path", text=names.pool_path(pool.path))
    made = connection.storagePoolDefineXML(render(root), 0)
    try:
        made.build(0)
        made.create(0)
        made.setAutostart(1)
        _probe(made)
    except BaseException as error:
        _discard(made)
        if isinstance(error, libvirt.libvirtError) and errors.system_errno(error) in _UNUSABLE:
            text = errors.redact(error.get_error_message() or "")
            raise InvalidSpec(
                f"the pool {pool.name} cannot be in that directory: {text}", native_code=errors.native(error)
            ) from None
        raise
    return made


def reread(pool: Any) -> None:
    """Read the directory again; while another call works in the pool libvirt refuses, and then knows what that call does."""
    with suppress(libvirt.libvirtError):
        pool.refresh(0)


def _probe(pool: Any) -> None:
    """Write a file, because libvirt starts a pool on a read-only directory too."""
    volumes.create_empty(pool, PROBE)
    volumes.remove(pool, PROBE)


def _discard(pool: Any) -> None:
    with suppress(libvirt.libvirtError):
        pool.destroy()
    with suppress(libvirt.libvirtError):
        pool.undefine()


def _activate(pool: Any) -> None:
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        if errors.code(error) != libvirt.VIR_ERR_OPERATION_INVALID or not pool.isActive():
            raise


def _by_name(connection: Any, name: str) -> Any | None:
    try:
        return connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return None
        raise


def _by_path(connection: Any, path: str) -> Any | None:
    for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_DIR):
        with suppress(libvirt.libvirtError):
            if _path(pool) == path:
                return pool
    return None


def _path(pool: Any) -> str:
    return parse(pool.XMLDesc(0)).findtext("target/path", "").rstrip("/")
