"""Remove a VM with everything that was made for it, found by name, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.kvm import domains, names
from drivers.kvm.console import log
from drivers.kvm.domain.observe import form, medium
from drivers.kvm.domain.volumes import identities
from drivers.kvm.machine import shared
from drivers.kvm.store import blocks, pools, volumes
from drivers.kvm.xmltext import parse
from drivers.types import InstanceID, PoolSpec


def delete(connection: Any, instance: InstanceID, specs: Sequence[PoolSpec]) -> None:
    """Remove the domain, then its volumes from the pools of its disks and from `specs`. Raises Conflict if it is not ours."""
    domain = domains.find_owned(connection, instance)
    found = _pools(connection, domain, specs)
    if domain is not None:
        shared.require_unshared(connection, domain)
        domains.cut_power(domain)
        _free_volumes(domain)
        for path in shared.removable_files(domain):  # while the mark still tells of them
            _remove_file(connection, path)
        domains.remove(domain)
    for pool in found:
        _clean(pool, instance)
    log.remove(connection, instance)


def cut_power(connection: Any, instance: InstanceID) -> None:
    """Power the VM off, if it is there. Raises Conflict if it is not ours."""
    domain = domains.find_owned(connection, instance)
    if domain is not None:
        shared.require_unshared(connection, domain)
        domains.cut_power(domain)


def _remove_file(connection: Any, path: str) -> None:
    volume = pools.volume_at(connection, path)
    if volume is not None:
        with domains.suppress_code(libvirt.VIR_ERR_NO_STORAGE_VOL):
            volume.delete(0)


def _free_volumes(domain: Any) -> None:
    """Snapshots of the VM are kept in its volumes too, which stay: take them out. In its own disks they go with the files."""
    disks = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).iterfind("devices/disk")
    if any(True for disk in disks for _ in identities(disk)):
        for snapshot in domain.listAllSnapshots(0):
            with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT):
                snapshot.delete(0)


def _pools(connection: Any, domain: Any | None, specs: Sequence[PoolSpec]) -> list[Any]:
    """Each pool once, its directory read now: another host may have made a volume in it."""
    known = {}
    for spec in (spec for spec in specs if spec.has_files):
        pool = pools.find(connection, spec, refresh=True)
        if pool is not None:
            known[pool.UUIDString()] = pool
    for path in _files(domain):
        with domains.suppress_code(libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
            pool = connection.storageVolLookupByPath(path).storagePoolLookupByVolume()
            known.setdefault(pool.UUIDString(), pool)
    return list(known.values())


def _files(domain: Any | None) -> Iterator[str]:
    if domain is None:
        return
    instance = InstanceID(domain.UUIDString())
    for item in parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).iterfind("devices/disk"):
        path = medium(item)
        if names.belongs(PurePosixPath(path).name, instance, form(item)):
            yield path


def _clean(pool: Any, instance: InstanceID) -> None:
    for name in volumes.names_in(pool):
        if names.belongs(name, instance, blocks.form(pool)):
            volumes.remove(pool, name)
