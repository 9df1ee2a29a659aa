"""What a VM rests on: how it was seen when nothing was left to do about it.

What is different from then on, and was not to become so by what is declared, somebody did on the hypervisor: also while the VM
waits for something, and while a missing reference keeps it unknown what is declared of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.runtime.context import Context
from controller.vm import job
from controller.vm.report import DRIFT, IN_SYNC
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import (
    Attachment,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    DiskLimits,
    NetworkBackend,
    ObservedVM,
    PoolSpec,
    VolumeAttachment,
)

__all__ = ["Rests", "as_declared"]

_ANYWHERE = Attachment(NetworkBackend.OVS)


@dataclass(frozen=True, slots=True)
class _Rest:
    generation: int
    seen: ObservedVM


class Rests:
    """Of all VMs, in memory: after a restart of the controller each has to come to rest once, or be looked at once."""

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def note(self, ctx: Context[VirtualMachine], seen: ObservedVM) -> None:
        """Nothing is left to do for this spec, as far as it can be done now."""
        self._rests[ctx.uid] = _Rest(ctx.object.metadata.generation, seen)

    def forget(self, uid: str) -> None:
        """The VM is about to be changed by Vireo, was restored, or is gone."""
        self._rests.pop(uid, None)

    def seen(self, ctx: Context[VirtualMachine]) -> ObservedVM | None:
        """What the VM rests on under its present spec; None if it has not come to rest since that changed."""
        rest = self._rests.get(ctx.uid)
        return rest.seen if rest and rest.generation == ctx.object.metadata.generation else None

    def waiting(self, ctx: Context[VirtualMachine], have: ObservedVM) -> ObservedVM | None:
        """The same for a VM that can't be driven, None if it is being worked on.

        When its spec changes, it rests on what it did before; drift that was told before is for the new spec to put right, as on
        any VM. One that was never seen at rest rests on what it has now, unless it was told that this is drift.
        """
        rest, generation = self._rests.get(ctx.uid), ctx.object.metadata.generation
        if job.current(ctx.object) is not None:
            return None
        told = ctx.conditions.get(IN_SYNC)
        drifted = told is not None and told.reason == DRIFT
        if rest is None and drifted and told is not None and told.observed_generation == generation:
            return None
        if rest is None or (rest.generation != generation and drifted):
            rest = _Rest(generation, have)
        self._rests[ctx.uid] = _Rest(generation, rest.seen)
        return rest.seen


def as_declared(seen: ObservedVM) -> DesiredVM:
    """A declaration of a VM just as it was seen: to find what became different. No driver is to get it."""
    return DesiredVM(
        seen.instance,
        seen.name,
        seen.owner,
        seen.cpus,
        seen.memory,
        tuple(
            DesiredDisk(each.name, PoolSpec(each.pool, ""), each.size, limits=each.limits or DiskLimits()) for each in seen.disks
        ),
        tuple(DesiredNIC(each.name, each.mac, each.network, each.segment, _ANYWHERE, each.ip) for each in seen.nics),
        volumes=tuple(
            VolumeAttachment(each.name, each.volume, PoolSpec(each.pool, ""), each.limits or DiskLimits()) for each in seen.volumes
        ),
    )
