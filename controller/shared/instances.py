"""Which VM in a hypervisor a VirtualMachine is."""

from __future__ import annotations

from controller.ipam import instance_id
from controller.runtime.keys import Key
from controller.runtime.store import Store
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import AdoptionPhase
from drivers.types import InstanceID, Owner

__all__ = ["adopted", "instance_of", "lives", "may_be", "to_adopt"]


def instance_of(vm: VirtualMachine) -> InstanceID:
    """UUID of the VM: made from the object's uid, or that of the VM that it has adopted.

    An object that only names a VM to adopt has no claim on it: until the hypervisor says that it carries the object's owner mark,
    the UUID is the one that nothing has. So whatever is asked about this object never reaches a VM of somebody else.
    """
    chosen = to_adopt(vm)
    return chosen if chosen is not None and adopted(vm) else instance_id(vm.metadata.uid)


def may_be(vm: VirtualMachine, instance: str | None) -> bool:
    """Whether the VM is this one, or is going to be again: the status that says what it has adopted may be lost."""
    return instance is not None and instance in (instance_of(vm), to_adopt(vm))


def to_adopt(vm: VirtualMachine) -> InstanceID | None:
    """UUID of the VM that the object names to be adopted, None for one that has its VM made."""
    return InstanceID(vm.spec.adopt.instance_id) if vm.spec.adopt else None


def adopted(vm: VirtualMachine) -> bool:
    """Whether the object has adopted a VM."""
    adoption = vm.status.adoption
    return vm.spec.adopt is not None and adoption is not None and adoption.phase == AdoptionPhase.ADOPTED


def lives(owner: Owner, store: Store) -> bool:
    """Whether the object that an owner mark names is there: a VM whose owner is not is an orphan."""
    return store.uid(Key(VirtualMachine.KIND, owner.namespace, owner.name)) == owner.uid
