"""VMs that stay in the hypervisor when their object goes: their guests go on to use the addresses that they were given."""

from __future__ import annotations

from collections.abc import Iterator

from controller.runtime.conditions import PAUSED, is_true
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.deletion import FORCE_DELETE
from controller.shared.instances import instance_of, to_adopt
from crds.v1alpha1.network import MOST_LEFT, LeftNIC, Network
from crds.v1alpha1.virtualmachine import DeletionPolicy, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus

__all__ = ["leaves", "left_nic", "nics_of", "recorded", "unaware"]


def leaves(vm: VirtualMachine) -> bool:
    """Whether the object is being deleted and its VM stays, or may stay, where it is."""
    if not vm.deleting or not vm.metadata.finalizers or vm.status.host is None:
        return False
    if vm.metadata.annotations.get(FORCE_DELETE) == vm.metadata.uid:
        return True
    policy = vm.spec.deletion_policy
    return policy is DeletionPolicy.RETAIN or (vm.spec.adopt is not None and policy is not DeletionPolicy.DELETE)


def nics_of(vm: VirtualMachine) -> Iterator[NICStatus]:
    """The NICs that a VM shall have, then those that it still has and shall not: of two with one name the second is the truth."""
    yield from vm.status.nics
    yield from vm.status.former_nics


def left_nic(vm: VirtualMachine, nic: NICStatus) -> LeftNIC:
    """What is to be recorded of one of its NICs."""
    return LeftNIC(
        instance_id=to_adopt(vm) or instance_of(vm),
        name=nic.name,
        virtual_machine=f"{vm.metadata.namespace}/{vm.metadata.name}",
        uid=vm.metadata.uid,
        host=vm.status.host,
        mac=nic.mac,
        ip=nic.ip,
    )


def recorded(network: Network, uid: str, nic: str) -> bool:
    """Whether a Network has on record that this NIC of an object's VM stays; one that has no room for it counts as if it had."""
    known = any((each.uid, each.name) == (uid, nic) for each in network.status.left)
    return known or len(network.status.left) >= MOST_LEFT


def unaware(vm: VirtualMachine, store: Store) -> Key | None:
    """The first Network that has yet to record what stays of a VM; one that is paused is not waited for."""
    for nic in nics_of(vm):
        key = Key.named(Network.KIND, nic.network)
        network = store.get(Network, key.name, key.namespace)
        if network is None or is_true(network.status.conditions, PAUSED):
            continue
        if not recorded(network, vm.metadata.uid, nic.name):
            return Key.of(network)
    return None
