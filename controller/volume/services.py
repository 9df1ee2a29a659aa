"""What the Volume reconciler works with beside the object itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.attachments import Attachments
from controller.inventory import Inventory, PoolRegistry
from controller.inventory.contents import ContentsReader
from controller.library import Library
from controller.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all reconciles. `new_id` makes job ids, UUIDs."""

    inventory: Inventory
    pools: PoolRegistry
    contents: ContentsReader
    rooms: Rooms
    attachments: Attachments
    library: Library
    new_id: Callable[[], str]
