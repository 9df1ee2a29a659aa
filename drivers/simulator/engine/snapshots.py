"""Snapshots of whole VMs: a tree for each VM, kept with its definition."""

from __future__ import annotations

from drivers.errors import Conflict, InvalidSpec, NotFound, Transient, Unsupported
from drivers.types import Capability, DesiredSnapshot, Done, HostID, InstanceID, Power, SnapshotID, Started, remember

from .datacentre import RBD, Datacentre
from .model import VM, RunningState, VMSnapshot
from .networks import plug, require_networks
from .power import power_off, require_disks, used_memory, watch_guest
from .quiesce import check_quiesce
from .rules import check_snapshot, check_token

__all__ = ["Snapshots"]


class Snapshots:
    """Snapshot calls as `drivers.base.Snapshots` has them."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def create_snapshot(self, host: HostID, instance: InstanceID, snapshot: DesiredSnapshot) -> Done | Started:
        """Take a snapshot. Raises NotFound, Conflict, InvalidSpec, Busy, Transient, Unsupported."""
        self._dc.host(host)
        check_snapshot(snapshot)
        vm = self._dc.idle_vm(host, instance)
        if snapshot.snapshot in vm.snapshots:
            return Done()
        self._check(vm, snapshot)
        return self._dc.run("snapshots.create_snapshot", (host, instance), lambda: self._take(vm, snapshot))

    def _check(self, vm: VM, snapshot: DesiredSnapshot) -> None:
        """Raises what forbids the snapshot at this moment."""
        if snapshot.memory and not self._dc.has(Capability.SNAPSHOT_MEMORY):
            raise Unsupported(f"this endpoint lacks {Capability.SNAPSHOT_MEMORY}", native_code="SIM_UNSUPPORTED")
        if snapshot.quiesce:
            check_quiesce(self._dc, [vm])
        if snapshot.memory and not vm.has_power:
            raise Conflict(f"VM {vm.instance} does not run, so it has no memory to keep", native_code="SIM_VM_OFF")
        if vm.has_power and not snapshot.memory and not self._dc.has(Capability.SNAPSHOT_RUNNING):
            raise Conflict(f"VM {vm.instance} runs", native_code="SIM_VM_RUNS")
        if luns := [one.name for one in vm.volumes.values() if one.volume.lun is not None]:
            raise Conflict(f"VM {vm.instance} has a LUN as {luns[0]!r}, which can't be kept", native_code="SIM_LUN")
        disks = [(disk.name, disk.pool) for disk in vm.disks.values()]
        disks += [(each.name, each.volume.pool) for each in vm.volumes.values()]
        if raw := [name for name, pool in disks if pool.raw]:
            raise Conflict(f"VM {vm.instance} has {raw[0]!r} in a volume group, which keeps no snapshots", native_code="SIM_RAW")
        if ceph := [one.name for one in vm.volumes.values() if one.volume.pool.path.startswith(RBD)]:
            raise Conflict(f"VM {vm.instance} has {ceph[0]!r} in a Ceph pool, which can't be kept", native_code="SIM_RBD")
        require_disks(self._dc, vm)

    def _take(self, vm: VM, snapshot: DesiredSnapshot) -> None:
        """Looks again, because time has passed if this is the end of a task; so do all that follow."""
        self._dc.vm(vm.host, vm.instance)
        self._check(vm, snapshot)
        self._dc.made[snapshot.snapshot] += 1
        vm.snapshots[snapshot.snapshot] = VMSnapshot(
            snapshot.snapshot,
            snapshot.name,
            snapshot.owner,
            vm.current,
            self._dc.clock.now(),
            {name: disk.content for name, disk in vm.disks.items()},
            {volume: attached.volume.content for volume, attached in vm.volumes.items()},
            self._running(vm) if snapshot.memory else None,
        )
        vm.current = snapshot.snapshot
        self._dc.vm_changed(vm)

    def _running(self, vm: VM) -> RunningState:
        ready_in = None if vm.ready_at is None else max(0.0, vm.ready_at - self._dc.clock.now())
        return RunningState(vm.running_cpus, vm.running_memory, vm.booted, ready_in)

    def restore(self, host: HostID, instance: InstanceID, snapshot: SnapshotID, token: str) -> Done | Started:
        """Bring a VM back to a snapshot. Raises NotFound, Conflict, InvalidSpec, Busy, Transient."""
        check_token(token)
        vm = self._dc.idle_vm(host, instance)
        if token in vm.tokens:
            return Done()
        self._restorable(vm, snapshot)
        return self._dc.run("snapshots.restore", (host, instance), lambda: self._restore(vm, snapshot, token))

    def _restorable(self, vm: VM, snapshot: SnapshotID) -> VMSnapshot:
        """The snapshot. Raises if the VM can't be brought back to it now."""
        if (found := vm.snapshots.get(snapshot)) is None:
            raise NotFound(f"VM {vm.instance} has no snapshot {snapshot}", native_code="SIM_SNAPSHOT_UNKNOWN")
        if found.running is None and vm.has_power:
            raise Conflict(f"VM {vm.instance} runs: stop it first", native_code="SIM_VM_RUNS")
        if found.disks.keys() != vm.disks.keys() or found.volumes.keys() != vm.volumes.keys():
            raise Conflict(f"VM {vm.instance} has other disks than its snapshot", native_code="SIM_DISKS_DIFFER")
        try:
            require_disks(self._dc, vm)
        except InvalidSpec as gone:
            raise NotFound(gone.message, native_code=gone.native_code) from gone
        if found.running is not None:
            self._check_room(vm, found.running)
            require_networks(self._dc.hosts[vm.host], vm)
        return found

    def _check_room(self, vm: VM, running: RunningState) -> None:
        host = self._dc.hosts[vm.host]
        own = vm.running_memory if vm.has_power else 0
        if running.memory > host.memory - used_memory(host) + own:
            raise Transient(f"host {vm.host!r} has too little free memory", native_code="SIM_NO_MEMORY")

    def _restore(self, vm: VM, snapshot: SnapshotID, token: str) -> None:
        self._dc.vm(vm.host, vm.instance)
        found = self._restorable(vm, snapshot)
        self._write_back(vm, found)
        if found.running is None:
            power_off(self._dc, vm)
        else:
            self._resume(vm, found.running)
        vm.current, vm.tokens = snapshot, remember(token, vm.tokens)
        vm.restores += 1
        self._dc.vm_changed(vm)

    def _write_back(self, vm: VM, snapshot: VMSnapshot) -> None:
        for name, content in snapshot.disks.items():
            vm.disks[name].content = content
            self._dc.disk_changed(vm.instance, vm.disks[name])
        for volume, content in snapshot.volumes.items():
            vm.volumes[volume].volume.content = content
            self._dc.volume_changed(vm.volumes[volume].volume)

    def _resume(self, vm: VM, running: RunningState) -> None:
        """The VM runs with what it ran with then; what it is defined with is for its next start."""
        vm.starts += not vm.has_power
        vm.power = Power.ON
        vm.running_cpus, vm.running_memory, vm.offered_memory = running.cpus, running.memory, 0
        vm.booted, vm.stop_at = running.booted, None
        vm.ready_at = None if running.ready_in is None else self._dc.clock.now() + running.ready_in
        plug(self._dc.hosts[vm.host], vm)
        watch_guest(self._dc, vm)

    def delete_snapshot(self, host: HostID, instance: InstanceID, snapshot: SnapshotID) -> Done | Started:
        """Remove a snapshot; one of a VM that is gone is gone too. Raises Conflict if the VM isn't ours, Busy, Transient."""
        self._dc.tasks.require_idle((host, instance))
        if instance not in self._dc.host(host).vms:
            return Done()
        vm = self._dc.vm(host, instance)
        if snapshot not in vm.snapshots:
            return Done()
        return self._dc.run("snapshots.delete_snapshot", (host, instance), lambda: drop_snapshot(self._dc, vm, snapshot))


def drop_snapshot(dc: Datacentre, vm: VM, snapshot: SnapshotID) -> None:
    """Take a snapshot out of its tree: what came from it comes from its parent then."""
    gone = vm.snapshots.pop(snapshot, None)
    if gone is None or not dc.is_defined(vm):
        return
    for other in vm.snapshots.values():
        if other.parent == snapshot:
            other.parent = gone.parent
    if vm.current == snapshot:
        vm.current = gone.parent
    dc.vm_changed(vm)
