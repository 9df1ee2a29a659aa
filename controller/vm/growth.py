"""A root disk grows only where its storage pool has the room."""

from __future__ import annotations

from dataclasses import replace

from controller.runtime.context import Context
from controller.scheduler.report import show_size
from controller.vm.references import References
from controller.vm.services import Services
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import DesiredVM


def affordable(
    ctx: Context[VirtualMachine], services: Services, refs: References, wanted: DesiredVM
) -> tuple[References, DesiredVM, str]:
    """The VM with the root disk that its pool has room for, and what the pool lacks for the declared one, "" if nothing."""
    held = services.placements.size(ctx.uid)
    if held is None or held.disk >= refs.root_size:
        return refs, wanted, ""
    lack, refusal = services.rooms.lack(ctx.uid, held.pool, refs.root_size), services.rooms.refusals.resting(ctx.uid, held.pool)
    if not lack and refusal is None:
        return refs, wanted, ""
    disks = tuple(replace(disk, size=min(disk.size, held.disk)) for disk in wanted.disks)
    text = f"storage pool {held.pool} lacks {show_size(lack)}" if lack else refusal.message if refusal else ""
    return replace(refs, root_size=held.disk), replace(wanted, disks=disks), text
