"""What the Volume reconciler works with beside the object itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.inventory import Inventory, PoolRegistry
from controller.inventory.contents import ContentsReader
from controller.placing.attachments import Attachments
from controller.placing.rooms import Rooms
from controller.shared.calls import Calls
from controller.shared.library import Library


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all reconciles. `new_id` makes job ids, UUIDs."""

    inventory: Inventory
    pools: PoolRegistry
    contents: ContentsReader
    rooms: Rooms
    attachments: Attachments
    library: Library
    calls: Calls
    new_id: Callable[[], str]
