"""Keeps a datacentre in a file, so that its VMs outlive the server. SQLite gives atomic writes and survives kill -9."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from drivers.simulator.engine.datacentre import Datacentre
from drivers.simulator.engine.model import VM, Disk, Host, Image, Pool, PoolKey, PoolSnapshot, Volume
from drivers.simulator.engine.power import watch_guest
from drivers.types import HostID, InstanceID, SnapshotID, VolumeID

__all__ = ["StateFile"]

_SEPARATOR = "\x1f"
_KINDS: dict[str, Any] = {
    "host": Host,
    "pool": Pool,
    "image": Image,
    "disk": Disk,
    "volume": Volume,
    "snapshot": PoolSnapshot,
    "vm": VM,
}
_OMIT = {"host": {"vms"}, "pool": {"images", "disks", "volumes", "snapshots", "layered", "used"}}
_ONE_TOKEN = b'"restored":'


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[kind])


class StateFile:
    """One row for each host, pool, image, disk, volume, snapshot of a volume, and VM.

    Raises sqlite3.Error if the file can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def is_new(self) -> bool:
        """Whether nothing was ever saved."""
        return self._db.execute("SELECT 1 FROM object LIMIT 1").fetchone() is None

    def save(self, dc: Datacentre) -> None:
        """Take over what changed, all of it or nothing."""
        if not dc.dirty:
            return
        self._db.execute("BEGIN")
        for key in dc.dirty:
            found = _find(dc, key)
            if found is None:
                self._db.execute("DELETE FROM object WHERE key = ?", (_SEPARATOR.join(key),))
            else:
                value = _adapter(key[0]).dump_json(found, exclude=_OMIT.get(key[0]))
                self._db.execute("REPLACE INTO object VALUES (?, ?)", (_SEPARATOR.join(key), value))
        self._db.execute("COMMIT")

    def load(self, dc: Datacentre) -> None:
        """Put what was saved into an empty datacentre. Hosts and pools come first, VMs last: each needs those before it."""
        for kind in _KINDS:
            rows = self._db.execute("SELECT key, value FROM object WHERE key GLOB ?", (kind + _SEPARATOR + "*",))
            for key, value in rows.fetchall():
                _put(dc, kind, key.split(_SEPARATOR)[1:], value)
        dc.dirty.clear()

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _find(dc: Datacentre, key: tuple[str, ...]) -> object | None:
    """The object that a key names, None if it is gone."""
    kind, first, *rest = key
    if kind in ("host", "vm"):
        host = dc.hosts.get(HostID(first))
        return host if kind == "host" or host is None else host.vms.get(InstanceID(rest[0]))
    pool = dc.pools.get(PoolKey(first, rest[0]))
    if kind == "pool" or pool is None:
        return pool
    if kind == "image":
        return pool.images.get(rest[1])
    if kind == "volume":
        return pool.volumes.get(VolumeID(rest[1]))
    if kind == "snapshot":
        return pool.snapshots.get(SnapshotID(rest[1]))
    return pool.disks.get(InstanceID(rest[1]), {}).get(rest[2])


def _put(dc: Datacentre, kind: str, names: list[str], value: bytes) -> None:
    thing = _adapter(kind).validate_json(_with_tokens(value) if kind in ("volume", "vm") and _ONE_TOKEN in value else value)
    if kind == "host":
        dc.hosts[thing.host] = thing
        dc.host_changed(thing)
    elif kind == "pool":
        dc.pools[PoolKey(*names)] = thing
    elif kind == "image":
        pool = dc.pools[PoolKey(*names[:2])]
        pool.images[names[2]] = thing
        pool.used += thing.physical_size
    elif kind == "disk":
        dc.add_disk(InstanceID(names[2]), thing)
    elif kind == "volume":
        dc.add_volume(thing)
    elif kind == "snapshot":
        dc.add_snapshot(thing)
    else:
        _put_vm(dc, thing)


def _with_tokens(value: bytes) -> bytes:
    """A volume or VM as a version before has written it, which kept the token of the last restore alone: it is kept on."""
    found = json.loads(value)
    for thing in (found, *(attached["volume"] for attached in found.get("volumes", {}).values())):
        if token := thing.pop("restored", ""):
            thing["tokens"] = [token]
    return json.dumps(found).encode()


def _put_vm(dc: Datacentre, vm: VM) -> None:
    for name, disk in vm.disks.items():
        # A disk may have been removed under its VM, by a delete on another host that shares the pool.
        pool = dc.pools.get(disk.pool)
        vm.disks[name] = pool.disks.get(vm.instance, {}).get(name, disk) if pool is not None else disk
    for volume, attached in vm.volumes.items():
        pool = dc.pools.get(attached.volume.pool)
        attached.volume = pool.volumes.get(volume, attached.volume) if pool is not None else attached.volume
    dc.add_vm(vm)
    watch_guest(dc, vm)
