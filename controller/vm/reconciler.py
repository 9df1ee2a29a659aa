"""Drives one VirtualMachine: references, a place, addresses, an image, and then what the plan says, one action after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.inventory import result_of
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done, failed, waiting
from controller.runtime.store import Store
from controller.shared import operation
from controller.shared.deletion import existence
from controller.shared.holds import VM_WATCHES, keep_vm
from controller.shared.instances import instance_of, to_adopt
from controller.shared.library import image_name
from controller.shared.lookups import (
    qualified,
    vms_by_adopted,
    vms_by_cluster,
    vms_by_host,
    vms_by_network,
    vms_by_offering,
    vms_by_template,
    vms_by_volume,
    vms_unplaced,
)
from controller.vm import growth, job, report, restart, room
from controller.vm.adoption import Adopting
from controller.vm.crash import Crashes
from controller.vm.delegation import Recalled, addresses, allow, given
from controller.vm.delete import Deletion
from controller.vm.drift import hardware_drift, power_drifted, report_hardware, rootless, waits_for_network
from controller.vm.guests import Guests
from controller.vm.marking import Marking
from controller.vm.plan import Action, Apply, Create, Start, Want, held_by_snapshots, pending, plan
from controller.vm.references import References, resolve
from controller.vm.rests import Rests
from controller.vm.seat import Seat, Seating
from controller.vm.services import Services
from controller.vm.steps import Steps
from controller.vm.suspension import Suspension
from controller.vm.translate import desired, limits_of
from controller.vm.undriven import Undriven
from controller.vm.userdata import user_data
from controller.vm.volumes import Mounting, show
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import AdminState, Host
from crds.v1alpha1.network import Network
from crds.v1alpha1.serviceoffering import ServiceOffering
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.template import Template
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus
from crds.v1alpha1.volume import Volume
from drivers.errors import DriverError, NoRoom
from drivers.types import DesiredVM, ObservedVM, Power

_MOST_ACTIONS = 12
_POWER_LOOKS = 15.0


def _named(obj: Template | Network | Volume) -> str:
    return qualified(obj.metadata.namespace, obj.metadata.name)


def _unplaced(host: Host, store: Store) -> Iterable[Key]:
    """VMs that wait for a place in the zone of this host."""
    cluster = store.get(Cluster, host.spec.cluster)
    return vms_unplaced.keys(store, cluster.spec.zone) if cluster else ()


def _adopters(vm: VirtualMachine, store: Store) -> Iterable[Key]:
    """VMs that name the one that this object has, or names too: once the object is gone they may have it."""
    named = {instance_of(vm), to_adopt(vm) or instance_of(vm)}
    return [key for each in named for key in vms_by_adopted.keys(store, each) if key != Key.of(vm)]


def _room(host: Host) -> object:
    """What of a host matters to VMs that want to go there."""
    status = host.status
    open_now = [each.status for each in status.conditions if each.type == "Schedulable"]
    return status.state, open_now, host.spec.admin_state, host.spec.tags, status.capacity, status.allocated, status.capabilities


def _usability(volume: Volume) -> object:
    """What of a volume matters to VMs that name it."""
    status = volume.status
    ready = [each.reason for each in status.conditions if each.type == "Ready"]
    busy = volume.deleting, jobs.running(status.job)
    return status.state, status.pool, status.volume_id, status.size, status.attached_to, busy, ready


class VirtualMachineReconciler:
    """Makes each VirtualMachine true on a hypervisor."""

    kind = VirtualMachine
    watches: Sequence[Watch] = (
        Watch(
            Host,
            lambda each, store: vms_by_host.keys(store, each.metadata.name),
            of=lambda each: (each.status.state, each.spec.admin_state is AdminState.MAINTENANCE),
        ),
        Watch(Host, _unplaced, of=_room),
        Watch(Cluster, lambda cluster, store: vms_unplaced.keys(store, cluster.spec.zone), of=lambda cluster: cluster.spec),
        Watch(
            Cluster,
            lambda each, store: vms_by_cluster.keys(store, each.metadata.name),
            of=lambda each: each.spec.stopped_reservation,
        ),
        Watch(
            StoragePool,
            lambda pool, store: vms_unplaced.keys(store, pool.spec.zone),
            of=lambda pool: (pool.spec, pool.status.state, pool.status.hosts_failing, pool.status.capacity),
        ),
        Watch(ServiceOffering, lambda each, store: vms_by_offering.keys(store, each.metadata.name), of=lambda each: each.spec),
        Watch(
            Template, lambda each, store: vms_by_template.keys(store, _named(each)), of=lambda each: (each.spec, each.status.state)
        ),
        Watch(
            Network, lambda each, store: vms_by_network.keys(store, _named(each)), of=lambda each: (each.spec, each.status.segment)
        ),
        *VM_WATCHES,
        Watch(VirtualMachine, _adopters, of=existence),
        Watch(Volume, lambda each, store: vms_by_volume.keys(store, _named(each)), of=_usability),
    )

    def __init__(self, services: Services) -> None:
        self._services = services
        self._mounting = Mounting(services.attachments, services.rooms)
        self._seating = Seating(services, self._mounting)
        self._steps = Steps(services, self._seating, self._mounting)
        marking = Marking()
        self._deletion = Deletion(services, self._seating, marking)
        self._suspension = Suspension(services.pools)
        self._crashes = Crashes()
        self._adopting = Adopting(services, self._seating, self._steps, marking)
        self._rests = Rests()
        self._guests = Guests()
        self._undriven = Undriven(services, self._steps, self._rests, self._suspension)

    async def reconcile(self, ctx: Context[VirtualMachine]) -> Result:
        """Drive one VirtualMachine towards its spec until it is there, or something has to be waited for."""
        try:
            self._services.delegation.admit(ctx)
            if held := keep_vm(ctx):
                await self._undriven.held(ctx)
                return held
            if ctx.deleting:
                return await self._deletion.run(ctx)
            return await self._adopting.run(ctx) or await self._drive(ctx)
        except Recalled as why:
            return self._services.delegation.give_back(ctx, str(why))
        except DriverError as error:
            return _refused(ctx, error)

    def forget(self, key: Key, uid: str) -> None:
        """Give back the place and the addresses of a VM that is gone."""
        self._seating.forget(uid)
        self._services.addressing.forget(uid)
        self._mounting.forget(uid)
        self._steps.forget(uid)
        self._rests.forget(uid)
        self._guests.forget(uid)
        self._suspension.forget(uid)
        self._crashes.forget(uid)

    async def _drive(self, ctx: Context[VirtualMachine]) -> Result:
        refs = resolve(ctx.object, ctx.store)
        if not isinstance(refs, References):
            return await self._undriven.look(ctx, refs)
        data = await user_data(ctx, self._services.secrets) if refs.template else None
        if isinstance(data, Result):
            return await self._undriven.look(ctx, data)
        seat = self._seating.seat(ctx, refs)
        if not isinstance(seat, Seat):
            return await self._undriven.look(ctx, seat)
        if given(ctx.object):
            nics: list[NICStatus] | Result = addresses(ctx.object, refs.interfaces)
        else:
            nics = self._services.addressing.assign(ctx.object, refs.interfaces)
        if not isinstance(nics, list):
            return await self._without_addresses(ctx, seat, nics)
        image = image_name(refs.template) if refs.template else ""
        wanted = desired(ctx.object, refs, seat.site, nics, image, data)
        return await self._converge(ctx, refs, seat, wanted, nics)

    async def _without_addresses(self, ctx: Context[VirtualMachine], seat: Seat, why: Result) -> Result:
        """A VM that can't have its addresses does not keep a place that others could use."""
        outcome = await self._undriven.look(ctx, why)
        ctx.conditions.set("NetworksReady", False, why.reason, why.message)
        if seat.fresh:
            self._services.placements.release(ctx.uid)
            ctx.conditions.remove("Placed")
        return outcome

    async def _converge(
        self, ctx: Context[VirtualMachine], refs: References, seat: Seat, wanted: DesiredVM, nics: list[NICStatus]
    ) -> Result:
        """Observe, plan, act, and again, until there is nothing left to do now."""
        lack = ""
        if not given(ctx.object):  # one that was given away has the room, and needs no more
            refs, wanted, lack = await self._claim_room(ctx, refs, seat, wanted)
        closed = room.in_maintenance(ctx, seat)
        if unfinished := await self._steps.follow(ctx, seat.link):
            return unfinished
        for _ in range(_MOST_ACTIONS):
            have = await seat.link.observe(wanted.instance)
            mounts = self._mounting.mounts(ctx, seat.link.name, have)
            limited = tuple(replace(each, limits=limits_of(refs.offering)) for each in mounts.attachments)
            full, on = replace(wanted, volumes=limited), ctx.object.spec.power_state is PowerState.ON
            want = Want(full, on, restart=restart.due(ctx) and not (closed and on), missing=mounts.missing)
            if have is not None:
                by_hand = hardware_drift(ctx, full, have, self._rests.seen(ctx))
                _look(ctx, seat, have, nics)
                self._services.addressing.observed(ctx.object, have)
                left = report_hardware(ctx, have, by_hand) if by_hand else None
                if drift := power_drifted(ctx, have) or left:
                    return await self._suspension.beside(ctx, seat.link, have, drift)
                if rests := self._crashes.rest(ctx, have, restart=want.restart):
                    return rests
            action = plan(want, have, seat.link.apply_mode)
            self._rest(ctx, action, have)
            if action is None and have is not None and await self._guests.news(ctx, seat.link, have):
                continue
            if have is not None and (action is None or isinstance(action, Apply)):
                halted = await self._suspension.take(ctx, seat.link, have)
                if halted is None and have.power is Power.PAUSED:
                    continue  # it was let go on
                if action is None:
                    return self._settled(ctx, refs, seat, want, have, halted or lack)
            if action is not None and given(ctx.object):
                allow(ctx, action)
            if isinstance(action, Start) and (kept_off := (have and rootless(ctx, have)) or room.not_started(ctx, seat, lack)):
                return kept_off
            if action is not None and (unfinished := await self._steps.take(ctx, refs, seat, want, have, nics, action)):
                return unfinished
        return failed("NotConverging", f"still not as declared after {_MOST_ACTIONS} actions; see the controller's log")

    def _rest(self, ctx: Context[VirtualMachine], action: Action | None, have: ObservedVM | None) -> None:
        """Note what the VM rests on, once nothing of its hardware is left to be changed now."""
        if isinstance(action, Create | Apply):
            self._rests.forget(ctx.uid)
        elif have is not None and (action is None or isinstance(action, Start)):
            self._rests.note(ctx, have)

    async def _claim_room(
        self, ctx: Context[VirtualMachine], refs: References, seat: Seat, wanted: DesiredVM
    ) -> tuple[References, DesiredVM, str]:
        """What of the declared size the host and the pool have room for, and what they lack for the rest, "" if nothing."""
        if ctx.object.status.room_released:
            await seat.link.observe(wanted.instance)  # it may have been started by hand
        # from here on nobody else has a turn until the room is taken
        refs, wanted, tight = growth.affordable(ctx, self._services, refs, wanted)
        wanted, lack = room.claim(ctx, self._services.placements, refs, seat, wanted)
        return refs, wanted, lack or tight

    def _settled(
        self, ctx: Context[VirtualMachine], refs: References, seat: Seat, want: Want, have: ObservedVM, lack: str | Result
    ) -> Result:
        """Nothing left to do now. `lack`: what the host lacks for the declared size, or why the VM is suspended; all else is as
        declared.
        """
        vm, to_come = ctx.object, restart.wait(ctx)
        report.pending(vm.status, pending(want.vm, have, seat.link.apply_mode), ctx.conditions)
        room.trim(ctx, self._services.placements, want.vm, have)
        report.guest_ready(vm, ctx.conditions)
        if have.power is Power.UNKNOWN:
            message = "the hypervisor does not say whether the VM runs"
            ctx.conditions.set("PowerStateSynced", "Unknown", "PowerUnknown", message)
            return waiting("PowerUnknown", message, retry_after=_POWER_LOOKS)
        if not isinstance(lack, str):
            job.finish(ctx)
            return lack
        ctx.conditions.set("PowerStateSynced", True, "AsDeclared")
        job.finish(ctx)
        if lost := rootless(ctx, have):
            return lost
        if lack:
            return waiting("InsufficientCapacity", f"{lack} for the new size", retry_after=room.RETRY)
        if restart.due(ctx) and not want.restart:
            return waiting("HostInMaintenance", f"host {seat.link.name} is in maintenance: the restart waits until that is over")
        if want.missing:
            return want.missing
        if lost := waits_for_network(want.vm, have):
            return lost
        if held := held_by_snapshots(want.vm, have):
            message = f"the VM has {len(have.snapshots)} snapshots; once they are deleted, this takes effect: {', '.join(held)}"
            return waiting("SnapshotsExist", message, retry_after=room.RETRY)
        self._services.rooms.refusals.forget(ctx.uid)
        guest = room.give_back(ctx, self._services.placements, refs, seat) or self._guests.again(ctx, seat.link, have)
        looks = guest, to_come, self._services.addressing.look_again(ctx.uid)
        again = min(filter(None, looks), default=None)
        # one that is to give room back at its restart stays with the shard that counts it
        leaves = not (vm.status.pending_changes or vm.status.former_nics) and self._services.delegation.give(ctx, seat.site.cluster)
        return done(str(vm.status.state), recheck_after=0.0 if leaves else again)


def _look(ctx: Context[VirtualMachine], seat: Seat, have: ObservedVM, nics: list[NICStatus]) -> None:
    vm, name = ctx.object, ctx.object.status.hypervisor_name
    if name is not None and report.short(have.name) != name:
        ctx.event(
            "Warning", "Renamed", f"on the hypervisor from {name} to {report.short(have.name)}; a name is for people, and left"
        )
    report.place(vm.status, seat.link.name, seat.site.cluster.metadata.name, have.instance, nics)
    report.observed(vm, have, ctx.conditions, ctx.store)
    show(vm, have, ctx.store)
    room.note_power(ctx, have)
    ctx.conditions.set("Placed", True, "Placed", f"host {seat.link.name}")


def _refused(ctx: Context[VirtualMachine], error: DriverError) -> Result:
    """The hypervisor said no: the job ends if nothing will be tried again by itself."""
    result = result_of(error)
    ctx.log.info("hypervisor call failed", reason=error.reason, error=str(error))
    if isinstance(error, NoRoom):
        operation.cancel(ctx, str(error))
    if ctx.object.status.job and getattr(result, "terminal", False):
        job.fail(ctx, str(error))
    return result
