"""Hosts in the order in which they are tried, kept by small changes.

Within a zone, hosts that can take VMs are sorted by how full they are (whole percents of CPU or memory, whichever is more), then by
their place on a hash ring. A VM starts in each group of equally full hosts at its own place on the ring: equal hosts share a burst
evenly, and the same VM meets the same hosts in the same order.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from itertools import chain

from controller.scheduler.allocations import Allocations
from controller.scheduler.shapes import Alike, Shapes
from controller.scheduler.views import Allocation, ClusterView, HostView, PoolScope, PoolView, Usage

__all__ = ["Candidate", "ClusterTotals", "HostIndex"]

_FULL = 100

Entry = tuple[int, int, str]
"""Fullness in percent, place on the ring, host name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host with what the filters look at. `cpus` and `memory` are what VMs can be given in all, overcommit included."""

    view: HostView
    cluster: ClusterView
    usage: Usage
    cpus: int
    memory: int

    @property
    def schedulable(self) -> bool:
        """Whether any VM at all can go there."""
        return self.view.enabled and self.view.connected

    @property
    def fullness(self) -> int:
        """Allocated part in percent, of CPU or memory, whichever is more."""
        if not self.cpus or not self.memory:
            return _FULL
        return max(self.usage.cpus * _FULL // self.cpus, self.usage.memory * _FULL // self.memory)


@dataclass(slots=True)
class ClusterTotals:
    """Sums over the hosts of a cluster that can take VMs; capacity with overcommit."""

    cpus: int = 0
    memory: int = 0
    used_cpus: int = 0
    used_memory: int = 0

    def add(self, each: Candidate, sign: int) -> None:
        """Count a host in (1) or out (-1)."""
        self.cpus += sign * each.cpus
        self.memory += sign * each.memory
        self.used_cpus += sign * each.usage.cpus
        self.used_memory += sign * each.usage.memory


class HostIndex:
    """Hosts, clusters, pools and allocations of the cloud. They may come in any order; a host counts once its cluster is known.

    `version` grows with every change that could let a VM fit that did not fit before. `recounted` is told of each host whose VMs
    were given more or less.
    """

    def __init__(self, recounted: Callable[[str], None] = lambda _: None) -> None:
        self._recounted = recounted
        self.version = 0
        self._hosts: dict[str, HostView] = {}
        self._clusters: dict[str, ClusterView] = {}
        self._members: dict[str, set[str]] = {}
        self._candidates: dict[str, Candidate] = {}
        self._shapes: dict[str, Shapes] = {}
        self._totals: dict[str, ClusterTotals] = {}
        self._order: dict[str, list[Entry]] = {}
        self._pools: dict[str, PoolView] = {}
        self._reach: dict[PoolScope, dict[str, dict[str, PoolView]]] = {scope: {} for scope in PoolScope}
        self._allocations = Allocations()
        self._expected: dict[str, set[str]] = {}
        self._waiting_for: dict[str, str] = {}

    def put_cluster(self, view: ClusterView) -> None:
        """Add or replace a cluster."""
        if self._clusters.get(view.name) != view:
            self._clusters[view.name] = view
            self._change(self._members.get(view.name, ()))

    def drop_cluster(self, name: str) -> None:
        """Forget a cluster; its hosts no longer count."""
        if self._clusters.pop(name, None) is not None:
            self._change(self._members.get(name, ()))

    def put_host(self, view: HostView) -> None:
        """Add or replace a host."""
        known = self._hosts.get(view.name)
        if known == view:
            return
        if known is not None:
            self._members[known.cluster].discard(view.name)
        self._hosts[view.name] = view
        self._members.setdefault(view.cluster, set()).add(view.name)
        self._change((view.name,))

    def drop_host(self, name: str) -> None:
        """Forget a host; what VMs have been given there stays counted, should it come back."""
        view = self._hosts.pop(name, None)
        if view is not None:
            self._members[view.cluster].discard(name)
            self._change((name,))

    def put_pool(self, view: PoolView) -> None:
        """Add or replace a storage pool."""
        if self._pools.get(view.name) != view:
            self.drop_pool(view.name)
            self._pools[view.name] = view
            self._reach[view.scope].setdefault(view.of, {})[view.name] = view

    def drop_pool(self, name: str) -> None:
        """Forget a storage pool."""
        self.version += 1
        view = self._pools.pop(name, None)
        if view is not None:
            of_scope = self._reach[view.scope]
            del of_scope[view.of][name]
            if not of_scope[view.of]:
                del of_scope[view.of]

    def assign(self, uid: str, allocation: Allocation) -> None:
        """Record what a VM has, decided just now or read from its status; replaces what it had (a resize)."""
        self._come(uid)
        new = self._allocations.get(uid) is None
        changed = self._allocations.put(uid, allocation)
        if new:
            self._refresh(changed)  # takes room, so that nothing fits that did not
        else:
            self._change(changed)
        self._tell(changed)

    def release(self, uid: str) -> None:
        """Forget what a VM has, and what is still expected with it: it is gone, or its placement was given up."""
        self.keep_expected(uid, ())
        self._come(uid)
        changed = self._allocations.drop(uid)
        self._change(changed)
        self._tell(changed)

    def expect(self, uid: str, vm: str, allocation: Allocation) -> None:
        """Record room for what is to be made with a VM: until it is assigned room itself, that goes with the VM's place."""
        self.assign(uid, allocation)
        self._waiting_for[uid] = vm
        self._expected.setdefault(vm, set()).add(uid)

    def expects(self, vm: str) -> bool:
        """Whether there is room recorded for something that is to be made with a VM."""
        return vm in self._expected

    def keep_expected(self, vm: str, uids: Collection[str]) -> None:
        """Give back the room of what is no longer to be made with a VM: of all but these."""
        for uid in self._expected.get(vm, set()).difference(uids):
            self.release(uid)

    def _come(self, uid: str) -> None:
        """Room that was expected is somebody's own."""
        vm = self._waiting_for.pop(uid, None)
        if vm is not None:
            self._expected[vm].discard(uid)
            if not self._expected[vm]:
                del self._expected[vm]

    def allocation(self, uid: str) -> Allocation | None:
        """What a VM has."""
        return self._allocations.get(uid)

    def host_usage(self, name: str) -> Usage:
        """Sum over the VMs of a host, known or not."""
        return self._allocations.host(name)

    def pool_allocated(self, name: str) -> int:
        """Sum of the disk sizes in a pool, in bytes."""
        return self._allocations.pool(name)

    def group(self, name: str) -> Mapping[str, int]:
        """How many VMs of a group that keeps apart each host has, for those that have any."""
        return self._allocations.group(name)

    def candidate(self, name: str) -> Candidate | None:
        """A host whose cluster is known."""
        return self._candidates.get(name)

    def shapes(self, zone: str, cluster: str = "") -> Iterator[Alike]:
        """All hosts of a zone, or of one of its clusters, whatever their state; together those that are alike."""
        return self._shapes[zone].of(cluster) if zone in self._shapes else iter(())

    def cluster(self, name: str) -> ClusterView | None:
        """A cluster by name."""
        return self._clusters.get(name)

    def totals(self, cluster: str) -> ClusterTotals:
        """Sums over the hosts of a cluster that can take VMs."""
        return self._totals.get(cluster, ClusterTotals())

    def pools(self, scope: PoolScope, of: str) -> Collection[PoolView]:
        """Storage pools by what their scope names."""
        return self._reach[scope].get(of, {}).values()

    def with_local_pools(self) -> KeysView[str]:
        """Names of the hosts, known or not, that have a storage pool of their own."""
        return self._reach[PoolScope.HOST].keys()

    def walk(self, zone: str, uid: str) -> Iterator[Candidate]:
        """Hosts of a zone that can take VMs, emptiest first, each once; equal ones from the VM's own place on. Don't change the
        index meanwhile.
        """
        order = self._order.get(zone, [])
        own = _ring(uid)
        low = 0
        while low < len(order):
            fullness = order[low][0]
            high = bisect_left(order, (fullness + 1,), low)
            start = bisect_left(order, (fullness, own), low, high)
            for place in chain(range(start, high), range(low, start)):
                yield self._candidates[order[place][2]]
            low = high

    def _tell(self, names: Iterable[str]) -> None:
        for name in filter(None, names):  # a volume is on no host
            self._recounted(name)

    def _change(self, names: Collection[str]) -> None:
        if names:
            self.version += 1
            self._refresh(names)

    def _refresh(self, names: Iterable[str]) -> None:
        """Bring what is derived from these hosts up to date."""
        for name in names:
            self._remove(name)
            host = self._hosts.get(name)
            cluster = self._clusters.get(host.cluster) if host is not None else None
            if host is not None and cluster is not None:
                self._insert(_candidate(host, cluster, self._allocations.host(name)))

    def _insert(self, each: Candidate) -> None:
        self._candidates[each.view.name] = each
        self._shapes.setdefault(each.cluster.zone, Shapes()).add(each)
        if each.schedulable:
            self._totals.setdefault(each.cluster.name, ClusterTotals()).add(each, 1)
            insort(self._order.setdefault(each.cluster.zone, []), _entry(each))

    def _remove(self, name: str) -> None:
        each = self._candidates.pop(name, None)
        if each is None:
            return
        self._shapes[each.cluster.zone].remove(each)
        if each.schedulable:
            self._totals[each.cluster.name].add(each, -1)
            order = self._order[each.cluster.zone]
            del order[bisect_left(order, _entry(each))]


def _candidate(host: HostView, cluster: ClusterView, usage: Usage) -> Candidate:
    cpus, memory = int(host.cpus * cluster.cpu_overcommit), int(host.memory * cluster.memory_overcommit)
    return Candidate(host, cluster, usage, cpus, memory)


def _entry(each: Candidate) -> Entry:
    return each.fullness, _ring(each.view.name), each.view.name


def _ring(name: str) -> int:
    return zlib.crc32(name.encode())
