"""Define a VM: disks, then the seed, then the domain. What a failed attempt made is removed again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

import libvirt

from drivers.errors import Conflict, DriverError, InvalidSpec, NotFound
from drivers.kvm import domains, names
from drivers.kvm.domain.build import Attached, build
from drivers.kvm.domain.volumes import BUS
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.machine import attaching, seed
from drivers.kvm.mark import MarkedVolume, target
from drivers.kvm.network import filters
from drivers.kvm.store import blocks, images, pools, volumes
from drivers.kvm.store.groups import GroupPool
from drivers.kvm.xmltext import render
from drivers.types import DesiredDisk, DesiredVM, PoolSpec, Seed


def create(connection: Any, vm: DesiredVM, host: HostProfile, remotes: attaching.Remotes) -> None:
    """Define the VM, powered off; an existing one with our mark is left as it is.

    `remotes`: those of its volumes that QEMU reaches by itself.

    Raises Conflict, NotFound for a pool or an image that is not there, InvalidSpec.
    """
    if domains.find_owned(connection, vm.instance) is not None:
        return
    attached = _attached(connection, vm, remotes)
    render(build(vm, host, "/seed", attached))
    _require_free(connection, names.domain(vm.name, vm.instance), vm)
    if host.filters and vm.nics:
        filters.ensure(connection)
    made: list[tuple[Any, str]] = []
    try:
        disks = tuple([_create_disk(connection, vm, disk, made) for disk in vm.disks])
        path = _create_seed(connection, vm, made)
        document = render(build(replace(vm, disks=disks), host, path, attached))
        connection.defineXMLFlags(document, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except BaseException:
        _undo(made)
        raise


def put_seed(connection: Any, pool: Any, name: str, content: Seed) -> str:
    """Upload the seed as the volume `name`; its path."""
    image = seed.image(content)
    volumes.upload_raw(connection, pool, name, BytesIO(image), len(image))
    return volumes.path_of(pool, name)


def _require_free(connection: Any, name: str, vm: DesiredVM) -> None:
    """Names are unique on a host, as UUIDs are."""
    with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
        other = connection.lookupByName(name)
        raise Conflict(f"the name {name} is taken on the host by another VM, {other.UUIDString()}, not {vm.instance}")


def _attached(connection: Any, vm: DesiredVM, remotes: attaching.Remotes) -> list[Attached]:
    """The volumes, each with its medium. Raises NotFound, and Conflict for one that another VM has."""
    found = []
    for index, attachment in enumerate(vm.volumes):
        medium, size = attaching.find(connection, attachment, vm.instance, remotes)
        place = target(index, BUS)
        found.append((MarkedVolume(attachment.name, attachment.volume, attachment.pool.name, place, size), medium))
    return found


def _create_disk(connection: Any, vm: DesiredVM, disk: DesiredDisk, made: list[tuple[Any, str]]) -> DesiredDisk:
    """The disk as it is in the end: one that was there may have another size."""
    pool = pools.get(connection, disk.pool, refresh=disk.pool.raw)
    if isinstance(pool, GroupPool):
        return _create_block(pool, vm, disk, made)
    name = names.disk(vm.instance, disk.name)
    backing = _image_path(pool, disk) if disk.image else ""
    if volumes.find(pool, name) is None and volumes.create_disk(pool, name, disk.size, backing):
        made.append((pool, name))
        return disk
    return replace(disk, size=volumes.capacity(pool, name))


def _create_block(pool: GroupPool, vm: DesiredVM, disk: DesiredDisk, made: list[tuple[Any, str]]) -> DesiredDisk:
    """A whole copy of its image; one that broke off before its marker was made is made anew."""
    name = names.disk(vm.instance, disk.name, names.RAW)
    marker, source = names.marker(name), names.image(disk.image) if disk.image else ""
    if disk.image:
        _image_path(pool, disk)
    if volumes.find(pool, marker) is not None and volumes.find(pool, name) is not None:
        return replace(disk, size=volumes.capacity(pool, name))
    volumes.remove(pool, marker)
    volumes.remove(pool, name)
    made += [(pool, marker), (pool, name)]
    blocks.write(pool, name, disk.size, source)
    volumes.create_empty(pool, marker)
    return disk


def _image_path(pool: Any, disk: DesiredDisk) -> str:
    if not images.complete(pool, disk.image):
        raise NotFound(f"the image of the disk {disk.name} is not in the pool {disk.pool.name}")
    needed = volumes.capacity(pool, names.image(disk.image))
    if disk.size < needed:
        raise InvalidSpec(f"the disk {disk.name} has {disk.size} bytes; its image needs {needed}")
    return volumes.path_of(pool, names.image(disk.image))


def _create_seed(connection: Any, vm: DesiredVM, made: list[tuple[Any, str]]) -> str:
    if vm.seed is None:
        return ""
    pool = pools.get(connection, seed_pool(vm))
    name = names.seed(vm.instance, vm.seed.digest)
    made.append((pool, name))
    return put_seed(connection, pool, name, vm.seed)


def seed_pool(vm: DesiredVM) -> PoolSpec:
    """The seed lives beside the first disk. Raises InvalidSpec for a VM without disks."""
    if not vm.disks:
        raise InvalidSpec("a VM with a cloud-init seed needs a disk: the seed is kept in its pool")
    return vm.disks[0].pool


def _undo(made: list[tuple[Any, str]]) -> None:
    for pool, name in made:
        with suppress(libvirt.libvirtError, DriverError):
            volumes.remove(pool, name)
