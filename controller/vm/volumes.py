"""Volumes of a VM: which it can have now, where that lets it go, and the intent to attach them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.ipam import volume_id
from controller.placing.attachments import UNBOUND, WAIT_FOR_CONSUMER, Attachments
from controller.placing.rooms import Rooms
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue, waiting
from controller.runtime.store import Store
from controller.scheduler import NewVolume
from controller.shared.holds import on_vm
from controller.shared.lookups import volumes_by_id
from controller.shared.translate import pool_spec
from crds.fields import Quantity
from crds.v1alpha1.host import Host
from crds.v1alpha1.storagepool import PoolScope, StoragePool
from crds.v1alpha1.virtualmachine import VirtualMachine, VolumeMount
from crds.v1alpha1.virtualmachinestatus import VolumeMountStatus
from crds.v1alpha1.volume import Volume, VolumeState
from drivers.types import AttachedVolume, ObservedVM, PoolSpec, VolumeAttachment

_IN_USE_LOOKS = 30.0
_MOST = 64
"""What the status takes."""


@dataclass(frozen=True, slots=True)
class Mounts:
    """The volumes that the VM shall have as far as it can, and what the first of the others waits for."""

    attachments: tuple[VolumeAttachment, ...] = ()
    missing: Result | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the pools of the VM's volumes let it go; empty: anywhere. `new`: those that get a pool when the VM has a host."""

    cluster: str = ""
    host: str = ""
    new: tuple[NewVolume, ...] = ()


class Mounting:
    """Volumes of VMs. Each is claimed as soon as a VM that names it is looked at: on one VM at a time."""

    def __init__(self, attachments: Attachments, rooms: Rooms) -> None:
        self._attachments = attachments
        self._rooms = rooms

    def declared(self, ctx: Context[VirtualMachine]) -> list[str]:
        """The uids of the volumes that the VM names."""
        return [each.metadata.uid for each in self._named(ctx)]

    def homeless(self, ctx: Context[VirtualMachine]) -> bool:
        """Whether a volume that the VM names has no pool, and found none on the VM's host that has the room."""
        return any(
            volume.status.pool is None
            and volume.spec.pool is None
            and _reason(volume) in UNBOUND - {WAIT_FOR_CONSUMER}
            and not self._rooms.held(volume.metadata.uid)
            for volume in self._named(ctx)
        )

    def _named(self, ctx: Context[VirtualMachine]) -> list[Volume]:
        found = (ctx.store.get(Volume, mount.volume, ctx.key.namespace) for mount in ctx.object.spec.volumes)
        return [volume for volume in found if volume is not None]

    def mounts(self, ctx: Context[VirtualMachine], host: str, have: ObservedVM | None) -> Mounts:
        """What of spec.volumes the VM on this host can have. What it has and still declares stays, whatever becomes of it."""
        present = {each.name: each for each in have.volumes} if have else {}
        found: list[VolumeAttachment] = []
        missing: Result | None = None
        for mount in ctx.object.spec.volumes:
            attachment, trouble = self._mount(ctx, mount, host, present.get(mount.name))
            found += [attachment] if attachment else []
            missing = missing or trouble
        named = {volume_id(uid) for uid in self.declared(ctx)}
        self._attachments.keep(ctx.uid, named | {each.volume for each in present.values()})
        return Mounts(tuple(found), missing)

    def reach(self, ctx: Context[VirtualMachine]) -> Reach | Result:
        """Where a VM without a place can go, for its volumes; or what it has to wait for before it can be placed at all."""
        wanted = ctx.object.spec.placement
        reach = Reach(wanted.cluster or "", wanted.host or "")
        for mount in ctx.object.spec.volumes:
            volume = self._usable(ctx, mount)
            if not isinstance(volume, Volume):
                return volume
            if volume.status.pool is None:
                if _reason(volume) in UNBOUND and volume.spec.pool is None:
                    uid, tags = volume.metadata.uid, frozenset(volume.spec.tags)
                    coming = NewVolume(volume.spec.size.bytes, tags, uid, self._rooms.refusals.pools(uid))
                    reach = replace(reach, new=(*reach.new, coming))
                    continue
                return _not_ready(volume)
            pool = ctx.store.get(StoragePool, volume.status.pool)
            if pool is None:
                return waiting("PoolNotFound", f"storage pool {volume.status.pool} of volume {mount.volume} does not exist")
            cluster, host = pool.spec.cluster or "", pool.spec.host or ""
            if (host and reach.host not in ("", host)) or (cluster and reach.cluster not in ("", cluster)):
                message = (
                    f"volume {mount.volume} is reached from {host or cluster} only; placement, or another volume, says otherwise"
                )
                return failed("VolumeUnreachable", message, terminal=True)
            reach = replace(reach, cluster=cluster or reach.cluster, host=host or reach.host)
        return reach

    async def intend(
        self, ctx: Context[VirtualMachine], attachments: Sequence[VolumeAttachment], reason: str, message: str
    ) -> Result | None:
        """Write down that these volumes, which were noted, are about to be attached; then None, unless that must not be any more.

        Whoever deletes, grows or restores one of them does it the other way round: their mark first, then a look at who has it.
        Raises ApiError: the caller must not go on.
        """
        await ctx.save(reason, message)
        found = [next(iter(volumes_by_id.of(ctx.store, each.volume)), None) for each in attachments]
        if all(volume and _at_rest(volume) for volume in found) and on_vm(ctx.store, ctx.object) is None:
            return None
        coming = {each.volume for each in attachments}
        ctx.object.status.volumes = [each for each in ctx.object.status.volumes if each.volume_id not in coming]
        return requeue(0, "VolumeNotReady", "a volume that was to be attached is being deleted, changed or restored")

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._attachments.keep(uid)

    def _mount(
        self, ctx: Context[VirtualMachine], mount: VolumeMount, host: str, present: AttachedVolume | None
    ) -> tuple[VolumeAttachment | None, Result | None]:
        named = ctx.store.get(Volume, mount.volume, ctx.key.namespace)
        if present and (named is None or volume_id(named.metadata.uid) == present.volume):
            self._attachments.note(ctx.object, present.volume)
            pool = ctx.store.get(StoragePool, present.pool)
            spec = pool_spec(pool) if pool else PoolSpec(present.pool, "")
            lun = named.spec.lun if named else None
            return VolumeAttachment(mount.name, present.volume, spec, lun=lun), None if named else _not_found(mount)
        volume = self._usable(ctx, mount)
        if not isinstance(volume, Volume):
            return None, volume
        if volume.status.state != VolumeState.READY or volume.status.volume_id is None or volume.status.pool is None:
            return None, _not_ready(volume)
        if not _at_rest(volume):
            return None, waiting("VolumeNotReady", f"volume {mount.volume} is being worked on")
        pool = ctx.store.get(StoragePool, volume.status.pool)
        if pool is None or not _reaches(pool, host, ctx.store):
            message = f"volume {mount.volume} is in storage pool {volume.status.pool}, which host {host} does not reach"
            return None, waiting("VolumeUnreachable", message)
        return VolumeAttachment(mount.name, volume_id(volume.metadata.uid), pool_spec(pool), lun=volume.spec.lun), None

    def _usable(self, ctx: Context[VirtualMachine], mount: VolumeMount) -> Volume | Result:
        """The Volume, if it is there, stays, and is no other VM's."""
        volume = ctx.store.get(Volume, mount.volume, ctx.key.namespace)
        if volume is None:
            return _not_found(mount)
        if volume.spec.zone != ctx.object.spec.zone:
            message = f"volume {mount.volume} is in zone {volume.spec.zone}, the VM in {ctx.object.spec.zone}"
            return failed("VolumeNotInZone", message, terminal=True)
        if volume.deleting:
            return waiting("VolumeNotReady", f"volume {mount.volume} is being deleted")
        holder = self._attachments.claim(ctx.object, volume)
        if holder is not None:
            message = f"volume {mount.volume} is on VM {holder.name}: a volume can be on one VM at a time"
            return waiting("VolumeInUse", message, retry_after=_IN_USE_LOOKS)
        return volume


