"""Which VM has a volume: a volume is on one VM at a time, whoever asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from controller.inventory import Inventory
from controller.ipam import instance_id, volume_id
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.scheduler import Reason
from controller.shared.instances import instance_of
from controller.shared.lookups import (
    clusters_by_zone,
    hosts_by_cluster,
    qualified,
    vms_by_volume,
    volumes_by_attached_host,
    volumes_by_id,
)
from crds.v1alpha1.host import Host
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.types import InstanceID, ObservedVM, VolumeID

WAIT_FOR_CONSUMER = "WaitForFirstConsumer"
"""Kubernetes' name for a volume that is placed with the first VM that wants it (StorageClass.volumeBindingMode)."""

UNBOUND = frozenset(
    {WAIT_FOR_CONSUMER, Reason.NO_STORAGE_POOL.value, Reason.STORAGE_TAGS_MISMATCH.value, Reason.INSUFFICIENT_STORAGE.value}
)
"""Reasons of a Volume without a pool that the place of a VM which names it can mend."""


@dataclass(frozen=True, slots=True)
class User:
    """A VM that has a volume as its disk `mount`; told by `instance`, since its object may be gone. `host` is empty if unknown."""

    key: Key
    instance: InstanceID
    host: str
    mount: str


@dataclass(frozen=True, slots=True)
class _Holder:
    uid: str
    key: Key


