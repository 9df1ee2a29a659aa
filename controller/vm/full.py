"""A VM that is to be made where a storage pool has no room for it after all, or for a volume that it is to have: made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from controller.inventory import HostLink
from controller.placing.refusals import Refusal
from controller.runtime.context import Context
from controller.runtime.results import Result, requeue
from controller.shared import operation
from controller.shared.instances import instance_of
from controller.shared.patience import Patience, is_known
from controller.vm import job
from controller.vm.delegation import MADE, Recalled, given
from controller.vm.seat import Seat, Seating
from controller.vm.services import Services
from controller.vm.translate import ROOT
from controller.vm.volumes import Mounting
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.errors import DriverError, NoRoom
from drivers.types import ObservedVM


class Full:
    """Decides whether a VM leaves the place that it was given: only if nothing of it is there, and nobody can be making it there.

    Two VMs of one identity would be the worst that can happen. So a job that another process began, and a call whose end nobody
    heard, keep the VM where it is for as long as a call may take.
    """

    def __init__(self, services: Services, seating: Seating, mounting: Mounting) -> None:
        self._refusals = services.rooms.refusals
        self._placements = services.placements
        self._seating = seating
        self._mounting = mounting
        self._calls = Patience()
        self._begun: set[str] = set()

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._calls.forget(uid)
        self._begun.discard(uid)
        self._refusals.forget(uid)

    def resting(self, ctx: Context[VirtualMachine], seat: Seat) -> Result | None:
        """How the VM waits for a pool that had no room for it just now; None if it may be tried."""
        refusal = self._refusals.resting(ctx.uid, seat.site.pool.metadata.name)
        return self._refusals.wait(refusal) if refusal else None

    @contextmanager
    def calling(self, ctx: Context[VirtualMachine], *, first: bool) -> Iterator[None]:
        """Around each call that makes the VM: see whether all of them were answered. `first`: the job began with this one."""
        if not first and ctx.uid not in self._begun:
            self._calls.doubt(ctx)
        self._begun.add(ctx.uid)
        try:
            yield
        except DriverError as error:
            if not is_known(error):
                self._calls.doubt(ctx)
            raise
        except BaseException:  # nobody hears its end any more
            self._calls.doubt(ctx)
            raise

    async def refused(self, ctx: Context[VirtualMachine], seat: Seat, error: NoRoom, *, made: bool) -> Result:
        """The pool has no room for the root disk. `made`: the VM existed before, and its place is its own. Raises Recalled."""
        refusal = self._refusals.note(ctx.key, ctx.uid, seat.site.pool.metadata.name, error)
        ctx.log.info("no room in a pool", pool=refusal.pool, error=refusal.said)
        operation.cancel(ctx, refusal.message)
        if made or self._calls.doubtful(ctx):
            return self._refusals.wait(refusal)
        ctx.conditions.set(MADE, False, error.reason, refusal.message)
        if given(ctx.object):
            raise Recalled(refusal.message)
        return await self._leave(ctx, seat.link, refusal)

    async def without(self, ctx: Context[VirtualMachine], missing: Result, *, made: bool) -> Result:
        """What the VM waits for before it can be made; unless it is room for a volume that its host has not: then it leaves."""
        settled = made or given(ctx.object) or job.current(ctx.object) is not None or self._calls.doubtful(ctx)
        if settled or not self._mounting.homeless(ctx):
            return missing
        await self._seating.give_up(ctx, missing.reason, missing.message)
        return requeue(0, NoRoom.reason, missing.message)

    def growth(self, ctx: Context[VirtualMachine], seat: Seat, have: ObservedVM, error: NoRoom) -> Result:
        """The pool has no room for the root disk to grow: the VM goes on with what it has, and with all else that is declared."""
        held, size = self._placements.size(ctx.uid), next((disk.size for disk in have.disks if disk.name == ROOT), 0)
        if held is not None and size:
            self._placements.occupy(ctx.uid, replace(held, disk=size))
        refusal = self._refusals.note(ctx.key, ctx.uid, seat.site.pool.metadata.name, error)
        ctx.log.info("no room in a pool", pool=refusal.pool, error=refusal.said)
        operation.cancel(ctx, refusal.message)
        return requeue(0, error.reason, refusal.message)

    async def _leave(self, ctx: Context[VirtualMachine], link: HostLink, refusal: Refusal) -> Result:
        if await link.observe(instance_of(ctx.object), fresh=True) is None:
            await self._seating.give_up(ctx, NoRoom.reason, refusal.message)
        return requeue(0, NoRoom.reason, refusal.message)
