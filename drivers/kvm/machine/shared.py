"""Disks of an adopted VM that others may use too: they must not be removed under them."""

from __future__ import annotations

from typing import Any

import libvirt

from drivers.errors import Conflict
from drivers.kvm import domains, mark
from drivers.kvm.domain.observe import medium
from drivers.kvm.store import pools, volumes
from drivers.kvm.xmltext import parse


def adopted_files(domain: Any) -> list[str]:
    """Files that the VM came with when it was adopted and that lie in a pool of ours."""
    found = mark.read(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    return [disk.path for disk in found.disks if disk.path and disk.pool] if found and found.adopted else []


def removable_files(domain: Any) -> list[str]:
    """Those of them that the VM still has: one that somebody detached was kept for something."""
    has = set(map(medium, parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).iterfind("devices/disk")))
    return [path for path in adopted_files(domain) if path in has]


def require_unshared(connection: Any, domain: Any) -> None:
    """Raises Conflict while another domain of the host uses one of those files, or another disk is layered on it."""
    files = set(adopted_files(domain))
    if not files:
        return
    for other in connection.listAllDomains(0):
        if other.UUIDString() != domain.UUIDString():
            with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
                used = {item.get("file", "") for item in parse(other.XMLDesc(0)).iterfind("devices/disk//source")}
                _refuse(used & files, f"the VM {other.name()}")
    for path in sorted(files):
        volume = pools.volume_at(connection, path)
        if volume is not None:
            pool = volume.storagePoolLookupByVolume()
            pools.reread(pool)
            for name, below in volumes.backing_paths(pool):
                _refuse({below} & files, f"the disk {name}")


def _refuse(shared: set[str], user: str) -> None:
    if shared:
        raise Conflict(f"{user} needs the disk {min(shared)} of the VM, so the VM can't be deleted with its disks")
