"""VMs that others made: found, taken over, and let go of."""

from __future__ import annotations

from dataclasses import replace

from drivers.adoption import AdoptedDisk, Adoption, FoundDisk, FoundVM
from drivers.errors import Conflict, NotFound
from drivers.types import Done, HostID, InstanceID, ObservedNIC, Started

from .datacentre import Datacentre, Scope
from .guest import guest_info
from .interfaces import found_nics, observed_nic, port_of, renamed
from .model import VM, Disk
from .observe import disk_path, limits_of, observed_volumes
from .rules import check_identity, check_nic

__all__ = ["Adopter", "require_unshared"]


class Adopter:
    """Calls as `drivers.adoption.Adopting` has them."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre

    def find(self, scope: Scope, instance: InstanceID) -> tuple[FoundVM, ...]:
        """Every VM with this identity on hosts that answer. Raises InvalidSpec."""
        check_identity(instance)
        places = [self._dc.hosts[host] for host in self._dc.places.get(instance, ()) if self._dc.lists(scope, host)]
        return tuple(self._found(host.vms[instance]) for host in places if host.up and host.reachable)

    def _found(self, vm: VM) -> FoundVM:
        return FoundVM(
            instance=vm.instance,
            host=vm.host,
            name=vm.name,
            power=vm.power,
            cpus=vm.cpus,
            memory=vm.memory,
            running_cpus=vm.running_cpus if vm.has_power else vm.cpus,
            running_memory=vm.running_memory if vm.has_power else vm.memory,
            firmware=vm.firmware,
            owner=vm.owner,
            disks=tuple(
                FoundDisk(disk.name, disk_path(vm.instance, disk), disk.size, limits=limits_of(vm, disk.name))
                for disk in vm.disks.values()
            ),
            nics=found_nics(vm),
            guest=guest_info(vm, self._dc.settings.capabilities),
            snapshots=len(vm.snapshots),
            volumes=observed_volumes(vm),
        )

    def adopt(self, host: HostID, instance: InstanceID, adoption: Adoption) -> Done | Started:
        """Mark a VM as ours. Raises NotFound, Conflict, InvalidSpec, Busy, Transient."""
        self._dc.tasks.require_idle((host, instance))
        for nic in adoption.nics:
            check_nic(nic)
        if self._marked(host, instance, adoption):
            return Done()
        return self._dc.run("adoption.adopt", (host, instance), lambda: self._mark(host, instance, adoption))

    def _marked(self, host: HostID, instance: InstanceID, adoption: Adoption) -> bool:
        """Whether it has the mark already. Raises what forbids to give it."""
        vm = self._dc.host(host).vms.get(instance)
        if vm is None:
            raise NotFound(f"no VM {instance} on host {host!r}", native_code="SIM_VM_UNKNOWN")
        if vm.owner is not None and vm.owner.uid == adoption.owner.uid:
            return True
        if (vm.owner.uid if vm.owner else "") != adoption.replaces:
            raise Conflict(
                f"VM {instance} on host {host!r} belongs to another owner, or to none any more", native_code="SIM_VM_OWNED"
            )
        if vm.volumes:
            raise Conflict(f"VM {instance} has the volume {min(vm.volumes)}", native_code="SIM_VOLUME_IN_USE")
        there = {(disk.name, disk_path(instance, disk)) for disk in vm.disks.values()}
        missing = [disk.device for disk in adoption.disks if (disk.device, disk.path) not in there]
        missing += sorted({nic.mac for nic in adoption.nics} - {nic.mac for nic in vm.nics.values()})
        if missing:
            raise Conflict(f"VM {instance} has no {', '.join(missing)} any more", native_code="SIM_VM_CHANGED")
        return False

    def _mark(self, host: HostID, instance: InstanceID, adoption: Adoption) -> None:
        """Looks again, because time has passed if this is the end of a task."""
        if self._marked(host, instance, adoption):
            return
        vm = self._dc.hosts[host].vms[instance]
        known = {nic.mac: observed_nic(nic) for nic in adoption.nics}
        nics = {name: replace(known[nic.mac], segment=nic.segment) for name, nic in vm.nics.items() if nic.mac in known}
        others = [nic.mac for nic in vm.nics.values() if nic.mac not in known]
        named = {disk.device: disk for disk in adoption.disks}
        vm.owner, vm.adopted = adoption.owner, True
        vm.foreign = (*vm.foreign, *others, *(name for name in vm.disks if name not in named))
        renamed(vm, nics, {nic.name: port_of(nic) for nic in adoption.nics})
        kept = [self._renamed(instance, disk, named[name]) for name, disk in vm.disks.items() if name in named]
        vm.disks = {disk.name: disk for disk in kept}
        vm.limits = {named[name].name if name in named else name: limits for name, limits in vm.limits.items()}
        self._dc.vm_changed(vm)

    def _renamed(self, instance: InstanceID, disk: Disk, adopted: AdoptedDisk) -> Disk:
        """The disk under the name that it has from now on; its file stays where it is."""
        path, stored = disk_path(instance, disk), self._stored(instance, disk)
        self._dc.remove_disk(instance, disk)
        renamed = replace(disk, name=adopted.name, pool_name=adopted.pool, file=path)
        if stored:
            self._dc.add_disk(instance, renamed)
        return renamed

    def _stored(self, instance: InstanceID, disk: Disk) -> bool:
        pool = self._dc.pools.get(disk.pool)
        return pool is not None and pool.disks.get(instance, {}).get(disk.name) is disk

    def disown(self, host: HostID, instance: InstanceID, uid: str) -> Done | Started:
        """Take the mark off. Raises Conflict for a VM that was made here, Busy, Transient."""
        self._dc.tasks.require_idle((host, instance))
        if self._owned(host, instance, uid) is None:
            return Done()
        return self._dc.run("adoption.disown", (host, instance), lambda: self._unmark(host, instance, uid))

    def _owned(self, host: HostID, instance: InstanceID, uid: str) -> VM | None:
        vm = self._dc.host(host).vms.get(instance)
        if vm is None or vm.owner is None or vm.owner.uid != uid:
            return None
        if not vm.adopted:
            raise Conflict(f"VM {instance} on host {host!r} was made by Vireo", native_code="SIM_VM_MADE")
        return vm

    def _unmark(self, host: HostID, instance: InstanceID, uid: str) -> None:
        vm = self._owned(host, instance, uid)
        if vm is not None:
            vm.owner, vm.adopted = None, False
            ports = {vm.nics[name].mac: port for name, port in vm.ports.items() if name in vm.nics}
            renamed(vm, {name: ObservedNIC(nic.mac, nic.mac, "", nic.segment) for name, nic in vm.nics.items()}, ports)
            self._dc.vm_changed(vm)


def require_unshared(dc: Datacentre, vm: VM) -> None:
    """Raises Conflict while another VM has a disk of an adopted one, which would go with it."""
    mine = {disk.file for disk in vm.disks.values() if vm.adopted and disk.pool_name}
    for other in dc.hosts[vm.host].vms.values():
        shared = sorted({disk.file for disk in other.disks.values()} & mine)
        if other is not vm and shared:
            raise Conflict(f"VM {other.instance} has the disk {shared[0]} too", native_code="SIM_DISK_IN_USE")
