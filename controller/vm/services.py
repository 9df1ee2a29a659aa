"""What the VM reconciler works with beside the object itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.inventory import Inventory, PoolRegistry
from controller.inventory.contents import ContentsReader
from controller.inventory.secrets import Secrets
from controller.placing.attachments import Attachments
from controller.placing.placement import Placements
from controller.placing.recovery import Recovery
from controller.placing.rooms import Rooms
from controller.shared.library import Library
from controller.vm.addressing import Addressing
from controller.vm.delegation import Delegation


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all reconciles. `new_id` makes job ids, UUIDs."""

    inventory: Inventory
    placements: Placements
    addressing: Addressing
    library: Library
    recovery: Recovery
    secrets: Secrets
    rooms: Rooms
    attachments: Attachments
    contents: ContentsReader
    delegation: Delegation
    pools: PoolRegistry
    new_id: Callable[[], str]
