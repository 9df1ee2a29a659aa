"""The copies of a Template's image in storage pools."""

from __future__ import annotations

from controller.inventory import HostLink, Inventory, PoolRegistry, result_of
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store
from controller.shared.errands import Broken, Finished, Working
from controller.shared.library import Library, Seeding, image_name
from controller.shared.lookups import qualified, vms_by_pool, vms_by_template
from controller.shared.translate import pool_spec
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.template import Template, TemplatePool, TemplateState
from drivers.errors import Conflict, DriverError

_RETRY = 15.0


class PoolCopies:
    """Shows in which pools an image is, and removes it from them."""

    def __init__(self, library: Library, inventory: Inventory, pools: PoolRegistry) -> None:
        self._library = library
        self._inventory = inventory
        self._pools = pools

    def show(self, template: Template, store: Store) -> None:
        """Bring status.pools up to date: what it says, what this process knows better, and where VMs of the template are."""
        known = {entry.pool: entry for entry in template.status.pools if store.get(StoragePool, entry.pool)}
        for pool in _pools_of_vms(template, store):
            known.setdefault(pool, TemplatePool(pool=pool, state=TemplateState.DOWNLOADED))
        for pool in self._library.pools(template):
            if store.get(StoragePool, pool):
                known.setdefault(pool, TemplatePool(pool=pool, state=TemplateState.DOWNLOAD_IN_PROGRESS))
        for pool in known:
            state = self._library.copies(template, pool)
            if state is not None:
                known[pool] = _entry(pool, state)
        template.status.pools = sorted(known.values(), key=lambda entry: entry.pool)

    async def remove(self, ctx: Context[Template]) -> Result | None:
        """Remove the image from every pool, unless another Template of the same content has it there too."""
        template = ctx.object
        if not template.status.checksum or self._shared(ctx):
            return None
        for entry in list(template.status.pools):
            pool = ctx.store.get(StoragePool, entry.pool)
            if pool is None:
                continue
            link = self._link(entry.pool)
            if link is None:
                return waiting("DeletionBlocked", f"no host with storage pool {entry.pool} answers", retry_after=_RETRY)
            try:
                await link.delete_image(pool_spec(pool), image_name(template))
            except Conflict as error:
                return waiting("ImageInUse", f"storage pool {entry.pool}: {error}", retry_after=_RETRY)
            except DriverError as error:
                return result_of(error)
            self._library.lost(template, entry.pool)
        return None

    def _shared(self, ctx: Context[Template]) -> bool:
        name = image_name(ctx.object)
        return any(
            image_name(other) == name and other.metadata.uid != ctx.uid and not other.deleting for other in ctx.store.list(Template)
        )

    def _link(self, pool: str) -> HostLink | None:
        links = (link for link in self._inventory.links() if link.up)
        return next((link for link in links if self._pools.ready(pool, link.name)), None)


def _pools_of_vms(template: Template, store: Store) -> list[str]:
    """The storage pools where VMs of the template have disks, by keys alone: there may be thousands of them."""
    vms = set(vms_by_template.keys(store, qualified(template.metadata.namespace, template.metadata.name)))
    return [key.name for key in store.keys(StoragePool.KIND) if not vms.isdisjoint(vms_by_pool.keys(store, key.name))]


def _entry(pool: str, state: Seeding) -> TemplatePool:
    match state:
        case Finished():
            return TemplatePool(pool=pool, state=TemplateState.DOWNLOADED)
        case Working(_, percent):
            return TemplatePool(pool=pool, state=TemplateState.DOWNLOAD_IN_PROGRESS, progress=percent)
        case Broken():
            return TemplatePool(pool=pool, state=TemplateState.DOWNLOAD_ERROR)
