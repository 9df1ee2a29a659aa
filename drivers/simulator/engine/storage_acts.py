"""Acts on what is stored: somebody deletes, detaches or writes behind Vireo's back.

Each raises ValueError for an identity that isn't there.
"""

from __future__ import annotations

from drivers.types import DiskLimits, SnapshotID, VolumeID

from .datacentre import Datacentre
from .model import VM, Host, Pool, PoolKey
from .snapshots import drop_snapshot

__all__ = [
    "delete_snapshot",
    "delete_volume",
    "delete_volume_snapshot",
    "detach_volume",
    "set_disk_limits",
    "set_lun",
    "write_disk",
    "write_volume",
]


def delete_volume(dc: Datacentre, host: Host, identity: str, _: str) -> None:
    """Remove a volume's file, whoever has it."""
    dc.remove_volume(_holder(dc, host, identity).volumes[VolumeID(identity)])


def delete_volume_snapshot(dc: Datacentre, host: Host, identity: str, _: str) -> None:
    """Remove the file of a volume's snapshot."""
    dc.remove_snapshot(_holder(dc, host, identity).key, SnapshotID(identity))


def write_volume(dc: Datacentre, host: Host, identity: str, content: str) -> None:
    """Write to a volume."""
    volume = _holder(dc, host, identity).volumes[VolumeID(identity)]
    volume.content = content
    dc.volume_changed(volume)


def _holder(dc: Datacentre, host: Host, identity: str) -> Pool:
    """The pool of a host that holds a volume or a volume's snapshot."""
    for pool in dc.pools.values():
        if pool.key.host in ("", host.host) and (identity in pool.volumes or identity in pool.snapshots):
            return pool
    raise ValueError(identity)


def detach_volume(dc: Datacentre, vm: VM, volume: str) -> None:
    """Take a volume from a VM, snapshots or not."""
    if volume not in vm.volumes:
        raise ValueError(volume)
    dc.detach(vm, VolumeID(volume))


def set_disk_limits(vm: VM, value: str) -> None:
    """Give a disk or volume other limits; `value` is `NAME=READ:WRITE` in bytes in a second, 0 for no limit."""
    name, _, limits = value.partition("=")
    read, _, write = limits.partition(":")
    if name not in vm.disks and all(attached.name != name for attached in vm.volumes.values()):
        raise ValueError(value)
    vm.limits[name] = DiskLimits(int(read), int(write))


def set_lun(dc: Datacentre, target: str, size: str) -> None:
    """`IQN@SERVER:PORT/LUN`: give a target a LUN of so many bytes, in place of the one that it had; empty takes it away."""
    path, _, lun = target.rpartition("/")
    number, room = int(lun), int(size or 0)
    if "@" not in path or number < 0 or room < 0:
        raise ValueError(size)
    key = PoolKey("", path)
    luns = dc.pools.setdefault(key, Pool(key, 0)).luns
    luns.pop(number, None)
    if size:
        luns[number] = room
    dc.dirty.add(("pool", *key))


def delete_snapshot(dc: Datacentre, vm: VM, snapshot: str) -> None:
    """Remove a snapshot of a VM."""
    if snapshot not in vm.snapshots:
        raise ValueError(snapshot)
    drop_snapshot(dc, vm, SnapshotID(snapshot))


def write_disk(dc: Datacentre, vm: VM, value: str) -> None:
    """`NAME=CONTENT`: write to a disk of a VM."""
    name, separator, content = value.partition("=")
    if not separator or name not in vm.disks:
        raise ValueError(value)
    vm.disks[name].content = content
    dc.disk_changed(vm.instance, vm.disks[name])
