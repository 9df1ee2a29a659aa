"""Through which host something is worked on that lives on a VM or in a pool."""

from __future__ import annotations

from controller.inventory import HostLink, Inventory, PoolRegistry
from controller.runtime.results import Result, failed, waiting
from controller.shared.instances import instance_of
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import Capability

_LOOKS = 5.0


def silent(host: str, link: HostLink | None) -> str:
    """Why nothing can be asked of a host, in one sentence."""
    return f"host {host} does not answer: {link.message if link else 'not connected yet'}"


class Reach:
    """Finds the host to call."""

    def __init__(self, inventory: Inventory, pools: PoolRegistry) -> None:
        self._inventory = inventory
        self._pools = pools

    def vm(self, vm: VirtualMachine) -> HostLink | Result:
        """The host that a VM is on, if it answers, and no other shard works on the VM."""
        if vm.status.shard is not None:
            text = f"VM {vm.metadata.name} is given back by shard {vm.status.shard} first"
            return waiting("VirtualMachineBusy", text, retry_after=_LOOKS)
        found = self._inventory.find(instance_of(vm))
        name = found[0] if found else vm.status.host
        if name is None:
            return waiting("VirtualMachineNotReady", f"VM {vm.metadata.name} is on no host yet", retry_after=_LOOKS)
        return self.host(name)

    def host(self, name: str) -> HostLink | Result:
        """The host of this name, if it answers."""
        link = self._inventory.link(name)
        if link is None or not link.up:
            return waiting("HostDown", silent(name, link), retry_after=_LOOKS)
        return link

    def pool(self, name: str, prefer: str | None) -> HostLink | Result:
        """A host that answers, has the pool ready and can work on snapshots of volumes; `prefer` first."""
        links = sorted(self._inventory.links(), key=lambda link: (link.name != prefer, link.name))
        ready = [link for link in links if link.up and self._pools.ready(name, link.name)]
        if not ready:
            return waiting("PoolNotReady", f"no host that answers has storage pool {name} ready", retry_after=_LOOKS)
        able = next((link for link in ready if Capability.VOLUME_SNAPSHOTS in link.capabilities), None)
        message = f"no host that has storage pool {name} ready can take snapshots of volumes"
        return able or failed("SnapshotsUnsupported", message, terminal=True)
