"""What is observed of a VM, put into its status."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from controller.ipam import snapshot_id
from controller.runtime.conditions import Conditions
from controller.runtime.results import Result
from controller.runtime.store import Store
from controller.shared.deletion import listing
from controller.shared.lookups import qualified, snapshots_by_vm
from controller.vm.plan import Pending
from crds.fields import Quantity
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import (
    DiskStatus,
    GuestStatus,
    Needs,
    NICStatus,
    PendingChange,
    VirtualMachineState,
    VirtualMachineStatus,
)
from drivers.types import ApplyMode, ObservedVM, Power

SYNCED, IN_SYNC = "PowerStateSynced", "InSync"
DISK_MISSING, FOREIGN_DEVICES, ORPHANS, DRIFT = "DiskMissing", "ForeignDevices", "OrphanedSnapshots", "Drift"
UNPLUGGED = "Unplugged"
"""Reason of facets of a VM that has a NIC in the air."""
SUSPENDED, FULL, DISK_ERROR = HALTED = "Suspended", "StorageFull", "DiskError"
"""Reasons of a facet of a VM that is suspended."""
CRASHED = "GuestCrashed"
LAST_SEEN = "LastSeenAsDeclared"
"""Reason of a facet of a VM that was as declared when it was seen last."""
LEFT_ALONE = (DISK_MISSING, FOREIGN_DEVICES, ORPHANS)
"""Reasons of InSync for what the VM lacks, or has too much, that nothing is done about: it is Ready all the same, unless it has
lost its root disk."""

_LONGEST_NAME, _LONGEST_ID, _LONGEST_HOSTNAME, _LONGEST_ADDRESS, _MOST_ADDRESSES, _LONGEST_DEVICE = 255, 1024, 253, 45, 64, 64
"""What the status takes: a hypervisor or a guest may say more."""

_STATES = {
    Power.ON: VirtualMachineState.RUNNING,
    Power.PAUSED: VirtualMachineState.RUNNING,
    Power.OFF: VirtualMachineState.STOPPED,
    Power.CRASHED: VirtualMachineState.ERROR,
    Power.UNKNOWN: VirtualMachineState.UNKNOWN,
}


def place(status: VirtualMachineStatus, host: str, cluster: str, instance: str, nics: Sequence[NICStatus]) -> None:
    """Record where the VM is, or shall be, and with which addresses."""
    status.host, status.cluster, status.instance_id = host, cluster, instance
    status.nics = list(nics)
    status.ip_address = next((nic.ip for nic in nics if nic.ip), None)
    status.placement_report = None


def observed(vm: VirtualMachine, seen: ObservedVM, conditions: Conditions, store: Store) -> None:
    """Record power, disks and guest. The state says what is, unless a job is on its way somewhere else."""
    status = vm.status
    status.state = _STATES[seen.power]
    status.hypervisor_name = short(seen.name)
    _disks(status, seen)
    _guest(status, seen)
    conditions.set("DisksReady", True, "Attached", f"{len(seen.disks)} disks")  # also tells that the VM was made
    astray = in_the_air(seen)
    if astray:
        conditions.set("NetworksReady", False, UNPLUGGED, listing(list(astray.values())))
    else:
        conditions.set("NetworksReady", True, "Attached", f"{len(seen.nics)} interfaces")
    out_of_sync(conditions, amiss(vm, seen, store))


def amiss(vm: VirtualMachine, seen: ObservedVM, store: Store) -> list[tuple[str, str]]:
    """What the VM lacks or has too much, by reason and in words, "" where that is nothing. Its status has the disks that it had."""
    missing = sorted({disk.name for disk in vm.status.disks} - {disk.name for disk in seen.disks})
    astray = listing(list(in_the_air(seen).values()))
    snapshots = _orphaned(vm, seen, store) if seen.snapshots else ""
    return [(DISK_MISSING, _removed(missing)), (UNPLUGGED, astray), (FOREIGN_DEVICES, _foreign(seen)), (ORPHANS, snapshots)]


def in_the_air(seen: ObservedVM) -> dict[str, str]:
    """What is to be said of each NIC that is plugged in to nothing, by its name."""
    return {nic.name: f"{nic.name} of network {nic.network} is {nic.unplugged}" for nic in seen.nics if nic.unplugged}


def out_of_sync(conditions: Conditions, found: Sequence[tuple[str, str]]) -> None:
    """Record all that was done by hand, by reason and in words, "" where nothing was; the first reason is the condition's."""
    told = [(reason, text) for reason, text in found if text]
    if told:
        conditions.set(IN_SYNC, False, told[0][0], "; ".join(text for _, text in told))
    else:
        conditions.set(IN_SYNC, True, "AsDeclared")


