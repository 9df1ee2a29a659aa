"""Files in pools that Vireo made while nobody declares them: found at leisure, told, and never touched."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Sequence

from controller.inventory import Inventory
from controller.ipam import snapshot_id
from controller.runtime.context import Context
from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.instances import instance_of, to_adopt
from controller.shared.library import image_name
from controller.shared.lookups import NOWHERE, snapshots_by_pool, vms_by_zone, volumes_by_id
from controller.shared.translate import pool_spec
from crds.fields import Quantity
from crds.v1alpha1 import StoragePool, Template
from crds.v1alpha1.storagepool import OrphanedFile, OrphanedFiles
from drivers.errors import DriverError
from drivers.types import InstanceID, StoredFile, StoredKind

PACE = 540.0
"""Seconds between two looks at a pool, at least; what is told was there at both."""

_MOST = 100
_LONGEST = 1024
_BATCH = 100


class Orphans:
    """What is in the pools without an object, as last found. A look costs the host a call for each file."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._looked: dict[str, float] = {}
        self._before: dict[str, frozenset[str]] = {}

    async def look(self, ctx: Context[StoragePool], hosts: Sequence[str], ready: Collection[str]) -> None:
        """Tell in the pool's status what nobody declares, if it is time to look; `hosts` are those of its scope.

        While VMs of a host are not known, nothing can be said of the disks, and what was told stays.
        """
        name, now = ctx.key.name, ctx.clock.monotonic()
        link = self._inventory.link(min(ready)) if ready else None
        if link is None or now - self._looked.get(name, -math.inf) < PACE or not self._observed(hosts):
            return
        self._looked[name] = now
        try:
            files = await link.list_files(pool_spec(ctx.object))
        except DriverError as error:
            ctx.log.info("files of a pool not listed", host=link.name, reason=error.reason, error=str(error))
            return
        lost = await self._undeclared(ctx, files)
        before = self._before.get(name)
        self._before[name] = frozenset(file.path for file in lost)
        if before is not None:
            _tell(ctx, [file for file in lost if file.path in before])

    def forget(self, pool: str) -> None:
        """The pool is gone."""
        self._looked.pop(pool, None)
        self._before.pop(pool, None)

    def _observed(self, hosts: Iterable[str]) -> bool:
        links = [self._inventory.link(host) for host in hosts]
        return all(link is not None and link.observed for link in links)

    async def _undeclared(self, ctx: Context[StoragePool], files: Sequence[StoredFile]) -> list[StoredFile]:
        """Those without an object that no VM on any host has, and that nothing else is layered on."""
        found, images = [], _images(ctx.store)
        for number, file in enumerate(files, start=1):
            if number % _BATCH == 0:
                await asyncio.sleep(0)
            if not file.layered and not self._is_known(file, ctx.store, images):
                found.append(file)
        kinds = {file.kind for file in found}
        if kinds & {StoredKind.DISK, StoredKind.SEED}:
            declared = await _instances(ctx.store, ctx.object.spec.zone)
            found = [file for file in found if file.kind not in (StoredKind.DISK, StoredKind.SEED) or file.identity not in declared]
        if StoredKind.SNAPSHOT in kinds:
            taken = _snapshots(ctx.store, ctx.key.name)
            found = [file for file in found if file.kind is not StoredKind.SNAPSHOT or file.identity not in taken]
        if StoredKind.VOLUME in kinds:
            used = {volume.volume for link in self._inventory.links() for vm in link.vms() for volume in vm.volumes}
            found = [file for file in found if file.kind is not StoredKind.VOLUME or file.identity not in used]
        return found

    def _is_known(self, file: StoredFile, store: Store, images: Collection[str] | None) -> bool:
        """What can be told of one file without a look at all objects; `images`: of templates, None if not all are known."""
        match file.kind:
            case StoredKind.DISK | StoredKind.SEED:
                return self._inventory.find(InstanceID(file.identity)) is not None
            case StoredKind.VOLUME:
                return bool(volumes_by_id.keys(store, file.identity))
            case StoredKind.IMAGE:
                return images is None or file.identity in images
            case StoredKind.SNAPSHOT:
                return False


def _images(store: Store) -> set[str] | None:
    """Names of all templates' images; None while one of them is not known yet."""
    templates = store.list(Template)
    return None if any(each.status.checksum is None for each in templates) else {image_name(each) for each in templates}


async def _instances(store: Store, zone: str) -> set[str]:
    """The VMs of all objects of a zone, also those that objects only name to be adopted."""
    return {each async for vm in vms_by_zone.slowly(store, zone) for each in (instance_of(vm), to_adopt(vm)) if each}


def _snapshots(store: Store, pool: str) -> set[str]:
    """Those in the pool, and all whose status does not say where they are; by their uids alone, which need no parsing."""
    keys = (*snapshots_by_pool.keys(store, pool), *snapshots_by_pool.keys(store, NOWHERE))
    return {snapshot_id(uid) for key in keys if (uid := store.uid(key))}


def _tell(ctx: Context[StoragePool], lost: Sequence[StoredFile]) -> None:
    known = {each.path for each in ctx.object.status.orphans.files} if ctx.object.status.orphans else set()
    told = [_described(file) for file in sorted(lost, key=lambda file: file.path)[:_MOST]]
    total = Quantity.of(sum(max(0, file.allocated) for file in lost))
    ctx.object.status.orphans = OrphanedFiles(count=len(lost), size=total, files=told) if lost else None
    if new := [each.path for each in told if each.path not in known]:
        ctx.event("Warning", "OrphansFound", f"nobody declares these files, which Vireo made: {listing(new)}")


def _described(file: StoredFile) -> OrphanedFile:
    size = Quantity.of(max(0, file.allocated))
    return OrphanedFile(path=file.path[:_LONGEST], kind=file.kind.value, identity=file.identity[:253], size=size)
