"""ServiceOfferings are only read by VMs; they stay as long as one uses them."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done
from controller.shared.deletion import blocked, if_deleting
from controller.shared.lookups import vms_by_offering
from crds.v1alpha1 import ServiceOffering, VirtualMachine


class ServiceOfferingReconciler:
    """Keeps an offering that is in use from being deleted."""

    kind = ServiceOffering
    watches = (Watch(VirtualMachine, if_deleting(ServiceOffering, lambda vm: [vm.spec.offering]), of=lambda vm: vm.spec.offering),)

    async def reconcile(self, ctx: Context[ServiceOffering]) -> Result:
        """An offering is ready as it is; its deletion waits for its VMs."""
        if ctx.deleting:
            return await _delete(ctx)
        await ctx.add_finalizer()
        return done("Available")

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is held in memory."""


async def _delete(ctx: Context[ServiceOffering]) -> Result:
    if waits := blocked(ctx, vms_by_offering.keys(ctx.store, ctx.key.name)):
        return waits
    await ctx.remove_finalizer()
    return done("Deleted")