def _removed(disks: Sequence[str]) -> str:
    return f"removed from the VM on the hypervisor: {listing(disks)}" if disks else ""


def _foreign(seen: ObservedVM) -> str:
    names = [name[:_LONGEST_DEVICE] for name in seen.foreign_devices]
    return f"devices not made by Vireo: {listing(names)}" if names else ""


def _orphaned(vm: VirtualMachine, seen: ObservedVM, store: Store) -> str:
    """Snapshots of ours that no object declares any more, as a leader leaves one that slept and asked for it too late.

    Who declares them may be back with a backup of the API server, so they are left.
    """
    declared = snapshots_by_vm.of(store, qualified(vm.metadata.namespace or "", vm.metadata.name))
    left = {each.snapshot for each in seen.snapshots} - {snapshot_id(each.metadata.uid) for each in declared}
    if left:  # one that doesn't fit its model, as of another version of Vireo, is found by nothing else
        left -= {snapshot_id(store.uid(key) or "") for key in store.keys(Snapshot.KIND)}
    return f"snapshots on the hypervisor that no Snapshot declares: {listing(sorted(left))}" if left else ""


def short(name: str) -> str:
    """A hypervisor's name of a VM as far as the status takes it."""
    return name[:_LONGEST_NAME]


def pending(status: VirtualMachineStatus, changes: Sequence[Pending], conditions: Conditions) -> None:
    """Record what the VM does not have yet, and whether a restart brings any of it."""
    status.pending_changes = [
        PendingChange(field=f"spec.{each.field}", current=each.current, desired=each.desired, needs=Needs(each.needs.value))
        for each in changes
    ]
    coming = [each for each in changes if each.needs is not ApplyMode.RECREATE]
    if coming:
        fields = ", ".join(each.field for each in coming)
        conditions.set("RestartRequired", True, "ChangesPending", f"takes effect at the next restart: {fields}")
    else:
        conditions.remove("RestartRequired")


def _disks(status: VirtualMachineStatus, seen: ObservedVM) -> None:
    """Record the disks. Those that were recorded and are gone stay: their pool is the VM's."""
    recorded = {disk.name: disk for disk in status.disks}
    for disk in seen.disks:
        pool = disk.pool or (recorded[disk.name].pool if disk.name in recorded else "")
        if pool:
            where = disk.volume_id[:_LONGEST_ID]
            recorded[disk.name] = DiskStatus(name=disk.name, pool=pool, volume_id=where, size=Quantity.of(disk.size))
    status.disks = list(recorded.values())


def _guest(status: VirtualMachineStatus, seen: ObservedVM) -> None:
    if seen.power is not Power.ON:
        status.guest = None
    elif seen.guest.told:
        addresses = [address for address in seen.guest.addresses if len(address) <= _LONGEST_ADDRESS][:_MOST_ADDRESSES]
        status.guest = GuestStatus(agent=True, hostname=seen.guest.hostname[:_LONGEST_HOSTNAME] or None, addresses=addresses)
    if status.ip_address is None and status.guest and status.guest.addresses:
        status.ip_address = next(filter(_is_ipv4, status.guest.addresses), None)


def _is_ipv4(text: str) -> bool:
    try:
        return str(IPv4Address(text)) == text
    except ValueError:
        return False


def out_of_sight(vm: VirtualMachine, conditions: Conditions, state: VirtualMachineState = VirtualMachineState.UNKNOWN) -> None:
    """Record that the VM can't be seen, or is gone: nobody can say whether its guest answers."""
    vm.status.state = state
    conditions.remove("GuestReady")


def unseen(vm: VirtualMachine, conditions: Conditions, why: Result) -> None:
    """Record that the VM's host does not answer: how the VM stands is not known.

    What the reasons say of this generation stays: power that was as declared, and is not once the host answers, is drift.
    """
    out_of_sight(vm, conditions)
    for type, kept in ((SYNCED, {DRIFT, LAST_SEEN}), (IN_SYNC, {DRIFT, DISK_MISSING})):
        known = conditions.get(type)
        if known is None:
            continue
        reason = LAST_SEEN if type == SYNCED and known.status == "True" else known.reason
        told = reason if reason in kept and known.observed_generation == vm.metadata.generation else why.reason
        conditions.set(type, "Unknown", told, why.message)


def guest_ready(vm: VirtualMachine, conditions: Conditions) -> None:
    """Record whether the guest's agent answers; not part of Ready, since not every image has one."""
    if vm.status.state != VirtualMachineState.RUNNING:
        conditions.remove("GuestReady")
    elif vm.status.guest and vm.status.guest.agent:
        conditions.set("GuestReady", True, "AgentAnswers")
    else:
        conditions.set("GuestReady", False, "AgentSilent", "the guest agent has not answered yet")