class Attachments:
    """Who has which volume, from statuses, from hypervisors, and from what was decided here and is not written yet.

    A VM writes its intent to attach into its status before it attaches, and then looks again whether the volume is being deleted;
    a deletion looks for users after its mark is on the volume. So one of the two always sees the other.

    What cannot be asked counts: a host that does not answer may run a VM without an object, or one whose status is lost.
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
        mine = instance_of(vm)
        other = next((user for user in self.having(volume) if user.instance != mine), None)
        if other is not None:
            return other.key
        self.note(vm, identity)
        return None

    def note(self, vm: VirtualMachine, identity: VolumeID) -> None:
        """The VM was seen to have the volume."""
        self._holders[identity] = _Holder(vm.metadata.uid, Key.of(vm))

    def keep(self, uid: str, identities: Collection[VolumeID] = ()) -> None:
        """A VM gives up all that it had but these."""
        for identity in [each for each, held in self._holders.items() if held.uid == uid and each not in identities]:
            del self._holders[identity]

    def declared(self, user: User) -> VirtualMachine | None:
        """The object of a VM that has a volume; None if it is gone."""
        vm = self._store.get(VirtualMachine, user.key.name, user.key.namespace)
        return vm if vm and instance_of(vm) == user.instance else None

    def consumer(self, volume: Volume) -> VirtualMachine | None:
        """The VM with a host that the volume is, or will be, attached to: the one that has it, else the oldest that names it."""
        held = self._holders.get(volume_id(volume.metadata.uid))
        found = [vm for vm in self._naming(volume) if vm.status.host and not vm.deleting]
        mine = [vm for vm in found if held and vm.metadata.uid == held.uid]
        return min(mine or found, key=lambda vm: (vm.metadata.creation_timestamp, vm.metadata.uid), default=None)

    def users(self, volume: Volume) -> list[Key]:
        """The keys of `having`, sorted; of a VM that was retained, the key that its object had."""
        return sorted({user.key for user in self.having(volume)})

    def having(self, volume: Volume) -> list[User]:
        """The VMs that have the volume, are about to, or may have it where nobody can look. The one on record is first."""
        found: dict[InstanceID, User] = {}
        for user in (*self._seen(volume), *self._named(volume), *self._recorded(volume), *self._lost(volume)):
            found.setdefault(user.instance, user)
        recorded = volume.status.attached_to.instance_id if volume.status.attached_to else None
        return sorted(found.values(), key=lambda user: (user.instance != recorded, user.key, user.instance))

    def _seen(self, volume: Volume) -> Iterator[User]:
        identity = volume_id(volume.metadata.uid)
        for link in self._inventory.links():
            for vm in link.with_volume(identity):
                mount = next(each.name for each in vm.volumes if each.volume == identity)
                yield User(Key(VirtualMachine.KIND, vm.owner.namespace, vm.owner.name), vm.instance, link.name, mount)

    def _named(self, volume: Volume) -> Iterator[User]:
        """By the statuses of VMs."""
        identity = volume_id(volume.metadata.uid)
        for vm in self._naming(volume):
            mount = next((each.name for each in vm.status.volumes if each.volume_id == identity), None)
            if mount is not None:
                yield User(Key.of(vm), instance_of(vm), vm.status.host or "", mount)

    def _recorded(self, volume: Volume) -> Iterator[User]:
        """By the status of the volume: what it says counts until the VM's own status, or its host, can tell better."""
        record = volume.status.attached_to
        if record is None or record.instance_id is None or record.host is None:
            return
        vm = self._store.get(VirtualMachine, record.virtual_machine, volume.metadata.namespace)
        if vm is not None and vm.status.instance_id == record.instance_id:
            return
        given_up = self._store.get(Host, record.host) is None
        if not given_up and not self._answers(record.host):
            key = Key(VirtualMachine.KIND, volume.metadata.namespace, record.virtual_machine)
            yield User(key, InstanceID(record.instance_id), record.host, record.name)

    def _lost(self, volume: Volume) -> Iterator[User]:
        """VMs that name the volume, whose status is lost, and which may be on a host that does not answer."""
        for vm in self._naming(volume):
            instance = instance_of(vm)
            mount = next((each.name for each in vm.spec.volumes if each.volume == volume.metadata.name), None)
            lost = vm.metadata.finalizers and not vm.status.instance_id and self._inventory.find(instance) is None
            if mount is not None and lost and self._unseen(vm.spec.zone):
                yield User(Key.of(vm), instance, "", mount)

    def _unseen(self, zone: str) -> bool:
        """Whether a host of the zone that may carry VMs of ours does not answer; one without a finalizer never did."""
        hosts = (host for each in clusters_by_zone.keys(self._store, zone) for host in hosts_by_cluster.of(self._store, each.name))
        return any(host.metadata.finalizers and not self._answers(host.metadata.name) for host in hosts)

    def _answers(self, host: str) -> bool:
        link = self._inventory.link(host)
        return link is not None and link.up and link.observed

    def _stands(self, held: _Holder, volume: Volume) -> bool:
        """Whether a claim is still meant: its VM exists and names the volume."""
        vm = self._store.get(VirtualMachine, held.key.name, held.key.namespace)
        return (
            vm is not None and vm.metadata.uid == held.uid and any(each.volume == volume.metadata.name for each in vm.spec.volumes)
        )

    def _naming(self, volume: Volume) -> list[VirtualMachine]:
        return list(vms_by_volume.of(self._store, qualified(volume.metadata.namespace, volume.metadata.name)))


def left_with(vm: ObservedVM, store: Store) -> list[Key]:
    """The volumes that a VM in a hypervisor has."""
    return [key for each in vm.volumes for key in volumes_by_id.keys(store, each.volume)]


def left_on(host: str, store: Store) -> list[Key]:
    """The volumes that are on record as attached to a VM of this Host whose object is gone: only the Host can tell whether it still
    has them. Those of a VM with an object learn it from that. An adopted VM counts as one without.
    """
    return [key for key in volumes_by_attached_host.keys(store, host) if not _attended(key, store)]


def _attended(volume: Key, store: Store) -> bool:
    record = store.status(volume).get("attachedTo") or {}
    uid = store.uid(Key(VirtualMachine.KIND, volume.namespace, record.get("virtualMachine") or ""))
    return uid is not None and instance_id(uid) == record.get("instanceID")
