"""Which VM has a volume: a volume is on one VM at a time, whoever asks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from controller.inventory import Inventory
from controller.ipam import volume_id
from controller.lookups import qualified, vms_by_volume
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.scheduler import Reason
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.types import VolumeID

WAIT_FOR_CONSUMER = "WaitForFirstConsumer"
"""Kubernetes' name for a volume that is placed with the first VM that wants it (StorageClass.volumeBindingMode)."""

UNBOUND = frozenset(
    {WAIT_FOR_CONSUMER, Reason.NO_STORAGE_POOL.value, Reason.STORAGE_TAGS_MISMATCH.value, Reason.INSUFFICIENT_STORAGE.value}
)
"""Reasons of a Volume without a pool that the place of a VM which names it can mend."""


@dataclass(frozen=True, slots=True)
class _Holder:
    uid: str
    key: Key


class Attachments:
    """Who has which volume, from statuses, from hypervisors, and from what was decided here and is not written yet.

    A VM writes its intent to attach into its status before it attaches, and then looks again whether the volume is being deleted;
    a deletion looks for users after its mark is on the volume. So one of the two always sees the other.
    """

    def __init__(self, store: Store, inventory: Inventory) -> None:
        self._store = store
        self._inventory = inventory
        self._holders: dict[VolumeID, _Holder] = {}

    def claim(self, vm: VirtualMachine, volume: Volume) -> Key | None:
        """Have the volume for this VM, until it is given up; or else the key of the VM that has it. First come, first served."""
        identity = volume_id(volume.metadata.uid)
        held = self._holders.get(identity)
        if held is not None and held.uid == vm.metadata.uid:
            return None
        if held is not None and self._stands(held, volume):
            return held.key
        others = [key for key in self.users(volume) if key != Key.of(vm)]
        if others:
            return others[0]
        self.note(vm, identity)
        return None

    def note(self, vm: VirtualMachine, identity: VolumeID) -> None:
        """The VM was seen to have the volume."""
        self._holders[identity] = _Holder(vm.metadata.uid, Key.of(vm))

    def keep(self, uid: str, identities: Collection[VolumeID] = ()) -> None:
        """A VM gives up all that it had but these."""
        for identity in [each for each, held in self._holders.items() if held.uid == uid and each not in identities]:
            del self._holders[identity]

    def consumer(self, volume: Volume) -> VirtualMachine | None:
        """The VM with a host that the volume is, or will be, attached to: the one that has it, else the oldest that names it."""
        held = self._holders.get(volume_id(volume.metadata.uid))
        found = [vm for vm in self._naming(volume) if vm.status.host and not vm.deleting]
        mine = [vm for vm in found if held and vm.metadata.uid == held.uid]
        return min(mine or found, key=lambda vm: (vm.metadata.creation_timestamp, vm.metadata.uid), default=None)

    def users(self, volume: Volume) -> list[Key]:
        """The VMs that have the volume, or are about to: by their status, or seen on a hypervisor. Sorted."""
        identity = volume_id(volume.metadata.uid)
        named = {Key.of(vm) for vm in self._naming(volume) if any(each.volume_id == identity for each in vm.status.volumes)}
        return sorted(named | self._seen(identity))

    def _seen(self, identity: VolumeID) -> set[Key]:
        return {
            Key(VirtualMachine.KIND, vm.owner.namespace, vm.owner.name)
            for link in self._inventory.links()
            for vm in link.vms()
            if any(each.volume == identity for each in vm.volumes)
        }

    def _stands(self, held: _Holder, volume: Volume) -> bool:
        """Whether a claim is still meant: its VM exists and names the volume."""
        vm = self._store.get(VirtualMachine, held.key.name, held.key.namespace)
        return (
            vm is not None and vm.metadata.uid == held.uid and any(each.volume == volume.metadata.name for each in vm.spec.volumes)
        )

    def _naming(self, volume: Volume) -> list[VirtualMachine]:
        return list(vms_by_volume.of(self._store, qualified(volume.metadata.namespace, volume.metadata.name)))
