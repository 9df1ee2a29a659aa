"""Making and growing a volume: intent written first, then the driver called, then the pool looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from controller.inventory import HostLink
from controller.ipam import volume_id
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.shared import operation
from controller.shared.errands import Broken, Finished
from controller.shared.library import image_name
from controller.shared.patience import LONGEST_BUSY
from controller.shared.translate import pool_spec
from controller.volume import job
from controller.volume.home import lacking
from controller.volume.job import Command
from controller.volume.reach import show_attachment
from controller.volume.services import Services
from controller.volume.source import Source, leaving
from crds.fields import Quantity
from crds.status import Job
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume, VolumeState
from drivers.errors import Conflict, NoRoom, NotFound
from drivers.types import DesiredVolume, Done, InstanceID, Owner, Started

_POLL = 1.0
_BLOCKED_LOOKS = 30.0


class Steps:
    """Each step returns None to go on at once, or how the reconcile ends."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._begun: dict[str, float] = {}

    def forget(self, uid: str) -> None:
        """The volume is gone."""
        self._begun.pop(uid, None)

    def certain(self, ctx: Context[Volume]) -> bool:
        """Whether every call to make the volume was answered, so that nobody can be making it any more."""
        return self._begun.get(ctx.uid, 0.0) <= ctx.clock.monotonic() and not self._services.calls.patience.doubtful(ctx)

    async def follow(self, ctx: Context[Volume], link: HostLink) -> Result | None:
        """Ask how the call that an earlier reconcile made stands, and the native task that it, or an earlier process, started."""
        running = job.current(ctx.object)
        if running is not None and running.command == Command.CREATE and ctx.uid not in self._begun:
            self._begun[ctx.uid] = ctx.clock.monotonic() + LONGEST_BUSY  # an earlier process may have made a call
        reason = job.under_way(running.command) if running else None
        return await operation.follow(ctx, self._services.calls, link, reason=reason)

    async def create(self, ctx: Context[Volume], link: HostLink, pool: StoragePool, source: Source) -> Result | None:
        """Make the volume under its known identity. Raises NoRoom."""
        if job.current(ctx.object) is None and (full := lacking(self._services, ctx, pool.metadata.name)):
            return full
        if source.template and (unready := self._image(ctx, link, pool, source)):
            return unready
        status = ctx.object.status
        status.host, first = link.name, job.current(ctx.object) is None
        if first:
            self._begun.setdefault(ctx.uid, 0.0)
        running = await job.ensure(ctx, Command.CREATE, self._services.new_id, VolumeState.CREATING)
        await ctx.add_finalizer()
        if first and (going := leaving(ctx.object, ctx.store)):
            job.cancel(ctx, going.message)
            return going
        if running.phase == operation.ENDED:
            return await self._shown(ctx, link, pool, running)
        make = partial(link.volumes.create, _desired(ctx.object, pool, source))
        try:
            unfinished = await self._call(ctx, link, running, make)
        except NotFound as error:
            if source.template:
                self._services.library.lost(source.template, pool.metadata.name)
            return requeue(operation.RETRY, "SourceLost", str(error))
        return unfinished or await self._shown(ctx, link, pool, running)

    async def grow(self, ctx: Context[Volume], link: HostLink, pool: StoragePool) -> Result | None:
        """Grow the volume to its declared size, once the pool has the room and no snapshot of its VM forbids it.

        In a pool that holds whole disks it grows as a copy, and has the room for both until that is done. Raises NoRoom.
        """
        beside = ctx.object.status.size.bytes if pool_spec(pool).raw and ctx.object.status.size else 0
        if lack := lacking(self._services, ctx, pool.metadata.name, beside):
            job.cancel(ctx, lack.message)
            return lack
        having, size = ctx.object.status.attached_to, ctx.object.spec.size.bytes
        if having is not None and having.host is None:
            message = f"VM {having.virtual_machine}, which has the volume, may be on a host that does not answer"
            return waiting("HostsNotObserved", message, retry_after=_BLOCKED_LOOKS)
        instance = InstanceID(having.instance_id) if having and having.instance_id else None
        seen = link.known(instance) if instance else None
        if seen is not None and seen.snapshots:
            message = f"VM {seen.owner.name} has {len(seen.snapshots)} snapshots: the volume grows once they are deleted"
            job.cancel(ctx, message)
            return waiting("SnapshotsExist", message, retry_after=_BLOCKED_LOOKS)
        self._services.rooms.reserve(ctx.uid, pool.metadata.name, size + beside)
        ctx.object.status.host = link.name
        running = await job.begin(ctx, Command.RESIZE, self._services, VolumeState.READY)
        if isinstance(running, Result):
            return running
        show_attachment(ctx, self._services)
        if ctx.object.status.attached_to != having:  # a VM came or went meanwhile: maybe through another host
            return requeue(0, job.under_way(Command.RESIZE), "a VM came or went: the volume is looked at again")
        enlarge = partial(link.volumes.grow, pool_spec(pool), volume_id(ctx.uid), size, instance)
        try:
            unfinished = await self._call(ctx, link, running, enlarge)
        except Conflict as error:
            self._services.rooms.reserve(ctx.uid, pool.metadata.name, size)
            job.cancel(ctx, str(error))  # else nobody could take a snapshot of the volume, or attach it, until this can be done
            return waiting("GrowNotPossible", str(error), retry_after=_BLOCKED_LOOKS)
        if unfinished is None:
            self._services.rooms.reserve(ctx.uid, pool.metadata.name, size)
        return unfinished or await self._shown(ctx, link, pool, running)

    async def look(self, ctx: Context[Volume], link: HostLink, pool: StoragePool, *, older_than: float = 0.0) -> bool:
        """Take over what the pool says of the volume, or said less than `older_than` seconds ago; whether it is there."""
        contents = await self._services.contents.read(link, pool_spec(pool), older_than=older_than)
        found = next((each for each in contents.volumes if each.volume == volume_id(ctx.uid)), None)
        if found is not None:
            ctx.object.status.volume_id, ctx.object.status.size = found.volume, Quantity.of(found.size)
        return found is not None

    async def _call(
        self, ctx: Context[Volume], link: HostLink, running: Job, make: Callable[[], Awaitable[Done | Started]]
    ) -> Result | None:
        reason = job.under_way(running.command)
        return await operation.call(ctx, self._services.calls, link, running, make, reason=reason)

    async def _shown(self, ctx: Context[Volume], link: HostLink, pool: StoragePool, running: Job) -> Result | None:
        if not await self.look(ctx, link, pool):
            running.phase = None
            return requeue(operation.RETRY, "NotThereYet", f"{running.command} is done, but the pool does not show the volume")
        return None

    def _image(self, ctx: Context[Volume], link: HostLink, pool: StoragePool, source: Source) -> Result | None:
        """Have the template's image in the pool, or say what is still missing."""
        assert source.template is not None
        match self._services.library.ensure(source.template, pool_spec(pool), link, ctx.key):
            case Finished():
                return None
            case Broken(NoRoom.reason, message):
                raise NoRoom(message)
            case Broken(reason, message) as broken:
                return failed(reason, message, terminal=broken.terminal, retry_after=None if broken.terminal else operation.RETRY)
        where = f"template {source.template.metadata.name} is being copied to storage pool {pool.metadata.name}"
        return waiting("TemplateSeeding", where, retry_after=operation.RETRY)


def _desired(volume: Volume, pool: StoragePool, source: Source) -> DesiredVolume:
    meta = volume.metadata
    return DesiredVolume(
        volume=volume_id(meta.uid),
        name=f"{meta.namespace}-{meta.name}",
        owner=Owner(meta.uid, meta.namespace, meta.name),
        pool=pool_spec(pool),
        size=volume.spec.size.bytes,
        image=image_name(source.template) if source.template else "",
        snapshot=source.snapshot,
    )
