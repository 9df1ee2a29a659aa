"""What every VM was given, and the sums by host and by pool.

An allocation is put in when the scheduler decides, before anything is written or made, and put in again, unchanged, when the VM's
status says so: entries are by VM, so nothing is counted twice and a decision in flight is never overlooked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from controller.scheduler.views import Allocation, Usage

__all__ = ["Allocations"]

_NOTHING = Usage()


class Allocations:
    """Allocations by VM uid. Hosts and pools need not be known: sums are kept by name."""

    def __init__(self) -> None:
        self._by_vm: dict[str, Allocation] = {}
        self._hosts: dict[str, Usage] = {}
        self._pools: dict[str, int] = {}
        self._groups: dict[str, Counter[str]] = {}

    def get(self, uid: str) -> Allocation | None:
        """What a VM has."""
        return self._by_vm.get(uid)

    def host(self, name: str) -> Usage:
        """Sum over the VMs of a host."""
        return self._hosts.get(name, _NOTHING)

    def pool(self, name: str) -> int:
        """Sum of the disk sizes in a pool, in bytes."""
        return self._pools.get(name, 0)

    def group(self, name: str) -> Mapping[str, int]:
        """How many VMs of a group each host has that has any; also those that gave their room back."""
        return self._groups.get(name, {})

    def put(self, uid: str, allocation: Allocation) -> set[str]:
        """Set what a VM has, in place of what it had. Returns the hosts whose sums changed."""
        if self._by_vm.get(uid) == allocation:
            return set()
        changed = self.drop(uid)
        self._by_vm[uid] = allocation
        self._add(allocation, 1)
        return changed | {allocation.host}

    def drop(self, uid: str) -> set[str]:
        """Forget a VM. Returns the hosts whose sums changed."""
        allocation = self._by_vm.pop(uid, None)
        if allocation is None:
            return set()
        self._add(allocation, -1)
        return {allocation.host}

    def _add(self, each: Allocation, sign: int) -> None:
        usage = self.host(each.host)
        total = Usage(usage.cpus + sign * each.cpus, usage.memory + sign * each.memory, usage.vms + sign * (not each.released))
        disk = self.pool(each.pool) + sign * each.disk
        self._hosts[each.host] = total
        self._pools[each.pool] = disk
        if total == _NOTHING:
            del self._hosts[each.host]
        if not disk:
            del self._pools[each.pool]
        if each.group:
            self._regroup(each, sign)

    def _regroup(self, each: Allocation, sign: int) -> None:
        hosts = self._groups.setdefault(each.group, Counter())
        hosts[each.host] += sign
        if not hosts[each.host]:
            del hosts[each.host]
        if not hosts:
            del self._groups[each.group]
