"""What to do next about a VM: pure functions from declared and observed to one action.

Each rule is one small function that answers with an action or None; the first answer counts. Nothing here calls anything but the
driver's `apply_mode`, which makes no call itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from controller.runtime.results import Result
from controller.vm.facets import disks, nics, seed, size, volumes
from crds.fields import Quantity
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    Moved,
    ObservedVM,
    Power,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    Unplugged,
    VolumeID,
)

ModeOf = Callable[[Change, ObservedVM], ApplyMode]


@dataclass(frozen=True, slots=True)
class Want:
    """What is declared. `restart` is set while a restart was asked for and has not been carried out.

    `missing`: what has to be waited for before the VM can have all its volumes; one that exists goes on without them.
    """

    vm: DesiredVM
    power_on: bool
    restart: bool = False
    missing: Result | None = None


class Why(StrEnum):
    """Why a VM is stopped or started; decides the job's command."""

    DECLARED = "Declared"
    RESTART = "Restart"
    CRASHED = "Crashed"


@dataclass(frozen=True, slots=True)
class Create:
    """Define the VM with its disks."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Bring the VM to power off."""

    why: Why


@dataclass(frozen=True, slots=True)
class RecordRestart:
    """The VM is off on behalf of a restart: remember that the request is served, then start."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Change the VM's hardware."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Power on."""


Action = Create | Stop | RecordRestart | Apply | Start


@dataclass(frozen=True, slots=True)
class Pending:
    """A declared value that the running VM does not have yet, and what it needs to get it.

    `field` is a path below spec; `userData` stands for all that the cloud-init seed is made of.
    """

    field: str
    current: str
    desired: str
    needs: ApplyMode


def plan(want: Want, have: ObservedVM | None, mode_of: ModeOf) -> Action | None:
    """The next action, None if all is as declared as far as the running VM can have it."""
    if have is None:
        return Create()
    for rule in (clear_crash, serve_restart_when_off, stop_when_declared_off, stop_for_restart):
        action = rule(want, have)
        if action:
            return action
    return apply_what_can_be(want, have, mode_of) or start_when_declared_on(want, have)


def clear_crash(_want: Want, have: ObservedVM) -> Action | None:
    """A crashed VM is brought to power off first; what is declared decides the rest."""
    return Stop(Why.CRASHED) if have.power is Power.CRASHED else None


def serve_restart_when_off(want: Want, have: ObservedVM) -> Action | None:
    """A restart is served once the VM was seen off; for one that is declared off there is nothing more to it."""
    return RecordRestart() if want.restart and have.power is Power.OFF else None


def stop_when_declared_off(want: Want, have: ObservedVM) -> Action | None:
    """A VM declared off is stopped."""
    return Stop(Why.DECLARED) if not want.power_on and is_on(have) else None


def stop_for_restart(want: Want, have: ObservedVM) -> Action | None:
    """A restart begins with a stop."""
    return Stop(Why.RESTART) if want.restart and is_on(have) else None


def apply_what_can_be(want: Want, have: ObservedVM, mode_of: ModeOf) -> Action | None:
    """Write all changes that the VM's power allows; those for the next start are written once.

    What is replaced comes under the name of the old one: it waits until that is gone. So does a NIC with an address that another
    one of the VM still has. What a snapshot of the VM forbids waits too, and a NIC in the air for its network.
    """
    lacking = {nic.name for nic in nics.in_vain(want.vm, have)}
    changes = [each for each in differences(want.vm, have) if not _held(each, have) and not _attaches(each, lacking)]
    due = [change for change in changes if _due(change, have, mode_of)]
    staying = {change.name for change in changes if isinstance(change, DetachNIC) and change not in due}
    leaving = {change.volume for change in changes if isinstance(change, DetachVolume)}
    taken = {each.name for each in have.volumes if each.volume in leaving}
    ready = [
        change
        for change in due
        if not (isinstance(change, AttachNIC) and (change.nic.name in staying or nics.taken(change.nic, have)))
        and not (isinstance(change, AttachVolume) and (change.attachment.volume in leaving or change.attachment.name in taken))
    ]
    return Apply(tuple(ready)) if ready else None


def held_by_snapshots(want: DesiredVM, have: ObservedVM) -> list[str]:
    """Fields whose change waits until the VM has no snapshots any more."""
    if not have.snapshots:
        return []
    return sorted({field_of(change, have) for change in differences(want, have) if _held(change, have)})


def field_of(change: Change, have: ObservedVM) -> str:
    """The field that declares what the change is to bring, as a path from the object on."""
    return f"spec.{_described(change, have)[0]}"


def awaits_guest(change: Change, have: ObservedVM) -> bool:
    """Whether all was done for it: the guest was given this memory, has it at its next start anyway, and has not taken it."""
    return isinstance(change, SetMemory) and change.memory == have.memory == have.offered_memory


def _held(change: Change, have: ObservedVM) -> bool:
    return bool(have.snapshots) and isinstance(change, GrowDisk | AttachVolume | DetachVolume)


def _attaches(change: Change, names: Collection[str]) -> bool:
    return isinstance(change, AttachNIC) and change.nic.name in names


