"""Pools of one host: directories, NFS exports that libvirt mounts, volume groups. Runs on the caller's connection."""

from __future__ import annotations

import errno
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import libvirt

from drivers.errors import InvalidSpec, NotFound
from drivers.kvm import errors, names
from drivers.kvm.store import groups, nfs, volumes
from drivers.kvm.store.groups import GroupPool
from drivers.kvm.xmltext import add, element, parse, render
from drivers.types import NFSExport, PoolSpec

PROBE = ".vireo-probe"
_KINDS = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_DIR | libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_NETFS
_WITH_GROUPS = _KINDS | libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL
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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the files of a pool are: a directory of the host, or the export that is mounted there."""

    path: str
    nfs: NFSExport | None


def find(connection: Any, pool: PoolSpec, *, refresh: bool = False) -> Any | None:
    """The running libvirt pool for `pool`, or None. It is ours by name, or somebody's in the same place.

    With `refresh`, or when other hosts write to it too, libvirt reads the directory again. An NFS export is mounted if need be.
    Raises InvalidSpec if our name is used for another place, maybe by another cloud; StorageUnavailable, Unsupported for an export
    or a volume group.
    """
    if pool.volume_group:
        return _find_group(connection, pool, refresh=refresh)
    wanted = _wanted(pool)
    found = _by_name(connection, names.pool(pool.name)) or _by_place(connection, wanted)
    if found is None:
        return None
    if _place(found) != wanted:
        raise InvalidSpec(
            f"the host has a pool {found.name()} in another directory, or of another export; "
            "if another cloud or its administrator made that, choose another name"
        )
    if pool.nfs is not None:
        nfs.settle(found, pool.nfs)
    elif not found.isActive():
        _activate(found)
    elif refresh or pool.shared:
        reread(found)
    return found


def _find_group(connection: Any, pool: PoolSpec, *, refresh: bool) -> GroupPool | None:
    group = groups.find(connection, pool, refresh=refresh)
    files = None if group is None else find(connection, replace(pool, volume_group=""), refresh=refresh)
    return None if files is None else GroupPool(files, group, pool.volume_group)


def get(connection: Any, pool: PoolSpec, *, refresh: bool = False) -> Any:
    """Like `find`, but raises NotFound."""
    found = find(connection, pool, refresh=refresh)
    if found is None:
        raise NotFound(f"the pool {pool.name} is not on the host yet")
    return found


def ours(connection: Any, cloud: str) -> list[tuple[Any, PoolSpec]]:
    """The libvirt pools that `define` made for this cloud, running or not, each with what it was made for; volume groups last."""
    found = []
    for pool in connection.listAllStoragePools(_WITH_GROUPS):
        with missing_is_fine():
            native = str(pool.name())
            name = names.pool_of(native, str(pool.UUIDString()), cloud)
            if name is not None:
                found.append((pool, _spec(pool, name, names.volume_group_of(native))))
    return sorted(found, key=lambda each: each[1].volume_group != "")


def _spec(pool: Any, name: str, group: str | None) -> PoolSpec:
    if group is not None:
        return PoolSpec(name, "", volume_group=group)
    place = _place(pool)
    return PoolSpec(name, place.path, nfs=place.nfs)


def volume_at(connection: Any, path: str) -> Any | None:
    """The volume with that path, in whatever pool; None if there is none. What libvirt does not know yet is looked for.

    A file that somebody put into a pool's directory is known to libvirt only when it reads that again.
    """
    for again in (True, False):
        with missing_is_fine():
            return connection.storageVolLookupByPath(path)
        if again:
            with missing_is_fine():
                reread(connection.storagePoolLookupByTargetPath(path.rpartition("/")[0]))
    return None


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Pass over a volume or a pool that is not there."""
    try:
        yield
    except libvirt.libvirtError as error:
        if errors.code(error) not in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
            raise


def define(connection: Any, pool: PoolSpec, cloud: str) -> Any:
    """Make the pool, its directory included, and start it; a directory also with the host. Nothing is left if that fails.

    It carries the mark of the cloud. Raises InvalidSpec if the directory cannot be a pool; StorageUnavailable, Unsupported for an
    export or a volume group.
    """
    if pool.volume_group:
        return _define_group(connection, pool, cloud)
    made = _define(connection, pool, cloud)
    try:
        made.build(0)
        if pool.nfs is not None:
            nfs.settle(made, pool.nfs)
        else:
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


def _define_group(connection: Any, pool: PoolSpec, cloud: str) -> GroupPool:
    """The group first: without it no directory is made."""
    plain = replace(pool, volume_group="")
    _wanted(plain)
    group = groups.ensure(connection, pool, cloud)
    return GroupPool(find(connection, plain) or define(connection, plain, cloud), group, pool.volume_group)


def _define(connection: Any, pool: PoolSpec, cloud: str) -> Any:
    place, native = _wanted(pool), names.pool(pool.name)
    if place.nfs is not None:
        with nfs.told(connection, place.nfs):
            return connection.storagePoolDefineXML(render(nfs.describe(pool, place.nfs, cloud)), 0)
    root = element("pool", {"type": "dir"})
    add(root, "name", text=native)
    add(root, "uuid", text=names.pool_uuid(native, cloud))
    add(add(root, "target"), "path", text=place.path)
    return connection.storagePoolDefineXML(render(root), 0)


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


def _by_place(connection: Any, place: _Place) -> Any | None:
    for pool in connection.listAllStoragePools(_KINDS):
        with suppress(libvirt.libvirtError):
            if _place(pool) == place:
                return pool
    return None


def _wanted(pool: PoolSpec) -> _Place:
    """Raises InvalidSpec for a path or an export that is none."""
    return _Place(names.pool_path(pool.path), None if pool.nfs is None else names.export(pool.nfs))


def _place(pool: Any) -> _Place:
    document = parse(pool.XMLDesc(0))
    path = document.findtext("target/path", "").rstrip("/")
    return _Place(path, _export(document) if document.get("type") == "netfs" else None)


def _export(document: ET.Element) -> NFSExport:
    host, directory = document.find("source/host"), document.find("source/dir")
    return NFSExport("" if host is None else host.get("name", ""), "" if directory is None else directory.get("path", ""))
