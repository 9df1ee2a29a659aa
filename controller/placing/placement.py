"""Keeps the scheduler's index in step with the objects of the cloud, and asks it for places."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from controller.runtime.slices import sliced
from controller.runtime.store import Change, Part, Store
from controller.scheduler import (
    Allocation,
    ClusterView,
    HostView,
    Placement,
    PoolScope,
    PoolView,
    Rejection,
    Request,
    Scheduler,
    Usage,
)
from controller.scheduler.index import HostIndex
from controller.scheduler.report import show_size
from controller.shared.lookups import clusters_by_pod, clusters_by_zone, qualified, vms_by_offering
from controller.shared.translate import has_files, pool_spec
from crds.references import AllocationState
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import AdminState, Host, HostState
from crds.v1alpha1.pod import Pod
from crds.v1alpha1.serviceoffering import ServiceOffering
from crds.v1alpha1.storagepool import PoolState, StoragePool
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.zone import Zone
from drivers.types import Capability

_NOTHING = (0, 0)


class Placements:
    """Where VMs are and where new ones go.

    `take` is told of every change of an object; a VM's place is known from its status, or from the decision made here until the
    status has it.
    """

    def __init__(self, store: Store, index: HostIndex) -> None:
        self._store = store
        self._index = index
        self._scheduler = Scheduler(index)
        self._takers: dict[str, Callable[[Any], None]] = {
            Zone.KIND: self._zone,
            Pod.KIND: self._pod,
            Cluster.KIND: self._cluster,
            Host.KIND: self._host,
            StoragePool.KIND: self._pool,
            ServiceOffering.KIND: self._offering,
            VirtualMachine.KIND: self._vm,
        }
        self._droppers: dict[str, Callable[[str], None]] = {
            Cluster.KIND: index.drop_cluster,
            Host.KIND: index.drop_host,
            StoragePool.KIND: index.drop_pool,
        }

    def take(self, change: Change) -> None:
        """Take over what changed."""
        if change.gone and change.key.kind == VirtualMachine.KIND:
            self._index.release(change.gone)
        taker = self._takers.get(change.key.kind)
        if taker is None or (change.key.kind == ServiceOffering.KIND and not change.parts & Part.CREATED):
            return
        after = change.after()
        if after is not None:
            taker(after)
        elif dropper := self._droppers.get(change.key.kind):
            dropper(change.key.name)

    async def from_statuses(self) -> None:
        """Take over all places as statuses record them, whatever was known before: others have placed and moved VMs.

        Others have their turns meanwhile.
        """
        async for vm in sliced(self._store.list(VirtualMachine)):
            self._index.release(vm.metadata.uid)
            self._vm(vm)

    def place(self, request: Request) -> Placement | Rejection:
        """The place of a VM, the same again until it is released; the room is taken at once."""
        return self._scheduler.place(request)

    def release(self, uid: str) -> None:
        """Give a VM's room back: it is gone, or its place was given up before anything was made there."""
        self._index.release(uid)

    def expects(self, uid: str) -> bool:
        """Whether volumes that are not made yet were given room with the place of a VM."""
        return self._index.expects(uid)

    def keep_expected(self, uid: str, volumes: Collection[str]) -> None:
        """Of the volumes that were given room with the place of a VM, and are not made yet, only these are still to come."""
        self._index.keep_expected(uid, volumes)

    def occupy(self, uid: str, allocation: Allocation) -> None:
        """Record where a VM is that was found on a hypervisor."""
        self._index.assign(uid, allocation)

    def promised(self, host: str) -> Usage:
        """What VMs on a host have been promised: what is counted when another is to go there."""
        return self._index.host_usage(host)

    def size(self, uid: str) -> Allocation | None:
        """What a VM has."""
        return self._index.allocation(uid)

    def resize(self, uid: str, cpus: int, memory: int, disk: int, has: tuple[int, int] | None) -> str:
        """Take the room for another size on the VM's host. Returns "" if it is taken, else what is missing, in one sentence.

        `has`: CPUs and memory of the VM as it is, None if it was not made yet. What it has, it keeps, however full the host is;
        what was recorded for it after a restart may be a size that it never got. When room is missing, it counts as it is. One that
        has (0, 0), since it gave its room back, is a new guest of its host.
        """
        held = self._index.allocation(uid)
        host = self._index.candidate(held.host) if held else None
        if held is None or host is None:
            return ""
        has_cpus, has_memory = has or (held.cpus, held.memory)
        lack_cpus = max(0, cpus - max(has_cpus, host.cpus - host.usage.cpus + held.cpus))
        lack_memory = max(0, memory - max(has_memory, host.memory - host.usage.memory + held.memory))
        if lack_cpus or lack_memory:
            self._index.assign(uid, replace(held, cpus=has_cpus, memory=has_memory, disk=disk))
            lacks = [f"{lack_cpus} CPUs"] * bool(lack_cpus) + [f"{show_size(lack_memory)} of memory"] * bool(lack_memory)
            return f"host {held.host} lacks {' and '.join(lacks)}"
        most = host.cluster.max_guests
        if has == _NOTHING and most is not None and host.usage.vms - (not held.released) >= most:
            self._index.assign(uid, replace(held, cpus=0, memory=0, disk=disk))
            return f"host {held.host} carries {most} VMs, and the cluster allows no more"
        self._index.assign(uid, replace(held, cpus=cpus, memory=memory, disk=disk))
        return ""

    def runs_with(self, uid: str, cpus: int, memory: int) -> None:
        """A VM that is to be changed at its restart was seen to run with so much: until then it has no less."""
        held = self._index.allocation(uid)
        if held is not None and not held.released:
            self._index.assign(uid, replace(held, cpus=max(held.cpus, cpus), memory=max(held.memory, memory)))

    def release_room(self, uid: str, disk: int) -> None:
        """Give back CPU and memory of a VM that has been stopped for long; host and disk, of so many bytes, stay."""
        held = self._index.allocation(uid)
        if held is not None:
            self._index.assign(uid, replace(held, cpus=0, memory=0, disk=disk))

    def _zone(self, zone: Zone) -> None:
        for cluster in clusters_by_zone.of(self._store, zone.metadata.name):
            self._cluster(cluster)

    def _pod(self, pod: Pod) -> None:
        for cluster in clusters_by_pod.of(self._store, pod.metadata.name):
            self._cluster(cluster)

    def _cluster(self, cluster: Cluster) -> None:
        spec = cluster.spec
        zone, pod = self._store.get(Zone, spec.zone), self._store.get(Pod, spec.pod)
        self._index.put_cluster(
            ClusterView(
                name=cluster.metadata.name,
                zone=spec.zone,
                pod=spec.pod,
                zone_enabled=zone is not None and zone.spec.allocation_state is AllocationState.ENABLED,
                pod_enabled=pod is not None and pod.spec.allocation_state is AllocationState.ENABLED,
                enabled=spec.allocation_state is AllocationState.ENABLED and not cluster.deleting,
                cpu_overcommit=float(spec.overcommit.cpu),
                memory_overcommit=float(spec.overcommit.memory),
                cpu_threshold=spec.disable_threshold.cpu,
                memory_threshold=spec.disable_threshold.memory,
                max_guests=spec.max_guests_per_host,
            )
        )

    def _host(self, host: Host) -> None:
        schedulable = all(each.status == "True" for each in host.status.conditions if each.type == "Schedulable")
        self._index.put_host(
            HostView(
                name=host.metadata.name,
                cluster=host.spec.cluster,
                cpus=host.status.capacity.cpus,
                memory=host.status.capacity.memory.bytes,
                enabled=host.spec.admin_state is AdminState.ENABLED and not host.deleting,
                connected=host.status.state == HostState.UP and schedulable,
                refused=host.status.state == HostState.ERROR,
                tags=frozenset(host.spec.tags),
                uefi=Capability.UEFI in host.status.capabilities,
                disk_limits=Capability.DISK_LIMITS in host.status.capabilities,
            )
        )

    def _pool(self, pool: StoragePool) -> None:
        spec, capacity = pool.spec, pool.status.capacity
        available = capacity.available.bytes if capacity.available else 0
        self._index.put_pool(
            PoolView(
                name=pool.metadata.name,
                scope=PoolScope(spec.scope.value),
                of=spec.cluster or spec.host or spec.zone,
                capacity=capacity.total.bytes,
                available=available,
                enabled=has_files(pool)
                and pool.status.state == PoolState.UP
                and spec.allocation_state is AllocationState.ENABLED
                and not pool.deleting,
                tags=frozenset(spec.tags),
                failing=frozenset(pool.status.hosts_failing),
                thick=pool_spec(pool).raw,
            )
        )

    def _offering(self, offering: ServiceOffering) -> None:
        """Kinds are listed side by side: VMs may have come before their offering, and were not counted yet."""
        for vm in vms_by_offering.of(self._store, offering.metadata.name):
            self._vm(vm)

    def _vm(self, vm: VirtualMachine) -> None:
        """Take over the place that a status records; a size that changes later is asked for by `resize`."""
        held = self._index.allocation(vm.metadata.uid)
        if held is not None:
            self._index.assign(vm.metadata.uid, replace(held, group=group_of(vm)))
        if held is not None or not vm.status.host or not vm.status.disks:
            return
        offering = self._store.get(ServiceOffering, vm.spec.offering)
        if offering is None:
            return
        root = vm.status.disks[0]
        cpus, memory = (0, 0) if vm.status.room_released else (offering.spec.cpus, offering.spec.memory.bytes)
        self._index.assign(vm.metadata.uid, Allocation(vm.status.host, root.pool, cpus, memory, root.size.bytes, group_of(vm)))


def group_of(vm: VirtualMachine) -> str:
    """The group of VMs that this one keeps apart from, "" if none; groups are by namespace."""
    apart = vm.spec.placement.anti_affinity
    return qualified(vm.metadata.namespace, apart.group) if apart else ""
