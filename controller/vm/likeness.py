"""A VM that is to be adopted beside what is declared: every difference, and what adopting it does about each. Pure.

What would change after the adoption follows from the same plan as for every VM; the VM is looked at as it would be observed then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from controller.vm.pairing import LONGEST, difference, misplaced, new_nic, paired, refused
from controller.vm.plan import ModeOf, Pending, is_on, outlook
from controller.vm.references import References
from controller.vm.translate import ROOT, Site, desired, owner_of
from crds.fields import Quantity
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import Difference, DiskStatus, Effect, NICStatus
from drivers.adoption import AdoptedDisk, Adoption, FoundDisk, FoundVM
from drivers.types import (
    ApplyMode,
    AttachVolume,
    DesiredVM,
    ObservedDisk,
    ObservedNIC,
    ObservedVM,
    PoolSpec,
    VolumeAttachment,
    VolumeID,
)

__all__ = ["Likeness", "compare", "root_of"]

_EFFECTS = {ApplyMode.LIVE: Effect.LIVE, ApplyMode.RESTART: Effect.RESTART, ApplyMode.POWER_OFF: Effect.POWER_OFF}
Trouble = Callable[[NICStatus], str]
"""Why a NIC can't keep its addresses, "" if it can."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a VM differs from its declaration, and what is to be written for it: its mark, its NICs and its disks."""

    differences: tuple[Difference, ...]
    adoption: Adoption
    nics: tuple[NICStatus, ...]
    disks: tuple[DiskStatus, ...]

    @property
    def refusals(self) -> list[Difference]:
        """Differences that forbid the adoption."""
        return [each for each in self.differences if each.effect == Effect.REFUSED]


def root_of(found: FoundVM, pools: Mapping[str, str]) -> FoundDisk | None:
    """The disk that the VM boots from, if it lies in a storage pool; `pools` are their names by directory."""
    first = next((disk for disk in found.disks if disk.exclusive and disk.path), None)
    return first if first is not None and _pool(first, pools) else None


def compare(
    vm: VirtualMachine, refs: References, site: Site, found: FoundVM, pools: Mapping[str, str], mode_of: ModeOf, trouble: Trouble
) -> Likeness:
    """Everything that differs. The VM must have a root disk, see `root_of`; its pool is that of `site`."""
    refusals: list[Difference] = []
    pairs = paired(vm, refs.interfaces, found, refusals)
    new = [new_nic(vm, each) for each in refs.interfaces if each.spec.name not in {pair.interface.spec.name for pair in pairs}]
    want = desired(vm, refs, site, [*(pair.status for pair in pairs), *new], "", None)
    nics = {nic.name: nic for nic in want.nics}
    refusals += [each for pair in pairs for each in misplaced(pair, nics[pair.status.name])]
    refusals += [
        refused(f"spec.networks[{pair.status.name}]", pair.status.ip or "", pair.found.mac, why)
        for pair in pairs
        if (why := trouble(pair.status))
    ]
    disks = _disks(found, pools)
    replaces = found.owner.uid if found.owner else ""
    adoption = Adoption(owner_of(vm), disks, tuple(nics[pair.status.name] for pair in pairs), replaces)
    differences = [
        *refusals,
        *_changes(vm, want, _as_adopted(found, adoption), mode_of),
        *_fixed(vm, found),
        *_left_alone(vm, found, disks, {pair.found.mac for pair in pairs}),
    ]
    kept = {each.field: each for each in reversed(differences)}  # of two about one field the first counts: refusals come first
    recorded = tuple(
        DiskStatus(name=disk.name, pool=disk.pool, volume_id=disk.path[:LONGEST], size=Quantity.of(disk.size))
        for disk in disks
        if disk.pool
    )
    return Likeness(tuple(reversed(kept.values())), adoption, tuple(pair.status for pair in pairs), recorded)


# Disks ---------------------------------------------------------------------------------------------------------------


def _disks(found: FoundVM, pools: Mapping[str, str]) -> tuple[AdoptedDisk, ...]:
    """All disks and drives under the names that Vireo gives them; only those that lie in a pool, and are the VM's own, have one."""
    root = root_of(found, pools)
    return tuple(
        AdoptedDisk(
            name=ROOT if disk is root else disk.device,
            device=disk.device,
            path=disk.path,
            pool=_pool(disk, pools) if disk.exclusive else "",
            size=disk.size,
        )
        for disk in found.disks
    )


