"""Freezing a guest's filesystems through its agent while a snapshot is taken."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.errors import Conflict, Unsupported
from drivers.types import Capability

from .datacentre import Datacentre
from .guest import guest_info
from .model import VM

__all__ = ["check_quiesce"]


def check_quiesce(dc: Datacentre, vms: Iterable[VM]) -> None:
    """Raises Unsupported without Capability.SNAPSHOT_QUIESCE, Conflict if the agent of one of the VMs does not answer."""
    if not dc.has(Capability.SNAPSHOT_QUIESCE):
        raise Unsupported(f"this endpoint lacks {Capability.SNAPSHOT_QUIESCE}", native_code="SIM_UNSUPPORTED")
    for vm in vms:
        if not guest_info(vm, dc.settings.capabilities).agent:
            raise Conflict(f"the guest agent of VM {vm.instance} does not answer", native_code="SIM_NO_AGENT")
