"""A host lets go of pools that we defined there; their files stay. Runs on the caller's connection."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from drivers.errors import Conflict
from drivers.kvm import domains, names
from drivers.kvm.store import groups, nfs, pools
from drivers.kvm.xmltext import parse
from drivers.types import PoolSpec


def release(connection: Any, pool: PoolSpec, cloud: str) -> None:
    """Stop and undefine what this cloud defined in the pool's place, under whatever name; a pool that is not there is success.

    Raises Conflict while a domain, ours or not, has a disk in it, the mount is in use, or its volume group has volumes;
    StorageUnavailable.
    """
    for found, known in pools.ours(connection, cloud):
        if _is_part(known, pool):
            _require_unused(connection, str(found.name()), known)
            with pools.missing_is_fine():
                _let_go(connection, found, known)


def _is_part(known: PoolSpec, pool: PoolSpec) -> bool:
    """Whether a libvirt pool is the directory, the mount or the volume group of the pool."""
    if known.volume_group:
        return known.volume_group == pool.volume_group
    return (known.path, known.nfs) == (pool.path, pool.nfs)


def _let_go(connection: Any, found: Any, pool: PoolSpec) -> None:
    if pool.volume_group:
        groups.let_go(connection, found, pool.volume_group)
        return
    if pool.nfs is not None:
        nfs.let_go(found, pool.nfs)
    elif found.isActive():
        found.destroy()  # what libvirt calls to stop a pool: it unlinks nothing
    found.undefine()


def _require_unused(connection: Any, native: str, pool: PoolSpec) -> None:
    path = pool.path or names.device(pool.volume_group, "").rstrip("/")
    for domain in connection.listAllDomains(0):
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
            documents = (parse(domain.XMLDesc(flags)) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE))
            if any(_uses(document, native, path) for document in documents):
                raise Conflict(f"the VM {domain.name()} has a disk in the pool {pool.name} of the host")


def _uses(document: ET.Element, native: str, path: str) -> bool:
    """Whether a domain has a file, a directory or a device of the pool, names the pool, or is layered on what is there."""
    sources = list(document.iterfind("devices//source"))
    files = [source.get("file") or source.get("dir") or source.get("dev") or "" for source in sources]
    named = any(source.get("pool") == native for source in sources)
    return named or any(file == path or file.startswith(f"{path}/") for file in files)