def _pool(disk: FoundDisk, pools: Mapping[str, str]) -> str:
    return pools.get(str(PurePosixPath(disk.path).parent), "") if disk.path else ""


# What would change ---------------------------------------------------------------------------------------------------


def _as_adopted(found: FoundVM, adoption: Adoption) -> ObservedVM:
    """The VM as it will be observed with our mark."""
    limits = {disk.device: disk.limits for disk in found.disks}
    return ObservedVM(
        instance=found.instance,
        owner=adoption.owner,
        name=found.name,
        host=found.host,
        power=found.power,
        cpus=found.cpus,
        memory=found.memory,
        running_cpus=found.running_cpus,
        running_memory=found.running_memory,
        disks=tuple(ObservedDisk(disk.name, disk.pool, disk.path, disk.size, limits[disk.device]) for disk in adoption.disks),
        nics=tuple(ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip) for nic in adoption.nics),
        most_cpus=found.most_cpus,
    )


def _changes(vm: VirtualMachine, want: DesiredVM, have: ObservedVM, mode_of: ModeOf) -> Iterator[Difference]:
    on = vm.spec.power_state is PowerState.ON
    if on != is_on(have):
        message = "the VM is started" if on else "the VM is stopped"
        yield difference("spec.powerState", vm.spec.power_state, have.power, Effect.LIVE, message)
    for each in outlook(want, have, mode_of):
        yield _planned(each)
    for mount in vm.spec.volumes:
        change = AttachVolume(VolumeAttachment(mount.name, VolumeID(""), PoolSpec("", "")))
        needs = mode_of(change, have) if is_on(have) else ApplyMode.LIVE
        yield _planned(Pending(f"volumes[{mount.name}]", "absent", mount.volume, needs))


def _planned(each: Pending) -> Difference:
    return difference(f"spec.{each.field}", each.desired, each.current, _EFFECTS.get(each.needs, Effect.REFUSED))


def _fixed(vm: VirtualMachine, found: FoundVM) -> Iterator[Difference]:
    """What adopting a VM can't change."""
    spec, again = vm.spec, "it was settled when the guest was set up"
    if spec.firmware and spec.firmware.value != found.firmware.value:
        yield refused("spec.firmware", spec.firmware, found.firmware, "firmware can't be changed")
    if spec.hostname and spec.hostname != found.guest.hostname:
        yield difference("spec.hostname", spec.hostname, found.guest.hostname, Effect.IGNORED, again)
    if spec.ssh_keys:
        yield difference("spec.sshKeys", f"{len(spec.ssh_keys)} keys", "", Effect.IGNORED, again)
    if spec.user_data:
        yield difference("spec.userData", "present", "", Effect.IGNORED, again)


def _left_alone(
    vm: VirtualMachine, found: FoundVM, disks: Sequence[AdoptedDisk], declared: Collection[str]
) -> Iterator[Difference]:
    """What the VM has and spec says nothing of: it stays."""
    size = vm.spec.root_disk.size
    for disk in disks:
        if disk.name == ROOT and size and size.bytes < disk.size:
            yield difference("spec.rootDisk.size", size, Quantity.of(disk.size), Effect.IGNORED, "a disk never shrinks")
        elif disk.name != ROOT:
            where = f"in storage pool {disk.pool}" if disk.pool else "in no storage pool: it is never grown or removed"
            yield difference(f"disks[{disk.device}]", "", disk.path or "no medium", Effect.IGNORED, f"stays on the VM, {where}")
    for nic in found.nics:
        if nic.mac not in declared:
            text = "stays on the VM, and is shown as a device that Vireo did not make"
            yield difference(f"networks[{nic.mac}]", "", str(nic.segment), Effect.IGNORED, text)
    if found.snapshots:
        text = "they stay; while there are any, disks can't grow and volumes can't come or go"
        yield difference("snapshots", "", str(found.snapshots), Effect.IGNORED, text)
