"""A VM that was made and is gone from the hypervisor: made again on the disk that is left, or not at all."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared.translate import pool_spec
from controller.vm import report
from controller.vm.seat import Seat, Seating, unreachable
from controller.vm.services import Services
from controller.vm.translate import ROOT
from crds.v1alpha1.virtualmachine import RecreatePolicy, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.types import Capability, InstanceID, PoolSpec

GRACE = 10.0
"""Seconds for which a VM must be gone: somebody may be moving it by hand."""

_STALE = 60.0
_HOSTS_LOOK = 15.0
_REMEDY = "to have a new one, delete this object and apply it again"


class Recreation:
    """Decides by spec.recreatePolicy. Remembers since when VMs are gone."""

    def __init__(self, services: Services, seating: Seating) -> None:
        self._services = services
        self._seating = seating
        self._gone: dict[str, float] = {}

    def forget(self, uid: str) -> None:
        """The object is gone too."""
        self._gone.pop(uid, None)

    async def refused(self, ctx: Context[VirtualMachine], seat: Seat, instance: InstanceID) -> Result | None:
        """Why a VM that is gone is not made again, or not yet; None if it is to be. Raises DriverError.

        It may have been moved, with its disks or without: what was last seen of other hosts is old, so they are asked first.
        """
        found = await self._services.inventory.search(instance)
        if found and found[0] != seat.link.name:
            return requeue(0, "Moved", f"the VM was moved to host {found[0]}")
        if not await seat.link.confirm():
            why = unreachable(seat.link.name, seat.link)
            report.unseen(ctx.object, ctx.conditions, why)
            return why
        if found is None and not self._seating.unseen(ctx):
            _let_go(ctx.object)
        if ctx.object.spec.adopt:
            text = "the VM was deleted on the hypervisor; it was adopted, so it can't be made again: delete this object"
            return _lost(ctx, "InstanceMissing", text)
        policy, pool = ctx.object.spec.recreate_policy, pool_spec(seat.site.pool)
        if policy is RecreatePolicy.NEVER or Capability.VOLUMES not in seat.link.capabilities:
            return _lost(ctx, "InstanceMissing", f"the VM was deleted on the hypervisor; {_REMEDY}")
        contents = await self._services.contents.read(seat.link, pool)
        left = any(disk.instance == instance and disk.name == ROOT for disk in contents.disks)
        if not left and policy is RecreatePolicy.ON_ROOT_DISK:
            text = f"the VM and its root disk were deleted on the hypervisor; {_REMEDY}, or set recreatePolicy Fresh"
            return _lost(ctx, "InstanceLost", text)
        if elsewhere := self._too_early(ctx) or self._elsewhere(ctx, pool):
            return elsewhere
        how = "on its root disk" if left else "with a fresh root disk"
        ctx.event("Warning", "Recreating", f"deleted on the hypervisor: made again {how}")
        return None

    def _too_early(self, ctx: Context[VirtualMachine]) -> Result | None:
        now = ctx.clock.monotonic()
        since = self._gone.get(ctx.uid, now)
        since = self._gone[ctx.uid] = now if now - since > _STALE else since
        if now - since >= GRACE:
            return None
        report.out_of_sight(ctx.object, ctx.conditions)
        message = "the VM is gone from the hypervisor: it is looked for again before it is made again"
        return waiting("InstanceMissing", message, retry_after=max(0.1, since + GRACE - now))

    def _elsewhere(self, ctx: Context[VirtualMachine], pool: PoolSpec) -> Result | None:
        """Whether it may run on a silent host that reaches its disk: two VMs on one disk would destroy it."""
        if not pool.shared:
            return None
        if unseen := self._seating.unseen(ctx):
            message = f"the VM may run on one of {len(unseen)} hosts that do not answer: {', '.join(unseen[:5])}"
            report.out_of_sight(ctx.object, ctx.conditions)
            return waiting("HostsNotObserved", message, retry_after=_HOSTS_LOOK)
        return None


def _let_go(vm: VirtualMachine) -> None:
    """A VM that is nowhere has no volumes: those that its spec names wait for it, the others are free."""
    declared = {(each.name, each.volume) for each in vm.spec.volumes}
    vm.status.volumes = [each for each in vm.status.volumes if (each.name, each.volume) in declared]


def _lost(ctx: Context[VirtualMachine], reason: str, message: str) -> Result:
    ctx.conditions.set("InSync", False, reason, "deleted on the hypervisor")
    report.out_of_sight(ctx.object, ctx.conditions, VirtualMachineState.ERROR)
    return failed(reason, message, terminal=True)
