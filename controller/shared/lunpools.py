"""What to say where nothing can be placed because a zone's storage pools are iSCSI targets."""

from __future__ import annotations

from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.lookups import pools_by_zone
from controller.shared.translate import has_files


def only_luns(store: Store, zone: str) -> str:
    """The end of a sentence that says that no storage pool was found; "" unless all pools of the zone have LUNs only."""
    pools = list(pools_by_zone.of(store, zone))
    if not pools or any(map(has_files, pools)):
        return ""
    names = listing(sorted(pool.metadata.name for pool in pools))
    return f"; the storage pools of zone {zone} have LUNs only ({names}), for Volumes that name one: add a pool of another type"
