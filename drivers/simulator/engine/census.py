"""Everything that exists, ours or not, as an auditor would count it: for tests that look for orphans and duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.types import AttachedVolume, HostID, InstanceID, ObservedNIC, ObservedSnapshot, Power, SnapshotID, VolumeID

from .datacentre import Datacentre
from .interfaces import observed_nics
from .model import VM, Pool
from .observe import observed_snapshots, observed_volumes

__all__ = ["Census", "CensusDisk", "CensusImage", "CensusSnapshot", "CensusVM", "CensusVolume", "take_census"]


@dataclass(frozen=True, slots=True)
class CensusVM:
    """A VM. `owner` is the uid in its owner mark, empty if it isn't ours; `memory` in bytes; `starts` counts power-ons.

    `made` counts how often its identity was defined, on any host, since the server started; `restores` how often it was brought
    back to a snapshot. `foreign` are devices that somebody else gave it.
    """

    host: HostID
    instance: InstanceID
    name: str
    owner: str
    power: Power
    cpus: int
    memory: int
    starts: int
    made: int
    nics: tuple[ObservedNIC, ...]
    volumes: tuple[AttachedVolume, ...]
    snapshots: tuple[ObservedSnapshot, ...]
    restores: int
    foreign: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CensusDisk:
    """A disk of ours in a pool directory; `host` is empty in a shared one; `size` in bytes, `content` stands for what is on it."""

    host: str
    path: str
    instance: InstanceID
    name: str
    size: int
    content: str


@dataclass(frozen=True, slots=True)
class CensusVolume:
    """A volume in a pool directory. `users` are the VMs that have it, as HOST/UUID; `made` counts as of a VM."""

    host: str
    path: str
    volume: VolumeID
    name: str
    owner: str
    size: int
    content: str
    users: tuple[str, ...]
    made: int


@dataclass(frozen=True, slots=True)
class CensusSnapshot:
    """A snapshot of a volume in a pool directory; `made` counts as of a VM."""

    host: str
    path: str
    snapshot: SnapshotID
    name: str
    owner: str
    size: int
    content: str
    made: int


@dataclass(frozen=True, slots=True)
class CensusImage:
    """A template image in a pool directory."""

    host: str
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Census:
    """All there is."""

    vms: tuple[CensusVM, ...]
    disks: tuple[CensusDisk, ...]
    images: tuple[CensusImage, ...]
    volumes: tuple[CensusVolume, ...]
    snapshots: tuple[CensusSnapshot, ...]


def take_census(dc: Datacentre) -> Census:
    """Count a datacentre, whatever the state of its hosts."""
    pools = dc.pools.values()
    return Census(
        tuple(_vm(dc, vm) for host in dc.hosts.values() for vm in host.vms.values()),
        tuple(
            CensusDisk(*pool.key, instance, disk.name, disk.size, disk.content)
            for pool in pools
            for instance, disks in pool.disks.items()
            for disk in disks.values()
        ),
        tuple(CensusImage(*pool.key, name) for pool in pools for name in pool.images),
        tuple(one for pool in pools for one in _volumes(dc, pool)),
        tuple(one for pool in pools for one in _snapshots(dc, pool)),
    )


def _vm(dc: Datacentre, vm: VM) -> CensusVM:
    return CensusVM(
        host=vm.host,
        instance=vm.instance,
        name=vm.name,
        owner=vm.owner.uid if vm.owner else "",
        power=vm.power,
        cpus=vm.cpus,
        memory=vm.memory,
        starts=vm.starts,
        made=dc.made[vm.instance],
        nics=observed_nics(vm, dc.hosts[vm.host]),
        volumes=observed_volumes(vm),
        snapshots=observed_snapshots(vm),
        restores=vm.restores,
        foreign=vm.foreign,
    )


def _volumes(dc: Datacentre, pool: Pool) -> Iterator[CensusVolume]:
    for one in pool.volumes.values():
        users = tuple(f"{vm.host}/{vm.instance}" for vm in dc.attached.get((pool.key, one.volume), ()))
        made = dc.made[one.volume]
        yield CensusVolume(*pool.key, one.volume, one.name, one.owner.uid, one.size, one.content, users, made)


def _snapshots(dc: Datacentre, pool: Pool) -> Iterator[CensusSnapshot]:
    for one in pool.snapshots.values():
        made = dc.made[one.snapshot]
        yield CensusSnapshot(*pool.key, one.snapshot, one.name, one.owner.uid, one.size, one.content, made)
