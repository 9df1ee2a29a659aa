"""NFS exports as pools of libvirt (type `netfs`, https://libvirt.org/storage.html): mounted by libvirt, and never taken on trust.

libvirt looks at the kernel's mounts when it starts a pool. Later it takes the pool for mounted, whatever became of that, and would
fill the directory below. So an export carries a marker: where that is not seen, the pool is first started anew.
"""

from __future__ import annotations

import errno
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from drivers.errors import Conflict, DriverError, StorageUnavailable, Unsupported
from drivers.kvm import errors, names
from drivers.kvm.store import volumes
from drivers.kvm.xmltext import add
from drivers.types import NFSExport, PoolSpec

MARKER = "vireo-nfs.mounted"

PATIENCE = 300.0
"""Seconds for a look beyond those of any call: where the server is away, umount(8) asks it some ten times before it gives up."""

OPTIONS = ("soft", "timeo=50", "retrans=2", "retry=0")
"""As nfs(5) has them: what the server does not answer in 5 s, asked again twice, fails after 15 s, and a mount is tried once.

With `hard`, libvirt would wait for the server as long as it takes, with all other pools of the host. No guest loses anything by
`soft`: see `drivers.kvm.domain.disks.driver`.
"""

_NAMESPACE = "http://libvirt.org/schemas/storagepool/fs/1.0"
_SILENT = frozenset({errno.EIO, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTDOWN})
_IN_USE = " is busy"
_STALE = "or has forgotten what it exported: VMs with disks there need a restart then"
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_CLIENT = {
    "for several filesystems": "it has no mount.nfs: install nfs-common (Debian) or nfs-utils (Rocky)",
    "unknown filesystem type": "its kernel has no NFS client",
    "No such device": "its kernel has no NFS client",
    "missing backend": "its libvirt has no storage driver for mounted file systems",
}
"""What mount(8), mount.nfs(8) and libvirt say on a host that cannot mount any export, and what that means."""


def describe(spec: PoolSpec, nfs: NFSExport, cloud: str) -> ET.Element:
    """The pool's document, with the mark of the cloud.

    It is not for libvirt to start by itself: a server that is away would hold up the start of libvirtd.
    """
    root = ET.Element("pool", {"type": "netfs"})
    native = names.pool(spec.name)
    add(root, "name", text=native)
    add(root, "uuid", text=names.pool_uuid(native, cloud))
    origin = add(root, "source")
    add(origin, "host", {"name": nfs.server})
    add(origin, "dir", {"path": nfs.export})
    add(origin, "format", {"type": "nfs"})
    add(add(root, "target"), "path", text=names.pool_path(spec.path))
    options = add(root, f"{{{_NAMESPACE}}}mount_opts")
    for option in OPTIONS:
        add(options, f"{{{_NAMESPACE}}}option", {"name": option})
    return root


def settle(pool: Any, nfs: NFSExport) -> None:
    """Have the export mounted where it belongs, and its files read anew. Raises StorageUnavailable, Unsupported."""
    with told(pool.connect(), nfs):
        fresh = _read_or_start(pool)
        if volumes.find(pool, MARKER) is not None:
            return
        if not fresh:
            with suppress(libvirt.libvirtError):  # a mount that is there and in use stays
                pool.destroy()
            _read_or_start(pool)
        if volumes.find(pool, MARKER) is None:
            _mark(pool)


def let_go(pool: Any, nfs: NFSExport) -> None:
    """Have the export unmounted, and the pool stopped. Raises Conflict while the host uses the mount, StorageUnavailable."""
    with told(pool.connect(), nfs):
        if not pool.isActive():
            with suppress(
                libvirt.libvirtError
            ):  # libvirt stopped it over an error, and finds its mount again where that has stayed
                pool.create(0)
        try:
            if pool.isActive():
                pool.destroy()
        except libvirt.libvirtError as error:
            if _IN_USE in (error.get_error_message() or ""):
                raise Conflict(f"the host still uses the mount of {nfs}", native_code=errors.native(error)) from None
            raise


def _read_or_start(pool: Any) -> bool:
    """Whether the pool was started, which is when libvirt makes sure of the mount. It stops one that cannot be read."""
    active = pool.isActive()
    try:
        pool.refresh(0) if active else pool.create(0)
    except libvirt.libvirtError:
        if not pool.isActive():
            raise
    return not active


def _mark(pool: Any) -> None:
    try:
        volumes.create_empty(pool, MARKER)
    except libvirt.libvirtError:
        pool.refresh(0)
        if volumes.find(pool, MARKER) is None:  # else another host was quicker
            raise


@contextmanager
def told(connection: Any, nfs: NFSExport) -> Iterator[None]:
    """Have libvirt's errors say what is wrong with the export; those of a lost connection pass."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not connection.isAlive():
            raise
        raise explain(error, nfs) from None


def explain(error: libvirt.libvirtError, nfs: NFSExport) -> DriverError:
    """What an error of mounting, reading or marking an export means."""
    text = error.get_error_message() or "libvirt gave no reason"
    for sign, meaning in _NO_CLIENT.items():
        if sign in text:
            return Unsupported(f"the host cannot mount NFS: {meaning}", native_code=errors.native(error))
    number = errors.system_errno(error)
    if number in _SILENT:
        message = f"the NFS server {nfs.server} does not answer"
    elif number == errno.ESTALE:  # also what is left of a name when the server does not answer for it
        message = f"the NFS server {nfs.server} does not answer, {_STALE}"
    elif number in _FORBIDDEN:
        message = f"root of the host may not write to the NFS export {nfs}: see rw and no_root_squash in exports(5)"
    else:
        message = f"the NFS export {nfs} cannot be used: {errors.redact(_complaint(text))}"
    return StorageUnavailable(message, native_code=errors.native(error))


def _complaint(text: str) -> str:
    """What mount.nfs(8) itself said, without the command line that libvirt puts before it."""
    return text.rpartition("unexpected exit status")[2].partition(":")[2].strip() or text
