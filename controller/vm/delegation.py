"""A VM that is worked on by the shard of its cluster: what that shard does not do, and how the VM goes back."""

from __future__ import annotations

from collections.abc import Sequence

from controller.placing.sharding import Sharding
from controller.runtime.context import Context
from controller.runtime.results import Done, Result, done, requeue
from controller.shared.standing import standing
from controller.vm.plan import Action, Apply, Create
from controller.vm.references import Interface
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus

MADE = "DisksReady"
"""The condition that is true of a VM once it was made."""


class Recalled(Exception):
    """The VM needs what shard 0 alone gives out; the text says what."""


class Delegation:
    """Gives VMs to the shards of their clusters, and back to shard 0."""

    def __init__(self, sharding: Sharding) -> None:
        self._sharding = sharding

    def admit(self, ctx: Context[VirtualMachine]) -> None:
        """See whether the VM, as it is now, is for this shard. Raises Recalled.

        One that is not made yet was placed for the spec that shard 0 saw: another one is for shard 0 to look at first.
        """
        vm = ctx.object
        if vm.status.shard is None:
            return
        if self._sharding.shard(ctx.key) == 0:
            vm.status.shard = None  # of a division that is no more
        elif why := self._sharding.recall(vm):
            raise Recalled(why)
        elif not ctx.conditions.is_true(MADE) and vm.status.observed_generation != vm.metadata.generation:
            raise Recalled("its spec was changed before it was made")

    def give(self, ctx: Context[VirtualMachine], cluster: Cluster) -> bool:
        """Have the next write of the status give the VM to its cluster's shard; tell whether it does.

        The reconcile is to end with that write, and to be run again at once: this process may work on that shard too.
        """
        if ctx.object.status.shard is not None:
            return False
        ctx.object.status.shard = self._sharding.due(ctx.object, cluster)
        return ctx.object.status.shard is not None

    def give_back(self, ctx: Context[VirtualMachine], why: str) -> Result:
        """Have the next write of the status give the VM back to shard 0."""
        ctx.object.status.shard = None
        ctx.log.info("vm given back to shard 0", reason=why)
        as_it_was = standing(ctx)
        if isinstance(as_it_was, Done):
            return done(as_it_was.reason, as_it_was.message, recheck_after=0.0)
        return requeue(0, "HandedOver", f"shard 0 goes on: {why}")


def given(vm: VirtualMachine) -> bool:
    """Whether the VM is worked on by the shard of its cluster."""
    return vm.status.shard is not None


def allow(ctx: Context[VirtualMachine], action: Action) -> None:
    """See whether an action on a VM that was given away takes nothing that is scarce. Raises Recalled."""
    if isinstance(action, Apply):
        raise Recalled("its hardware is to be changed")
    if isinstance(action, Create) and ctx.conditions.is_true(MADE):
        raise Recalled("it is gone from its host")


def addresses(vm: VirtualMachine, interfaces: Sequence[Interface]) -> list[NICStatus]:
    """The interfaces of a VM that was given away, with the addresses that shard 0 has given them. Raises Recalled."""
    known = {nic.name: nic for nic in vm.status.nics}
    nics = [known.get(each.spec.name) for each in interfaces]
    found = [nic for nic, each in zip(nics, interfaces, strict=True) if nic is not None and _fits(nic, each)]
    if len(found) != len(interfaces):
        raise Recalled("its interfaces are to be changed")
    return found


def _fits(nic: NICStatus, interface: Interface) -> bool:
    wanted, segment = interface.spec, interface.network.status.segment
    return (
        nic.network == interface.key
        and wanted.mac in (None, nic.mac)
        and wanted.ip in (None, nic.ip)
        and bool(nic.ip) == interface.managed
        and nic.segment == (f"vlan-{segment.vlan}" if segment else None)
    )
