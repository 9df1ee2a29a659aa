"""Drives one Volume: a pool, the volume in it, its size; which VM has it is the VMs' affair and only shown here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.inventory import HostLink, result_of
from controller.inventory.contents import KEPT
from controller.placing.attachments import left_on
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done, failed, requeue, waiting
from controller.runtime.store import Store
from controller.shared.deletion import existence
from controller.shared.holds import VOLUME_WATCHES, keep_volume
from controller.shared.lookups import (
    qualified,
    volumes_by_host,
    volumes_by_pool,
    volumes_by_snapshot,
    volumes_by_template,
    volumes_by_zone,
)
from controller.shared.patience import GivenUp
from controller.volume import job
from controller.volume.delete import Deletion
from controller.volume.home import Home
from controller.volume.luns import Luns
from controller.volume.reach import Reach, look_again, show_attachment
from controller.volume.services import Services
from controller.volume.source import Source, resolve
from controller.volume.steps import Steps
from crds.v1alpha1.host import Host
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.template import Template
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume, VolumeState
from crds.v1alpha1.zone import Zone
from drivers.errors import DriverError, NoRoom

LOOKS = 600.0
"""Seconds between looks at whether a volume is still in its pool."""
_AGAIN = 1.0


def _of_vm(vm: VirtualMachine, _store: Store) -> Iterable[Key]:
    names = {*(each.volume for each in vm.spec.volumes), *(each.volume for each in vm.status.volumes)}
    return [Key(Volume.KIND, vm.metadata.namespace, name) for name in names if name]


def _of_pool(pool: StoragePool, store: Store) -> Iterable[Key]:
    """Those in the pool, and those that have none yet."""
    homeless = [volume for volume in volumes_by_zone.of(store, pool.spec.zone) if volume.status.pool is None]
    return [*volumes_by_pool.keys(store, pool.metadata.name), *(Key.of(volume) for volume in homeless)]


def _of_host(host: Host, store: Store) -> Iterable[Key]:
    """Those that are worked on there, and those that a VM without an object may have there."""
    return [*volumes_by_host.keys(store, host.metadata.name), *left_on(host.metadata.name, store)]


class VolumeReconciler:
    """Makes each Volume true in a storage pool."""

    kind = Volume
    watches: Sequence[Watch] = (
        Watch(Zone, lambda zone, store: volumes_by_zone.keys(store, zone.metadata.name), of=existence),
        Watch(StoragePool, _of_pool, of=lambda pool: (pool.spec, pool.status.state, pool.status.hosts_mounted)),
        Watch(Host, _of_host, of=lambda host: host.status.state),
        Watch(
            Template,
            lambda each, store: volumes_by_template.keys(store, qualified(each.metadata.namespace, each.metadata.name)),
            of=lambda each: each.status.state,
        ),
        Watch(
            Snapshot,
            lambda each, store: volumes_by_snapshot.keys(store, qualified(each.metadata.namespace, each.metadata.name)),
            of=lambda each: (each.status.state, each.status.pool),
        ),
        Watch(VirtualMachine, _of_vm, of=lambda vm: (vm.spec.volumes, vm.status.volumes, vm.status.host)),
        *VOLUME_WATCHES,
    )

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reach = Reach(services)
        self._home = Home(services, self._reach)
        self._steps = Steps(services)
        self._luns = Luns(services, self._reach)
        self._deletion = Deletion(services, self._home, self._reach, self._steps)
        self._looked: dict[str, float] = {}

    async def reconcile(self, ctx: Context[Volume]) -> Result:
        """Drive one Volume towards its spec until it is there, or something has to be waited for."""
        if held := keep_volume(ctx, self._services.attachments.users(ctx.object)):
            return held
        try:
            return await (self._deletion.run(ctx) if ctx.deleting else self._drive(ctx))
        except NoRoom as error:
            return await self._full(ctx, error)
        except DriverError as error:
            return self._refused(ctx, error)

    def forget(self, key: Key, uid: str) -> None:
        """Give back the room of a volume that is gone."""
        self._services.rooms.release(uid)
        self._services.rooms.refusals.forget(uid)
        self._services.calls.forget(uid)
        self._steps.forget(uid)
        self._looked.pop(uid, None)
        self._luns.forget(uid)

    async def _drive(self, ctx: Context[Volume]) -> Result:
        if ctx.object.status.state == VolumeState.REVERTING:  # nobody holds it any more, whatever it waits for now
            ctx.object.status.state = VolumeState.READY
        await look_again(ctx, self._services)
        show_attachment(ctx, self._services)
        if ctx.store.get(Zone, ctx.object.spec.zone) is None:
            return waiting("ZoneNotFound", f"zone {ctx.object.spec.zone} does not exist")
        if ctx.object.spec.lun is not None:
            return await self._luns.drive(ctx)
        pool = self._home.known(ctx)
        if pool is None and ctx.has_finalizer:
            pool = await self._home.find(ctx)
        if isinstance(pool, Result):
            return pool
        if pool is not None and ctx.object.status.volume_id is not None:
            return await self._keep(ctx, pool)
        return await self._make(ctx, pool)

    async def _make(self, ctx: Context[Volume], pool: StoragePool | None) -> Result:
        """Choose a pool, and make the volume there."""
        if ctx.object.status.state is None:
            ctx.object.status.state = VolumeState.ALLOCATED
        source = resolve(ctx.object, ctx.store)
        if not isinstance(source, Source):
            return source
        home = pool or self._home.choose(ctx, source)
        if isinstance(home, Result):
            return home
        link = self._reach.link(ctx, home)
        if isinstance(link, Result):
            return link
        unfinished = await self._steps.follow(ctx, link) or await self._steps.create(ctx, link, home, source)
        return unfinished or self._settled(ctx)

    async def _keep(self, ctx: Context[Volume], pool: StoragePool) -> Result:
        """A volume that was made: let it grow, and see now and then whether it is still there."""
        size, lost = ctx.object.status.size, ctx.object.status.state == VolumeState.ERROR
        grown = size is not None and size.bytes >= ctx.object.spec.size.bytes and job.current(ctx.object) is None
        if grown and not lost and not self._due(ctx):
            return self._settled(ctx)
        link = self._reach.link(ctx, pool)
        if isinstance(link, Result):
            return self._settled(ctx) if grown and not lost else link
        if grown or lost:
            return await self._still_there(ctx, link, pool)
        unfinished = await self._steps.follow(ctx, link) or await self._steps.grow(ctx, link, pool)
        return unfinished or self._settled(ctx)

    async def _still_there(self, ctx: Context[Volume], link: HostLink, pool: StoragePool) -> Result:
        """A volume that somebody deleted is reported and not made afresh: it would come back empty."""
        there = await self._steps.look(ctx, link, pool, older_than=KEPT)
        self._looked[ctx.uid] = ctx.clock.monotonic()
        if there:
            return self._settled(ctx)
        ctx.object.status.state = VolumeState.ERROR
        message = f"deleted in storage pool {pool.metadata.name}; to have a new one, delete this object and apply it again"
        return failed("VolumeMissing", message, retry_after=LOOKS)

    def _due(self, ctx: Context[Volume]) -> bool:
        """Whether it is time to look whether the volume is there; not at the start, when all would be looked at."""
        now = ctx.clock.monotonic()
        return now - self._looked.setdefault(ctx.uid, now) > LOOKS - 1

    def _settled(self, ctx: Context[Volume]) -> Result:
        ctx.object.status.state = VolumeState.READY
        self._services.rooms.refusals.forget(ctx.uid)
        self._looked.setdefault(ctx.uid, ctx.clock.monotonic())
        job.finish(ctx)
        size, declared = ctx.object.status.size, ctx.object.spec.size
        if size is not None and size.bytes < declared.bytes:  # declared larger while the job was under way
            return requeue(_AGAIN, job.under_way(job.Command.RESIZE), f"the volume has {size}, declared is {declared}")
        return done("Ready", recheck_after=LOOKS)

    async def _full(self, ctx: Context[Volume], error: NoRoom) -> Result:
        """A pool has less room than was known. Nothing was done and nothing is held: it is tried again, or made elsewhere."""
        status, rooms = ctx.object.status, self._services.rooms
        refusal = rooms.refusals.note(ctx.key, ctx.uid, status.pool or "", error)
        ctx.log.info("no room in a pool", pool=refusal.pool, error=refusal.said)
        job.cancel(ctx, refusal.message)
        if ctx.deleting:
            return rooms.refusals.wait(refusal)
        if status.volume_id is None:
            status.state = VolumeState.ALLOCATED
            if self._steps.certain(ctx) and await self._home.give_back(ctx):
                return requeue(0, error.reason, refusal.message)
        elif status.pool is not None and status.size is not None:
            status.state = VolumeState.READY
            rooms.reserve(ctx.uid, status.pool, status.size.bytes)
        return rooms.refusals.wait(refusal)

    def _refused(self, ctx: Context[Volume], error: DriverError) -> Result:
        """The hypervisor said no: the job ends if nothing will be tried again by itself, or not for some minutes."""
        result = self._services.calls.patience.rest(ctx) or result_of(error)
        ctx.log.info("hypervisor call failed", reason=error.reason, error=str(error))
        lasting = getattr(result, "terminal", False)
        if lasting or isinstance(error, GivenUp):
            job.fail(ctx, str(error))
        if lasting and ctx.object.status.volume_id is None:
            ctx.object.status.state = VolumeState.ERROR
        return result
