"""Deleting a VM: nothing of it stays behind, and nothing else goes."""

from __future__ import annotations

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, done, failed, requeue, waiting
from controller.shared.deletion import FORCE_DELETE, forced
from controller.shared.instances import instance_of, to_adopt
from controller.shared.leaving import leaves, unaware
from controller.shared.lookups import pools_by_cluster, pools_by_host, pools_by_zone, volumes_by_id
from controller.shared.reach import silent
from controller.shared.translate import has_files, pool_spec
from controller.vm import job
from controller.vm.delegation import Recalled, given
from controller.vm.job import Command
from controller.vm.marking import Marking
from controller.vm.seat import Seating
from controller.vm.services import Services
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import PoolScope, StoragePool
from crds.v1alpha1.virtualmachine import DeletionPolicy, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.errors import Conflict, NotFound
from drivers.types import Failed, InstanceID, ObservedVM, OpRef, PoolSpec, Running, Started, Succeeded

_POLL = 1.0
_RETRY = 15.0


class Deletion:
    """Removes VMs from hypervisors, then lets their objects go."""

    def __init__(self, services: Services, seating: Seating, marking: Marking) -> None:
        self._services = services
        self._marking = marking
        self._seating = seating

    async def run(self, ctx: Context[VirtualMachine]) -> Result:
        """Drive a deletion one step; the finalizer goes last."""
        vm = ctx.object
        if not ctx.has_finalizer:
            return done("Deleted")
        if leaves(vm) and (network := unaware(vm, ctx.store)):
            message = f"network {network.namespace}/{network.name} is to record the addresses that the guest goes on to use"
            return waiting("AddressesNotRecorded", message, retry_after=_POLL)
        if forced(ctx):
            ctx.event(
                "Warning", "ForceDeleted", f"given up by {FORCE_DELETE}: what is left on host {vm.status.host} is not removed"
            )
            return await self._let_go(ctx)
        if vm.spec.adopt is not None:
            return await self._adopted(ctx)
        if vm.spec.deletion_policy is DeletionPolicy.RETAIN:
            if unrecorded := self._unrecorded(ctx):
                return unrecorded
            ctx.event("Normal", "Retained", f"left on host {vm.status.host} as {vm.status.hypervisor_name}")
            return await self._let_go(ctx)
        host = self._host(ctx)
        if isinstance(host, Result):
            return host
        if host is None:
            return await self._let_go(ctx)
        return await self._remove(ctx, host)

    async def _adopted(self, ctx: Context[VirtualMachine]) -> Result:
        """A VM that was adopted, or was about to be: without our mark it is none of ours, and with it what the policy says."""
        host, instance = self._host(ctx), _identity(ctx)
        if isinstance(host, Result):
            return host
        have = await _marked(host, instance, ctx.uid) if host else None
        if have is None and self._marking.under_way(ctx.uid):
            message = "the hypervisor has not answered yet whether the VM carries the owner mark, which then comes off again"
            return self._blocked(ctx, waiting("AdoptionUnderWay", message))
        if host is None or (have is None and not _begun(ctx)):
            return await self._let_go(ctx)
        if have is None:  # a task that nobody knows of may still put the mark on it
            return await self._disown(ctx, host)
        if ctx.object.spec.deletion_policy is DeletionPolicy.DELETE:
            return await self._remove(ctx, host)
        if have.volumes:  # without its mark nobody would know who has them
            ctx.event("Normal", "Retained", f"left on host {host.name} with its owner mark, since it has volumes of Vireo")
            return self._unrecorded(ctx) or await self._let_go(ctx)
        return await self._disown(ctx, host)

    async def _disown(self, ctx: Context[VirtualMachine], link: HostLink) -> Result:
        """Leave an adopted VM as it is, without our mark."""
        ctx.conditions.remove("DeletionBlocked")
        running = await job.begin(ctx, Command.UNMANAGE, self._services.new_id)
        if isinstance(running, Result):
            return running
        if running.native_ref is not None and (unfinished := await self._follow(ctx, link, OpRef(running.native_ref))):
            return unfinished
        outcome = await link.disown(_identity(ctx), ctx.uid)
        if isinstance(outcome, Started):
            jobs.started(running, outcome.op)
            await ctx.save("Unmanaging", "the hypervisor is taking the owner mark off the VM")
            return requeue(_POLL, "Unmanaging", "the hypervisor is taking the owner mark off the VM")
        ctx.event("Normal", "Retained", f"left on host {link.name} as it is, without an owner mark")
        return await self._let_go(ctx)

    def _unrecorded(self, ctx: Context[VirtualMachine]) -> Result | None:
        """A retained VM waits until its volumes have on record who has them: its own status goes with it."""
        instance = _identity(ctx)
        for mount in ctx.object.status.volumes:
            for volume in volumes_by_id.of(ctx.store, mount.volume_id):
                user = next(iter(self._services.attachments.having(volume)), None)
                record = volume.status.attached_to
                if user and user.instance == instance and (record is None or record.instance_id != instance):
                    message = f"volume {volume.metadata.name} is to be recorded as left with the VM"
                    return waiting("VolumeNotReady", message, retry_after=_POLL)
        return None

    def _host(self, ctx: Context[VirtualMachine]) -> HostLink | Result | None:
        """The host to delete on, None if the VM provably is nowhere."""
        instance = _identity(ctx)
        found = self._services.inventory.find(instance)
        name = found[0] if found and found[1].owner.uid == ctx.uid else ctx.object.status.host
        if name is None:
            return self._blocked(ctx, undecided) if (undecided := self._seating.undecided(ctx)) else None
        link = self._services.inventory.link(name)
        if link is None or not link.up:
            return self._blocked(ctx, waiting("DeletionBlocked", silent(name, link), retry_after=_RETRY))
        return link

    def _blocked(self, ctx: Context[VirtualMachine], why: Result) -> Result:
        message = f"{why.message}; annotate with {FORCE_DELETE}={ctx.uid} to give up what may be left there"
        ctx.conditions.set("DeletionBlocked", True, why.reason, message)
        return waiting("DeletionBlocked", message, retry_after=_RETRY)

    async def _remove(self, ctx: Context[VirtualMachine], link: HostLink) -> Result:
        ctx.conditions.remove("DeletionBlocked")
        running = await job.begin(ctx, Command.DESTROY, self._services.new_id, VirtualMachineState.EXPUNGING)
        if isinstance(running, Result):
            return running
        if running.native_ref is not None:
            unfinished = await self._follow(ctx, link, OpRef(running.native_ref))
            if unfinished:
                return unfinished
        elif moved := await self._moved(ctx, link):
            return moved
        outcome = await link.delete(_identity(ctx), self._pools(ctx, link.name))
        if isinstance(outcome, Started):
            jobs.started(running, outcome.op)
            await ctx.save("Expunging", "the hypervisor is removing the VM")
            return requeue(_POLL, "Expunging", "the hypervisor is removing the VM")
        if ctx.object.status.volumes:
            await link.observe(_identity(ctx))  # its volumes are free for others once it is seen to be gone
        return await self._let_go(ctx)

    async def _moved(self, ctx: Context[VirtualMachine], link: HostLink) -> Result | None:
        """Whether the VM is on another host by now: what is left of it here may be the disk that it runs on there."""
        instance = _identity(ctx)
        if await link.observe(instance, fresh=True):
            return None
        if given(ctx.object):
            raise Recalled("it is not on its host")
        found = await self._services.inventory.search(instance)
        if found and found[0] != link.name:
            return requeue(0, "Moved", f"the VM was moved to host {found[0]}")
        return None if await link.confirm() else self._blocked(ctx, waiting("HostDown", silent(link.name, link)))

    async def _follow(self, ctx: Context[VirtualMachine], link: HostLink, op: OpRef) -> Result | None:
        """Poll the native task; after it, delete is called once more and finds nothing, or finds what is left."""
        try:
            progress = await link.poll(op, _identity(ctx))
        except NotFound:
            progress = Succeeded()
        match progress:
            case Running():
                return requeue(_POLL, "Expunging", "the hypervisor is removing the VM")
            case Failed(reason):
                if ctx.object.status.job:
                    ctx.object.status.job.native_ref = None
                return failed("TaskFailed", reason, retry_after=_RETRY)
        return None

    def _pools(self, ctx: Context[VirtualMachine], host: str) -> list[PoolSpec]:
        """Pools of the host that may hold a disk of the VM: those that the status names, all in reach if it was lost."""
        named = [ctx.store.get(StoragePool, disk.pool) for disk in ctx.object.status.disks]
        found = [pool for pool in named if pool is not None] or self._in_reach(ctx, host)
        return [pool_spec(pool) for pool in found if has_files(pool)]

    def _in_reach(self, ctx: Context[VirtualMachine], host: str) -> list[StoragePool]:
        store = ctx.store
        local = pools_by_host.of(store, host)
        parent = store.get(Host, host)
        cluster = pools_by_cluster.of(store, parent.spec.cluster) if parent else []
        zone = [pool for pool in pools_by_zone.of(store, ctx.object.spec.zone) if pool.spec.scope is PoolScope.ZONE]
        return [*local, *cluster, *zone]

    async def _let_go(self, ctx: Context[VirtualMachine]) -> Result:
        await ctx.remove_finalizer()
        return done("Deleted")


def _identity(ctx: Context[VirtualMachine]) -> InstanceID:
    """The VM to delete. One that was to be adopted may carry our mark already, though no status says so."""
    return to_adopt(ctx.object) or instance_of(ctx.object)


def _begun(ctx: Context[VirtualMachine]) -> bool:
    """Whether the VM was about to be adopted, or let go of, and nobody has written down how that ended."""
    running = job.current(ctx.object)
    return running is not None and running.command in (Command.IMPORT, Command.UNMANAGE)


async def _marked(link: HostLink, instance: InstanceID, uid: str) -> ObservedVM | None:
    """The VM, if it carries the mark of this owner."""
    try:
        have = await link.observe(instance, fresh=True)
    except Conflict:
        link.let_go(instance)
        return None
    return have if have is not None and have.owner.uid == uid else None
