"""Hosts that another shard publishes: this process connects to those whose VMs it works on, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable

from controller.host.endpoint import SECRET_RETRY, find_cluster, find_endpoint
from controller.host.status import native_id
from controller.inventory import HostLink, Inventory
from controller.inventory.secrets import Secrets
from controller.placing.sharding import Sharding
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import vms_by_host
from controller.shared.namespace import cloud
from crds.v1alpha1 import Cluster, Host
from drivers.types import Endpoint


class HostSpectator:
    """Keeps the links to the hosts of this process's shards. Which hypervisor may be used as which Host, shard 0 has recorded."""

    def __init__(
        self, store: Store, inventory: Inventory, secrets: Secrets, sharding: Sharding, wake: Callable[[Key], None]
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._secrets = secrets
        self._sharding = sharding
        self._wake = wake
        self._announced: dict[str, tuple[HostLink, int]] = {}

    async def __call__(self, key: Key) -> float | None:
        """Attach or detach one Host; returns the seconds until another look, None if a change will tell. Raises ApiError."""
        host = self._store.get(Host, key.name)
        cluster = find_cluster(host, self._store) if host else None
        if host is None or not isinstance(cluster, Cluster) or not self._sharding.reaches(cluster):
            self._inventory.detach(key.name)
            self._announced.pop(key.name, None)
            return None
        endpoint = await find_endpoint(host, cluster, self._secrets, cloud(self._store))
        if not isinstance(endpoint, Endpoint):
            return SECRET_RETRY
        native_name, own = host.spec.native_name or key.name, host.spec.endpoint is not None
        link = self._inventory.attach(key.name, cluster.spec.hypervisor, endpoint, native_name, sole=own)
        self._vouch(host, link)
        self._announce(host, link)
        return None

    def _vouch(self, host: Host, link: HostLink) -> None:
        """Use only the hypervisor that shard 0 has seen behind this Host and let in."""
        if not link.reachable or link.info is None:
            return
        identity = native_id(link.info)
        if identity in ("", host.status.native_id):
            link.accept()
        else:
            link.refuse("HostNotIdentified", f"{identity} answers, which is not what shard 0 has recorded")

    def _announce(self, host: Host, link: HostLink) -> None:
        """Wake the VMs that waited for the host, once for each connection."""
        name = host.metadata.name
        if not link.up or self._announced.get(name) == (link, link.epoch):
            return
        self._announced[name] = (link, link.epoch)
        for vm in vms_by_host.keys(self._store, name):
            self._wake(vm)
