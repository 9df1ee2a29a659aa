"""StoragePools are made ready on every host of their scope; what the hosts say of them becomes their status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.inventory import Inventory, PoolRegistry
from controller.inventory.secrets import Secrets
from controller.placing.refusals import Refusals
from controller.pool.ceph import with_key
from controller.pool.images import remove_images
from controller.pool.orphans import Orphans
from controller.pool.release import Release
from controller.pool.scope import resolve
from controller.pool.status import Survey, allocated, capacity, describe, result
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Done, Result, Waiting, done, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, forced, if_deleting, listing
from controller.shared.library import Library
from controller.shared.lookups import (
    COUNT_SETTLE,
    SETTLE,
    pools_by_cluster,
    pools_by_host,
    pools_by_zone,
    pools_of_host,
    snapshots_by_pool,
    vms_by_pool,
    volumes_by_pool,
)
from controller.shared.standing import standing
from controller.shared.translate import has_files, has_volumes, pool_spec
from crds.v1alpha1 import Cluster, Host, Snapshot, StoragePool, VirtualMachine, Volume, Zone
from crds.v1alpha1.storagepool import PoolType
from drivers.types import PoolSpec

REFRESH = 600.0
PROMPT = 60.0
"""Seconds between two looks at a pool whose servers may go away. VMs that wait for NFS go on with the look that finds it back."""

AWAITED = 30.0
"""The same, of one that has refused something: whoever makes room on its host tells nobody."""

RECENT = 5.0
"""Seconds for which a look counts as one of now, where room was refused or given back."""

PATIENCE = 2.0
START = 60.0
BLOCKED = "DeletionBlocked"
_BLOCKED_RETRY = 15.0


def _of_zone(zone: Zone, store: Store) -> Iterable[Key]:
    return pools_by_zone.keys(store, zone.metadata.name)


def _of_cluster(cluster: Cluster, store: Store) -> Iterable[Key]:
    return pools_by_cluster.keys(store, cluster.metadata.name)


def _of_host(host: Host, store: Store) -> Iterable[Key]:
    cluster = store.get(Cluster, host.spec.cluster)
    return pools_of_host(store, host.metadata.name, cluster) if cluster else pools_by_host.keys(store, host.metadata.name)


def _of_vm(vm: VirtualMachine, _store: Store) -> Iterable[Key]:
    return [Key(StoragePool.KIND, "", pool) for pool in _pools_of(vm)]


def _pools_of(vm: VirtualMachine) -> list[str]:
    return sorted({disk.pool for disk in vm.status.disks})


def _disks(vm: VirtualMachine) -> object:
    return [(disk.pool, disk.size) for disk in vm.status.disks]


def _of_content(content: Volume | Snapshot, _store: Store) -> Iterable[Key]:
    return [Key(StoragePool.KIND, "", pool) for pool in _home_of(content)]


def _home_of(content: Volume | Snapshot) -> list[str]:
    return [content.status.pool] if content.status.pool else []


def _size(content: Volume | Snapshot) -> object:
    return content.status.pool, content.status.size


def _pace(pool: StoragePool) -> float:
    """Seconds between two looks at how the pool is."""
    return PROMPT if pool.spec.type in (PoolType.NFS, PoolType.RBD) else REFRESH


class StoragePoolReconciler:
    """Makes pools ready on their hosts, and keeps a pool that holds disks or volumes from being deleted."""

    kind = StoragePool
    watches = (
        Watch(Zone, _of_zone, of=existence),
        Watch(Cluster, _of_cluster, of=existence),
        Watch(Host, _of_host, of=lambda host: host.status.state, settle=COUNT_SETTLE),
        Watch(VirtualMachine, _of_vm, of=_disks, settle=SETTLE),
        Watch(VirtualMachine, if_deleting(StoragePool, _pools_of), of=_pools_of),
        *(Watch(kind, _of_content, of=_size, settle=SETTLE) for kind in (Volume, Snapshot)),
        *(Watch(kind, if_deleting(StoragePool, _home_of), of=_home_of) for kind in (Volume, Snapshot)),
    )

    def __init__(
        self, inventory: Inventory, registry: PoolRegistry, library: Library, secrets: Secrets, refusals: Refusals
    ) -> None:
        self._inventory = inventory
        self._registry = registry
        self._library = library
        self._release = Release(inventory, registry)
        self._secrets = secrets
        self._refusals = refusals
        self._orphans = Orphans(inventory)
        self._started: float | None = None

    async def reconcile(self, ctx: Context[StoragePool]) -> Result:
        """A pool is ready when a host has it. Deletion waits for what is in it, takes our images along, and its hosts let it go."""
        pool = ctx.object
        if ctx.deleting:
            return await self._delete(ctx)
        await ctx.add_finalizer()
        hosts = resolve(pool, ctx.store)
        if not isinstance(hosts, list):
            describe(pool, ctx.conditions, Survey())
            return hosts
        spec = await with_key(pool_spec(pool), pool.spec.rbd, self._secrets)
        if not isinstance(spec, PoolSpec):
            return spec
        await self._registry.ensure(spec, hosts, older_than=_pace(pool), patience=PATIENCE)
        survey = self._survey(pool.metadata.name, hosts)
        if survey.unasked and self._is_start(ctx) and (as_it_was := standing(ctx)):
            return self._again(ctx, as_it_was)
        await self._measure(ctx, spec, survey)
        if has_volumes(pool):
            await self._orphans.look(ctx, hosts, survey.ready)
        describe(pool, ctx.conditions, survey)
        return self._again(ctx, result(pool, survey))

    def forget(self, key: Key, uid: str) -> None:
        """Drop what was held in memory."""
        self._registry.forget(key.name)
        self._orphans.forget(key.name)

    def _survey(self, pool: str, hosts: list[str]) -> Survey:
        links = {host: self._inventory.link(host) for host in hosts}
        up = [host for host, link in links.items() if link and link.up]
        ready = {host: seen for host in up if (seen := self._registry.ready(pool, host))}
        failing = [failure for host in up if (failure := self._registry.failure(pool, host))]
        answered = {*ready, *(failure.host for failure in failing)}
        absent = [host for host in hosts if host not in answered]
        unasked = any(host in up or not self._inventory.asked(host) for host in absent)  # one that is up is being asked
        return Survey(ready, failing, absent, unasked=unasked)

    def _is_start(self, ctx: Context[StoragePool]) -> bool:
        """Whether the controller has started so lately that hosts may still be connecting for the first time."""
        now = ctx.clock.monotonic()
        self._started = now if self._started is None else self._started
        return now - self._started < START

    async def _measure(self, ctx: Context[StoragePool], spec: PoolSpec, survey: Survey) -> None:
        """Take over size and use; while no host says anything, the last known stay.

        One host is asked again, between its regular looks, where the pool refused something or what was in it went.
        """
        status, name = ctx.object.status, ctx.key.name
        if not survey.ready:
            return
        promised, host = await allocated(ctx.store, name), min(survey.ready)
        if promised < status.capacity.allocated.bytes or self._refusals.awaited(name):
            await self._registry.ensure(spec, [host], older_than=RECENT, patience=PATIENCE)
        status.capacity = capacity(status.capacity, self._registry.ready(name, host) or survey.ready[host], promised)

    def _again(self, ctx: Context[StoragePool], outcome: Result) -> Result:
        """Come back to try failed hosts again, and now and then to see how full the pool is."""
        retry = self._registry.next_try(ctx.key.name)
        pace = min(_pace(ctx.object), AWAITED) if self._refusals.awaited(ctx.key.name) else _pace(ctx.object)
        after = min(START if self._is_start(ctx) else pace, max(1.0, retry) if retry is not None else pace)
        match outcome:
            case Done(reason, message):
                return done(reason, message, recheck_after=after)
            case Waiting(reason, message):
                return waiting(reason, message, retry_after=after)
            case _:
                return outcome

    async def _delete(self, ctx: Context[StoragePool]) -> Result:
        lookups = (vms_by_pool, volumes_by_pool, snapshots_by_pool)
        if waits := blocked(ctx, [key for lookup in lookups for key in lookup.keys(ctx.store, ctx.key.name)]):
            return waits
        if unfinished := await self._leave_hosts(ctx):
            ctx.conditions.set(BLOCKED, True, unfinished.reason, unfinished.message)
            return unfinished
        if forced(ctx):
            ctx.event("Warning", "ForceDeleted", "given up by annotation; template images may have stayed in its directory")
        await ctx.remove_finalizer()
        return done("Deleted")

    async def _leave_hosts(self, ctx: Context[StoragePool]) -> Result | None:
        """Remove our images, then have the hosts let the pool go; if no Host is in its scope any more, nobody can."""
        hosts = resolve(ctx.object, ctx.store)
        if not isinstance(hosts, list) or not hosts or not has_files(ctx.object):
            return None
        at_once = forced(ctx)
        if not at_once and not self._registry.releasing(ctx.key.name) and (unfinished := await self._remove_images(ctx, hosts)):
            return unfinished
        if not at_once and self._is_start(ctx) and (unasked := [host for host in hosts if not self._inventory.asked(host)]):
            return waiting(BLOCKED, f"{len(unasked)} hosts have not answered yet: {listing(unasked)}", retry_after=PATIENCE)
        return await self._release.let_go(ctx, hosts, at_once=at_once)

    async def _remove_images(self, ctx: Context[StoragePool], hosts: Sequence[str]) -> Result | None:
        """Remove our images through any host that has the pool."""
        await self._registry.ensure(pool_spec(ctx.object), hosts, older_than=REFRESH, patience=PATIENCE)
        name = ctx.key.name
        links = (link for host in hosts if self._registry.ready(name, host) and (link := self._inventory.link(host)))
        link = next(links, None)
        if link is None:
            message = f"template images can't be removed: none of the {len(hosts)} hosts in its scope has the pool"
            return waiting(BLOCKED, message, retry_after=_BLOCKED_RETRY)
        return await remove_images(ctx.object, link, ctx.store, self._library)
