"""The names by which a fault may mean a call: those of everything that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drivers.adoption import Adoption
from drivers.types import (
    AttachVolume,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachVolume,
    HostID,
    ImageFile,
    InstanceID,
    PoolSpec,
    SnapshotID,
    VolumeID,
)

from .datacentre import Datacentre, pool_key

__all__ = ["names_of_call"]


def names_of_call(dc: Datacentre, args: tuple[Any, ...]) -> list[str]:
    """Host, identities, names, owners' names, pools and images of the arguments and of what exists under them."""
    texts = [arg for arg in args if isinstance(arg, str)]
    pools = [arg for arg in args if isinstance(arg, PoolSpec)]
    return [
        *(name for arg in args for name in _described(arg)),
        *texts,
        *(name for text in texts for name in _vm(dc, text)),
        *(name for pool in pools for text in texts[1:] for name in _stored(dc, HostID(texts[0]), pool, text)),
        *(name for vm in texts for text in texts for name in _snapshot(dc, InstanceID(vm), SnapshotID(text))),
    ]


def _described(arg: object) -> Iterator[str]:
    match arg:
        case DesiredVM():
            yield from (arg.instance, arg.name, arg.owner.name)
        case DesiredVolume():
            yield from (arg.volume, arg.name, arg.owner.name, arg.pool.name)
        case DesiredSnapshot():
            yield from (arg.snapshot, arg.name, arg.owner.name)
        case Adoption():
            yield arg.owner.name
        case PoolSpec() | ImageFile():
            yield arg.name
        case AttachVolume():
            yield from (arg.attachment.volume, arg.attachment.pool.name)
        case DetachVolume():
            yield arg.volume
        case tuple():
            for one in arg:
                yield from _described(one)


def _vm(dc: Datacentre, text: str) -> Iterator[str]:
    for host in dc.places.get(InstanceID(text), ()):
        vm = dc.hosts[host].vms[InstanceID(text)]
        yield from (vm.name, vm.owner.name if vm.owner else "")


def _stored(dc: Datacentre, host: HostID, pool: PoolSpec, text: str) -> Iterator[str]:
    found = dc.pools.get(pool_key(host, pool))
    if found is None:
        return
    for one in (found.volumes.get(VolumeID(text)), found.snapshots.get(SnapshotID(text))):
        if one is not None:
            yield from (one.name, one.owner.name)


def _snapshot(dc: Datacentre, instance: InstanceID, snapshot: SnapshotID) -> Iterator[str]:
    for host in dc.places.get(instance, ()):
        if (found := dc.hosts[host].vms[instance].snapshots.get(snapshot)) is not None:
            yield from (found.name, found.owner.name)
