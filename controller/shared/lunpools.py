"""What to say where nothing can be placed because a zone's storage pools are iSCSI targets, or of Ceph."""

from __future__ import annotations

from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.lookups import pools_by_zone
from controller.shared.translate import has_files, has_volumes


def only_luns(store: Store, zone: str) -> str:
    """The end of a sentence that says that no storage pool was found; "" unless all pools of the zone are for what names them."""
    pools = list(pools_by_zone.of(store, zone))
    if not pools or any(map(has_files, pools)):
        return ""
    names = listing(sorted(pool.metadata.name for pool in pools))
    have = "are for Volumes only" if any(map(has_volumes, pools)) else "have LUNs only"
    return f"; the storage pools of zone {zone} {have} ({names}), for Volumes that name one: add a pool of another type"