def show(vm: VirtualMachine, have: ObservedVM, store: Store) -> None:
    """Record which volumes the VM has."""
    vm.status.volumes = [
        VolumeMountStatus(name=each.name, volume=_name(each.volume, store), volume_id=each.volume, size=Quantity.of(each.size))
        for each in sorted(have.volumes, key=lambda each: each.name)[:_MOST]
    ]


def note(vm: VirtualMachine, attachments: Sequence[VolumeAttachment], store: Store) -> None:
    """Put volumes that are about to be attached among those that the VM has."""
    coming = {each.name: each for each in attachments}
    kept = [each for each in vm.status.volumes if each.name not in coming]
    for each in attachments:
        volume = next(iter(volumes_by_id.of(store, each.volume)), None)
        size = volume.status.size if volume else None
        name = volume.metadata.name if volume else None
        kept.append(VolumeMountStatus(name=each.name, volume=name, volume_id=each.volume, size=size or Quantity.of(0)))
    vm.status.volumes = sorted(kept, key=lambda each: each.name)


def _name(identity: str, store: Store) -> str | None:
    return next((volume.metadata.name for volume in volumes_by_id.of(store, identity)), None)


def _reaches(pool: StoragePool, host: str, store: Store) -> bool:
    parent = store.get(Host, host)
    match pool.spec.scope:
        case PoolScope.HOST:
            return pool.spec.host == host
        case PoolScope.CLUSTER:
            return parent is not None and parent.spec.cluster == pool.spec.cluster
        case _:
            return True


def _at_rest(volume: Volume) -> bool:
    return not volume.deleting and not jobs.running(volume.status.job)


def _reason(volume: Volume) -> str:
    return next((each.reason for each in volume.status.conditions if each.type == "Ready"), "")


def _not_found(mount: VolumeMount) -> Result:
    return waiting("VolumeNotFound", f"volume {mount.volume} does not exist")


def _not_ready(volume: Volume) -> Result:
    why = next((each.message for each in volume.status.conditions if each.type == "Ready" and each.status != "True"), "")
    shown = f"volume {volume.metadata.name} is {volume.status.state or 'not processed yet'}"
    return waiting("VolumeNotReady", f"{shown}: {why}" if why else shown)
