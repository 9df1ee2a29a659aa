"""Pools of Ceph clusters, as libvirt on a host sees them (type `rbd`, https://libvirt.org/storage.html#rbd-pool).

As with iSCSI the pool in libvirt lasts as long as a call. One that stays would be asked for by whoever lists pools, and read with
the start of libvirtd, and monitors that do not answer would hold up both. What stays is the key: a secret that libvirt has in its
memory only and tells nobody (https://libvirt.org/formatsecret.html). QEMU gets it from there.
"""

from __future__ import annotations

import base64
import binascii
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import libvirt

from drivers.errors import DriverError, InvalidSpec, NoRoom, NotFound, StorageUnavailable, Unsupported
from drivers.kvm import errors, names
from drivers.kvm.domain.volumes import RBDImage
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.store import volumes
from drivers.kvm.xmltext import add, element, parse, render
from drivers.types import (
    DesiredVolume,
    ObservedPool,
    ObservedVolume,
    PoolSpec,
    RBDPool,
    StoredFile,
    StoredKind,
    VolumeAttachment,
    VolumeID,
)

MONITORS = 5
"""Seconds for an answer of a monitor."""

PATIENCE = 10
"""Seconds for an answer of an OSD. libvirt leaves out images of which it learned nothing by then."""

OPTIONS = {"client_mount_timeout": str(MONITORS), "rados_mon_op_timeout": str(MONITORS), "rados_osd_op_timeout": str(PATIENCE)}
"""Of librados (https://docs.ceph.com/en/latest/rados/api/librados/), in seconds; libvirt's own are 30 each."""

_NAMESPACE = "http://libvirt.org/schemas/storagepool/rbd/1.0"
_ABSENT = "missing backend"
_NO_POOL = "Does the pool"
_NOT_LET_IN = "failed to connect to the RADOS monitor"


