"""Template images in a pool that is being deleted: what we put there is removed."""

from __future__ import annotations

from controller.inventory import HostLink, result_of
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store
from controller.shared.library import Library, image_name
from controller.shared.translate import pool_spec
from crds.v1alpha1 import StoragePool, Template
from drivers.errors import Conflict, DriverError

RETRY = 15.0


async def remove_images(pool: StoragePool, link: HostLink, store: Store, library: Library) -> Result | None:
    """Remove the image of every Template, through one host that has the pool; None when none is left.

    Statuses may be lost, so all Templates are tried; what is absent counts as removed.
    """
    for template in store.list(Template):
        if not template.status.checksum:
            continue
        try:
            await link.delete_image(pool_spec(pool), image_name(template))
        except Conflict as error:
            return waiting("ImageInUse", str(error), retry_after=RETRY)
        except DriverError as error:
            return result_of(error)
        library.lost(template, pool.metadata.name)
    return None