def start_when_declared_on(want: Want, have: ObservedVM) -> Action | None:
    """A VM declared on is started."""
    return Start() if want.power_on and have.power is Power.OFF else None


def is_on(have: ObservedVM) -> bool:
    """Whether the VM runs or is paused."""
    return have.power in (Power.ON, Power.PAUSED)


def differences(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """All changes that lead from observed to declared, in the order in which they are applied."""
    return [change for facet in (size, disks, nics, volumes, seed) for change in facet.changes(want, have)]


def pending(want: DesiredVM, have: ObservedVM, mode_of: ModeOf) -> list[Pending]:
    """What the VM does not have yet. One that is off gets everything before it starts, but what only a new VM can have."""
    return _by_field(each for each in _each(want, have, mode_of) if each.needs is not ApplyMode.LIVE)


def outlook(want: DesiredVM, have: ObservedVM, mode_of: ModeOf) -> list[Pending]:
    """Every difference, with what it needs; a VM that is off gets everything at once that it can get at all."""
    return _by_field(_each(want, have, mode_of))


def _each(want: DesiredVM, have: ObservedVM, mode_of: ModeOf) -> Iterator[Pending]:
    for change in differences(want, have):
        needs = mode_of(change, have)
        yield Pending(*_described(change, have), needs if is_on(have) or needs is ApplyMode.RECREATE else ApplyMode.LIVE)


def _by_field(changes: Iterable[Pending]) -> list[Pending]:
    fields: dict[str, Pending] = {}
    for each in changes:
        fields[each.field] = _joined(fields[each.field], each) if each.field in fields else each
    return list(fields.values())


def _joined(one: Pending, two: Pending) -> Pending:
    """Two changes of one field of spec: an offering's CPUs and memory, or a NIC that is replaced."""
    needs = max(one.needs, two.needs, key=list(ApplyMode).index)
    if one.desired == two.current:
        return Pending(one.field, one.current, two.desired, needs)
    return Pending(one.field, f"{one.current}, {two.current}", f"{one.desired}, {two.desired}", needs)


def _due(change: Change, have: ObservedVM, mode_of: ModeOf) -> bool:
    if not is_on(have):
        return mode_of(change, have) is not ApplyMode.RECREATE
    match mode_of(change, have):
        case ApplyMode.LIVE:
            return True
        case ApplyMode.RESTART:
            return not _written(change, have)
        case _:
            return False


def _written(change: Change, have: ObservedVM) -> bool:
    """Whether the next start has it already: what the definition says differs from what runs."""
    match change:
        case SetCPUs(cpus):
            return have.cpus == cpus
        case SetMemory(memory):
            return have.memory == memory
        case _:
            return False


def _described(change: Change, have: ObservedVM) -> tuple[str, str, str]:
    match change:
        case SetCPUs(cpus):
            return "offering", f"{have.running_cpus} CPUs", f"{cpus} CPUs"
        case SetMemory(memory):
            idle = ", which the guest was given and has not taken" if awaits_guest(change, have) else ""
            return "offering", f"{Quantity.of(have.running_memory)} of memory", f"{Quantity.of(memory)} of memory{idle}"
        case GrowDisk(name, wanted):
            return "rootDisk.size", Quantity.of(_disk_size(have, name)), Quantity.of(wanted)
        case SetDiskLimits(name, limits):
            return "offering", f"disk {name}: {_limits(have, name)}", f"disk {name}: {limits}"
        case AttachNIC(nic):
            return f"networks[{nic.name}]", *_places(nic, have)
        case DetachNIC(name):
            return f"networks[{name}]", "present", "absent"
        case AttachVolume(attachment):
            return f"volumes[{attachment.name}]", "absent", attachment.volume
        case DetachVolume(volume):
            return f"volumes[{_attached_name(have, volume)}]", volume, "absent"
        case SetSeed(wanted_seed):
            return "userData", have.seed_digest[:12], wanted_seed.digest[:12]


def _places(nic: DesiredNIC, have: ObservedVM) -> tuple[str, str]:
    """Where a NIC is, and where it is to be."""
    if moved := moved_nics(have).get(nic.name):
        return moved.now, moved.made
    if unplugged := unplugged_nics(have).get(nic.name):
        return "in the air", unplugged.place
    return "absent", nic.network


def unplugged_nics(have: ObservedVM) -> dict[str, Unplugged]:
    """The NICs that are in the air, by name."""
    return {nic.name: nic.unplugged for nic in have.nics if nic.unplugged}


def moved_nics(have: ObservedVM) -> dict[str, Moved]:
    """The NICs that somebody plugged in elsewhere, by name."""
    return {nic.name: nic.moved for nic in have.nics if nic.moved}


def _attached_name(have: ObservedVM, volume: VolumeID) -> str:
    return next((attached.name for attached in have.volumes if attached.volume == volume), volume)


def _limits(have: ObservedVM, name: str) -> str:
    limits = {disk.name: disk.limits for disk in have.disks} | {volume.name: volume.limits for volume in have.volumes}
    return str(limits.get(name) or "limits of another kind")


def _disk_size(have: ObservedVM, name: str) -> int:
    return next((disk.size for disk in have.disks if disk.name == name), 0)