class Clusters:
    """Looks at pools and works in them, one call at a time in each: libvirt would refuse a second pool of the name.

    `turn` is how many seconds a call waits for another; `clock` gives monotonic seconds.
    """

    def __init__(self, turn: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._turn = turn
        self._clock = clock
        self._locks = KeyedLocks()

    def ensure(self, connection: Any, pool: PoolSpec) -> ObservedPool:
        """Take over the key, if one is given, and look at the pool. Raises InvalidSpec, StorageUnavailable, Unsupported."""
        rbd = _checked(pool)
        if rbd.key:
            _give_key(connection, pool.name, rbd)
        with self._opened(connection, pool) as opened:
            _state, capacity, _allocation, available = opened.info()
            return ObservedPool(pool.name, int(capacity), int(available))

    def contents(self, connection: Any, pool: PoolSpec) -> tuple[ObservedVolume, ...]:
        """The volumes there. Raises StorageUnavailable also if not all could be asked for."""
        with self._opened(connection, pool) as opened:
            return tuple(ObservedVolume(volume, str(each.path()), int(each.info()[1])) for volume, each in _ours(opened))

    def files(self, connection: Any, pool: PoolSpec) -> tuple[StoredFile, ...]:
        """The same, with the most that each takes."""
        with self._opened(connection, pool) as opened:
            found = [(volume, str(each.path()), int(each.info()[2])) for volume, each in _ours(opened)]
        return tuple(StoredFile(StoredKind.VOLUME, volume, path, allocated) for volume, path, allocated in found)

    def create(self, connection: Any, volume: DesiredVolume) -> None:
        """An empty volume; one that is there is left as it is. Raises InvalidSpec for one with a content, NoRoom."""
        if volume.image or volume.snapshot is not None:
            raise InvalidSpec(
                f"the pool {volume.pool.name} is of Ceph: volumes there are made empty, not of an image or a snapshot"
            )
        name = names.rbd_image(volume.volume)
        volumes.check_size(volume.size)
        with self._opened(connection, volume.pool) as opened:
            if volumes.find(opened, name) is None:
                _check_room(opened, volume.size)
                opened.createXML(_description(name, volumes.rounded(volume.size)), 0)

    def grow(self, connection: Any, pool: PoolSpec, volume: VolumeID, size: int) -> int:
        """Grow the volume, which no running VM has, and return its size in bytes. Raises NotFound, NoRoom."""
        volumes.check_size(size)
        with self._opened(connection, pool) as opened:
            found = _get(opened, volume)
            present, wanted = int(found.info()[1]), volumes.rounded(size)
            if present < wanted:
                _check_room(opened, size)
                found.resize(wanted, 0)
            return max(present, wanted)

    def size(self, connection: Any, pool: PoolSpec, volume: VolumeID, size: int) -> int:
        """How many bytes the volume has. Raises NotFound, and NoRoom if it could not grow to `size`."""
        volumes.check_size(size)
        with self._opened(connection, pool) as opened:
            present = int(_get(opened, volume).info()[1])
            if present < size:
                _check_room(opened, size)
            return present

    def delete(self, connection: Any, pool: PoolSpec, volume: VolumeID) -> None:
        """Absent is success. Ceph refuses while a QEMU anywhere has it open."""
        with self._opened(connection, pool) as opened:
            volumes.remove(opened, names.rbd_image(volume))

    def find(self, connection: Any, attachment: VolumeAttachment) -> tuple[RBDImage, int]:
        """The volume for a VM, and its size. Looked for now: a guest stands still while QEMU waits for one. Raises NotFound."""
        rbd = _checked(attachment.pool)
        with self._opened(connection, attachment.pool) as opened:
            size = int(_get(opened, attachment.volume).info()[1])
        return RBDImage(rbd, names.rbd_image(attachment.volume), names.secret(attachment.pool.name)), size

    @contextmanager
    def _opened(self, connection: Any, pool: PoolSpec) -> Iterator[Any]:
        """A libvirt pool with the images of now, which is gone afterwards."""
        rbd = _checked(pool)
        with self._locks.hold(pool.name, self._turn):
            opened = self._read(connection, pool, rbd)
            try:
                yield opened
            finally:
                with suppress(libvirt.libvirtError):
                    opened.destroy()

    def _read(self, connection: Any, pool: PoolSpec, rbd: RBDPool) -> Any:
        began = self._clock()
        try:
            opened = _start(connection, pool, rbd)
        except libvirt.libvirtError as error:
            if not connection.isAlive():
                raise
            raise _explained(error, rbd, self._clock() - began) from None
        if self._clock() - began >= PATIENCE:
            with suppress(libvirt.libvirtError):
                opened.destroy()
            raise StorageUnavailable(f"the Ceph pool {rbd} did not answer the host for all its images within {PATIENCE} seconds")
        return opened


def _start(connection: Any, pool: PoolSpec, rbd: RBDPool) -> Any:
    """Libvirt reads the images when it starts the pool. One of the name is what a call left that did not end."""
    with suppress(libvirt.libvirtError):
        left = connection.storagePoolLookupByName(names.pool(pool.name))
        if parse(left.XMLDesc(0)).get("type") != "rbd" or left.isPersistent():
            raise InvalidSpec(f"the pool {pool.name} exists on the host as something else: {left.name()}")
        left.destroy()
    return connection.storagePoolCreateXML(render(_pool(pool, rbd)), 0)


def _pool(spec: PoolSpec, rbd: RBDPool) -> ET.Element:
    root = ET.Element("pool", {"type": "rbd"})
    add(root, "name", text=names.pool(spec.name))
    source = add(root, "source")
    add(source, "name", text=rbd.pool)
    for monitor in rbd.monitors:
        add(source, "host", names.monitor(monitor))
    auth = add(source, "auth", {"type": "ceph", "username": rbd.user})
    add(auth, "secret", {"uuid": names.secret(spec.name)})
    options = add(root, f"{{{_NAMESPACE}}}config_opts")
    for name, value in OPTIONS.items():
        add(options, f"{{{_NAMESPACE}}}option", {"name": name, "value": value})
    return root


def _give_key(connection: Any, name: str, rbd: RBDPool) -> None:
    try:
        key = base64.b64decode(rbd.key, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSpec(f"the key of the Ceph user {rbd.user} is not base64") from None
    root = element("secret", {"ephemeral": "yes", "private": "yes"})
    add(root, "uuid", text=names.secret(name))
    add(add(root, "usage", {"type": "ceph"}), "name", text=names.pool(name))
    connection.secretDefineXML(render(root), 0).setValue(key, 0)


def _explained(error: libvirt.libvirtError, rbd: RBDPool, seconds: float) -> DriverError:
    """What an error of opening a pool means, after so many seconds. The errno that libvirt names is of something else."""
    text, native = error.get_error_message() or "libvirt gave no reason", errors.native(error)
    if errors.code(error) == libvirt.VIR_ERR_NO_SUPPORT or _ABSENT in text:
        return Unsupported("the host's libvirt has no storage backend rbd", native_code=native)
    if errors.code(error) == libvirt.VIR_ERR_NO_SECRET:
        return StorageUnavailable("the host has not got the Ceph user's key yet", native_code=native)
    if seconds >= MONITORS:
        message = f"the Ceph pool {rbd} does not answer the host"
    elif _NOT_LET_IN in text:
        message = f"the Ceph cluster of the pool {rbd} does not let the user {rbd.user} in, or not with that key"
    elif _NO_POOL in text:
        message = f"the Ceph cluster has no pool {rbd.pool}, or the user {rbd.user} may not use it"
    else:
        message = f"the Ceph pool {rbd} cannot be used as {rbd.user}: {errors.redact(text)}"
    return StorageUnavailable(message, native_code=native)


def _checked(pool: PoolSpec) -> RBDPool:
    """The pool in Ceph. Raises InvalidSpec for what can be none."""
    if pool.rbd is None:
        raise InvalidSpec(f"the pool {pool.name} is not one of a Ceph cluster")
    return names.rbd(pool.rbd)


def _ours(opened: Any) -> Iterator[tuple[VolumeID, Any]]:
    for each in opened.listAllVolumes(0):
        volume = names.rbd_volume(str(each.name()))
        if volume is not None:
            yield volume, each


def _get(opened: Any, volume: VolumeID) -> Any:
    found = volumes.find(opened, names.rbd_image(volume))
    if found is None:
        raise NotFound(f"the volume {volume} is not in its pool")
    return found


def _check_room(opened: Any, size: int) -> None:
    """Volumes are thin, so together they may exceed the cluster, but one alone that does could never be filled."""
    _state, capacity, _allocation, available = opened.info()
    if size > int(capacity) or not int(available):
        raise NoRoom.of("the Ceph cluster", size, int(available))


def _description(name: str, size: int) -> str:
    root = element("volume")
    add(root, "name", text=name)
    add(root, "capacity", {"unit": "bytes"}, str(size))
    add(add(root, "target"), "format", {"type": "raw"})
    return render(root)
