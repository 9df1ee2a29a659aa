"""What nobody may touch while Vireo works: VMs and disks of somebody else, and what guests have written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import Census, CensusDisk, CensusVM
from drivers.types import Power
from tests.support.vms import GIB, VMCloud

_ID = "99999999-9999-4999-8999-0000000000{:02}"
_LOOSE = 99
"""Number of the VM that somebody made and deleted: its disk lies in the pool still."""


@dataclass(frozen=True)
class Untouched:
    """Somebody else's VMs, their disks in our pools, and the content of each disk and volume of ours by its identity."""

    vms: tuple[CensusVM, ...] = ()
    disks: tuple[CensusDisk, ...] = ()
    contents: tuple[tuple[str, str], ...] = ()


def move_in(cloud: VMCloud, hosts: int, *, pool: bool = True) -> None:
    """Somebody has a running VM with a disk on each host, in the `pool` or elsewhere, and in the pool a disk that no VM has.

    A pool in which somebody's VM runs stays on its host, even when the Host goes.
    """
    for number in [*range(1, hosts + 1), _LOOSE]:
        directory = "/srv/vms" if pool or number == _LOOSE else "/srv/theirs"
        disk, nic = f"disk={directory}/stranger-{number}.img:{GIB}", f"nic=52:54:00:00:ff:{number:02}/150/10.9.0.{number}"
        target = f"host-{1 if number == _LOOSE else number:05d}/{_ID.format(number)}"
        cloud.datacentre.act(Act.FOREIGN_VM, target, f"name=stranger cpus=1 memory={64 << 20} {disk} {nic}")
        if number == _LOOSE:
            cloud.datacentre.act(Act.DELETE_VM, target)


def write(cloud: VMCloud, *, only: str = "") -> None:
    """Guests write to all that is theirs; or `only` this one does, to its root disk."""
    for vm in cloud.datacentre.vms:
        if vm.owner and only in ("", vm.owner.name):
            cloud.datacentre.act(Act.WRITE_DISK, vm.owner.name, f"root=written by {vm.owner.name}")
    for volume in () if only else cloud.datacentre.census.volumes:
        cloud.datacentre.act(Act.WRITE_VOLUME, f"host-00001/{volume.volume}", f"kept in {volume.name}")


def seen(cloud: VMCloud, *, contents_of: str = "") -> Untouched:
    """How all that is now; of ours only what the VM `contents_of` has, if it is given."""
    census = cloud.datacentre.census
    named = {vm.instance for vm in census.vms if vm.name == f"shop-{contents_of}"}
    ours = _ours(census)
    contents = {f"{disk.instance}/{disk.name}": disk.content for disk in ours.disks if not contents_of or disk.instance in named}
    contents |= {volume.volume: volume.content for volume in ours.volumes if not contents_of}
    return Untouched(
        tuple(vm for vm in census.vms if _strange(vm.instance)),
        tuple(disk for disk in census.disks if _strange(disk.instance)),
        tuple(sorted(contents.items())),
    )


def _ours(census: Census) -> Census:
    vms = tuple(vm for vm in census.vms if not _strange(vm.instance))
    return replace(census, vms=vms, disks=tuple(disk for disk in census.disks if not _strange(disk.instance)))


def _strange(instance: str) -> bool:
    return instance.startswith(_ID[:-5])


def without(cloud: VMCloud) -> Census:
    """All there is but what moved in."""
    return _ours(cloud.datacentre.census)


def touched(cloud: VMCloud, before: Untouched) -> Iterator[str]:
    """What is not as it was, in words. Of ours what is gone does not count, nor does the power of VMs whose host crashed."""
    now = seen(cloud)
    crashed = {act.target for act in cloud.datacentre.acts if act.act is Act.CRASH_HOST}
    vms = tuple(replace(vm, power=Power.OFF) if vm.host in crashed else vm for vm in before.vms)
    if now.vms != vms:
        yield f"somebody's VMs are {now.vms}, were {vms}"
    if now.disks != before.disks:
        yield f"somebody's disks are {now.disks}, were {before.disks}"
    there = dict(now.contents)
    for name, content in before.contents:
        if there.get(name, content) != content:
            yield f"{name} holds {there[name]!r}, written was {content!r}"
