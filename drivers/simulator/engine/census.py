"""Everything that exists, ours or not, as an auditor would count it: for tests that look for orphans and duplicates."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.types import HostID, InstanceID, ObservedNIC, Power

from .datacentre import Datacentre

__all__ = ["Census", "CensusDisk", "CensusImage", "CensusVM", "take_census"]


@dataclass(frozen=True, slots=True)
class CensusVM:
    """A VM. `owner` is the uid in its owner mark, empty if it isn't ours; `memory` in bytes; `starts` counts power-ons.

    `made` counts how often its identity was defined, on any host, since the server started.
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


@dataclass(frozen=True, slots=True)
class CensusDisk:
    """A disk of ours in a pool directory; `host` is empty in a shared one; `size` in bytes."""

    host: str
    path: str
    instance: InstanceID
    name: str
    size: int


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


def take_census(dc: Datacentre) -> Census:
    """Count a datacentre, whatever the state of its hosts."""
    vms = (vm for host in dc.hosts.values() for vm in host.vms.values())
    return Census(
        tuple(
            CensusVM(
                host=vm.host,
                instance=vm.instance,
                name=vm.name,
                owner=vm.owner.uid if vm.owner else "",
                power=vm.power,
                cpus=vm.cpus,
                memory=vm.memory,
                starts=vm.starts,
                made=dc.made[vm.instance],
                nics=tuple(vm.nics.values()),
            )
            for vm in vms
        ),
        tuple(
            CensusDisk(*key, instance, disk.name, disk.size)
            for key, pool in dc.pools.items()
            for instance, disks in pool.disks.items()
            for disk in disks.values()
        ),
        tuple(CensusImage(*key, name) for key, pool in dc.pools.items() for name in pool.images),
    )
