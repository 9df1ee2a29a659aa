"""CPU and memory of a VM on its host: kept for a while when it is stopped, then given back, and needed again to start."""

from __future__ import annotations

from dataclasses import replace

from controller.placing.placement import Placements, group_of
from controller.runtime.context import Context
from controller.runtime.results import Result, waiting
from controller.scheduler import Allocation
from controller.shared.lookups import vms_unplaced
from controller.vm.delegation import Recalled, given
from controller.vm.references import References
from controller.vm.seat import Seat
from crds.fields import Timestamp
from crds.v1alpha1.host import AdminState, Host
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from drivers.types import DesiredVM, ObservedVM, Power

RETRY = 30.0
"""Seconds after which a VM that waits for room looks again."""


def claim(
    ctx: Context[VirtualMachine], placements: Placements, refs: References, seat: Seat, wanted: DesiredVM
) -> tuple[DesiredVM, str]:
    """Have the room for the declared size: what the VM shall be as far as the host has room, and what it lacks for the rest.

    A VM that is stopped and has given its room back changes its size freely: room is looked for when it is to start. What a running
    VM is to have less of at its next start, it takes until then.
    """
    vm, known = ctx.object, seat.link.known(wanted.instance)
    if vm.status.room_released and vm.spec.power_state is PowerState.OFF and not _runs(known):
        placements.release_room(ctx.uid, refs.root_size)
        return wanted, ""
    has = (max(known.cpus, known.running_cpus), max(known.memory, known.running_memory)) if known else None
    if vm.status.room_released and not _runs(known):
        has = (0, 0)
    lack = placements.resize(ctx.uid, *_taken(wanted, known), refs.root_size, has)
    size = placements.size(ctx.uid)
    if lack and size and not size.released:
        wanted = replace(wanted, cpus=size.cpus, memory=size.memory)
    if not (lack and vm.status.room_released):
        vm.status.room_released = None
    return wanted, lack


def trim(ctx: Context[VirtualMachine], placements: Placements, wanted: DesiredVM, have: ObservedVM) -> None:
    """Give back what a VM had more than it has since its restart, and wake those that wait for room."""
    held, size = placements.size(ctx.uid), _taken(wanted, have)
    if held is None or (held.cpus <= size[0] and held.memory <= size[1]):
        return
    placements.resize(ctx.uid, *size, held.disk, size)
    for key in vms_unplaced.keys(ctx.store, ctx.object.spec.zone):
        ctx.enqueue(key)


def keep(ctx: Context[VirtualMachine], placements: Placements, have: ObservedVM) -> None:
    """Count a VM on its host as it is seen there, if it is not counted: its offering is gone, and nothing else tells its size."""
    status = ctx.object.status
    if status.host is None or not status.disks or status.room_released or placements.size(ctx.uid) is not None:
        return
    root = status.disks[0]
    cpus, memory = max(have.cpus, have.running_cpus), max(have.memory, have.running_memory)
    placements.occupy(ctx.uid, Allocation(status.host, root.pool, cpus, memory, root.size.bytes, group_of(ctx.object)))


def note_power(ctx: Context[VirtualMachine], have: ObservedVM) -> None:
    """Record since when the VM is stopped as declared."""
    status = ctx.object.status
    if have.power is Power.OFF and ctx.object.spec.power_state is PowerState.OFF:
        status.stopped_at = status.stopped_at or Timestamp.at(ctx.clock.now())
    elif have.power is not Power.UNKNOWN:
        status.stopped_at = None


def give_back(ctx: Context[VirtualMachine], placements: Placements, refs: References, seat: Seat) -> float | None:
    """Give back the room of a VM that has been stopped for as long as its cluster keeps it.

    Returns the seconds until then, None if there is nothing to give back. Raises Recalled.
    """
    status = ctx.object.status
    if status.stopped_at is None or status.room_released:
        return None
    kept = seat.site.cluster.spec.stopped_reservation.timedelta
    left = (status.stopped_at.datetime + kept - ctx.clock.now()).total_seconds()
    if left > 0:
        return left
    if given(ctx.object):
        raise Recalled("it gives its room back")
    status.room_released = True
    placements.release_room(ctx.uid, refs.root_size)
    return None


def not_started(ctx: Context[VirtualMachine], seat: Seat, lack: str) -> Result | None:
    """Why the VM must not be started now: it gave its room back and the host is full, or the host is in maintenance."""
    if ctx.object.status.room_released and lack:
        return waiting("InsufficientCapacity", f"{lack} to start the VM, which gave its room back while stopped", retry_after=RETRY)
    if in_maintenance(ctx, seat):
        return waiting("HostInMaintenance", f"host {seat.link.name} is in maintenance: no VM is started there")
    return None


def in_maintenance(ctx: Context[VirtualMachine], seat: Seat) -> bool:
    """Whether the VM's host is to be emptied."""
    host = ctx.store.get(Host, seat.link.name)
    return host is not None and host.spec.admin_state is AdminState.MAINTENANCE


def _taken(wanted: DesiredVM, known: ObservedVM | None) -> tuple[int, int]:
    """CPUs and memory that a VM takes: what is declared, and what it runs with if that is more."""
    if known is None or not _runs(known):
        return wanted.cpus, wanted.memory
    return max(wanted.cpus, known.running_cpus), max(wanted.memory, known.running_memory)


def _runs(known: ObservedVM | None) -> bool:
    return known is not None and known.power in (Power.ON, Power.PAUSED)
