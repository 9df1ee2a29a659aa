"""Which shard works on which VM.

Shard 0 works on everything that is not given to another, and alone gives out what is scarce: places, addresses, segments, room in
pools, volumes, images. A VM that needs nothing of that is given to the shard of its host's cluster, in its own status, by whoever
works on it; so each version of a VM names the one shard that may work on it, whatever else is known of the cloud.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from controller.inventory import Inventory
from controller.runtime.keys import Key
from controller.runtime.store import Change, Store
from controller.shared.instances import instance_of
from controller.shared.lookups import qualified, snapshots_by_vm
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import Host
from crds.v1alpha1.virtualmachine import VirtualMachine


class Sharding:
    """The division of the work into `count` shards; `works_on(shard)` tells whether this process may work on one now."""

    def __init__(self, store: Store, inventory: Inventory, count: int, works_on: Callable[[int], bool]) -> None:
        self._store = store
        self._inventory = inventory
        self.count = count
        self.works_on = works_on

    def shard(self, key: Key) -> int:
        """The shard that works on an object. A VM given to a shard that there is not belongs to shard 0."""
        if self.count == 1 or key.kind != VirtualMachine.KIND:
            return 0
        recorded = self._store.status(key).get("shard")
        return recorded if isinstance(recorded, int) and 0 < recorded < self.count else 0

    def home(self, cluster: Cluster) -> int:
        """The shard that a cluster's VMs are given to; the same in every process."""
        digest = hashlib.sha256(cluster.metadata.uid.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count

    def reaches(self, cluster: Cluster) -> bool:
        """Whether this process needs connections to the cluster's hosts."""
        return self.works_on(0) or self.works_on(self.home(cluster))

    def due(self, vm: VirtualMachine, cluster: Cluster) -> int | None:
        """The shard that a VM on this cluster is to be given to, None if it is to stay with shard 0."""
        home = self.home(cluster) if self.count > 1 else 0
        return home if home and not self._bound(vm) else None

    def recall(self, vm: VirtualMachine) -> str:
        """Why a VM that was given to a shard must go back to shard 0 before anything is done, "" if it may stay."""
        if bound := self._bound(vm):
            return bound
        host = self._store.get(Host, vm.status.host) if vm.status.host and vm.status.disks else None
        cluster = self._store.get(Cluster, host.spec.cluster) if host else None
        if cluster is None:
            return "where it is, is not known"
        return "" if self.home(cluster) == vm.status.shard else f"cluster {cluster.metadata.name} is in another shard"

    def take(self, change: Change) -> None:
        """A VM that goes from one shard to another was changed by others: what was last seen of it may be out of date."""
        if self.count == 1 or change.key.kind != VirtualMachine.KIND:
            return
        before, after = change.before(), change.after()
        if before is not None and after is not None and before.status.shard != after.status.shard:
            link = self._inventory.link(after.status.host or before.status.host or "")
            if link is not None:
                link.doubt(instance_of(after))

    def _bound(self, vm: VirtualMachine) -> str:
        """What of a VM only shard 0 can work on."""
        if vm.spec.adopt is not None:
            return "it was adopted"
        if vm.spec.volumes or vm.status.volumes:
            return "it has volumes"
        if snapshots_by_vm.keys(self._store, qualified(vm.metadata.namespace, vm.metadata.name)):
            return "it has snapshots"
        return "it has given its room back" if vm.status.room_released else ""
