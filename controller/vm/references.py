"""What a VM refers to: each found and usable, or the first thing that is missing and why."""

from __future__ import annotations

from dataclasses import dataclass

from controller.runtime.results import Result, failed, waiting
from controller.runtime.store import Store
from controller.shared.grants import granted
from crds.v1alpha1.network import Addressing, Network, NetworkType
from crds.v1alpha1.serviceoffering import ServiceOffering
from crds.v1alpha1.template import Firmware, Template, TemplateState
from crds.v1alpha1.virtualmachine import NetworkInterface, TemplateReference, VirtualMachine
from crds.v1alpha1.zone import Zone


@dataclass(frozen=True, slots=True)
class Interface:
    """A declared NIC with its network, which has a segment. `managed` tells whether Vireo gives it an address."""

    spec: NetworkInterface
    network: Network
    default: bool

    @property
    def key(self) -> str:
        """The network as `namespace/name`."""
        return f"{self.network.metadata.namespace}/{self.network.metadata.name}"

    @property
    def managed(self) -> bool:
        """Whether Vireo gives this NIC its address."""
        subnet = self.network.spec.subnet
        shared = self.network.spec.type is NetworkType.SHARED
        return shared and subnet is not None and subnet.addressing is Addressing.MANAGED


@dataclass(frozen=True, slots=True)
class References:
    """Everything that a VM refers to. `template` is None for one that is adopted. `root_size` in bytes."""

    zone: Zone
    offering: ServiceOffering
    template: Template | None
    interfaces: tuple[Interface, ...]
    root_size: int
    firmware: Firmware


def resolve(vm: VirtualMachine, store: Store) -> References | Result:
    """Find all that the VM refers to.

    What may still appear or become ready is waited for, its watch wakes the VM; what only a change of some spec can mend is a
    terminal failure.
    """
    zone = store.get(Zone, vm.spec.zone)
    if zone is None:
        return waiting("ZoneNotFound", f"zone {vm.spec.zone} does not exist")
    offering = store.get(ServiceOffering, vm.spec.offering)
    if offering is None:
        return waiting("OfferingNotFound", f"service offering {vm.spec.offering} does not exist")
    template = _template(vm, vm.spec.template, store) if vm.spec.template else None
    if template is not None and not isinstance(template, Template):
        return template
    interfaces = _interfaces(vm, store)
    if not isinstance(interfaces, tuple):
        return interfaces
    size = _root_size(vm, template, offering)
    if not isinstance(size, int):
        return size
    firmware = template.spec.firmware if template else Firmware.BIOS  # nothing is made or placed for one that is adopted
    return References(zone, offering, template, interfaces, size, vm.spec.firmware or firmware)


def _template(vm: VirtualMachine, named: TemplateReference, store: Store) -> Template | Result:
    name, namespace = named.name, named.namespace or vm.metadata.namespace
    template = store.get(Template, name, namespace)
    if template is None or not granted(template, template.spec.allowed_namespaces, vm.metadata.namespace, store):
        return waiting("TemplateNotFound", f"template {namespace}/{name} does not exist or does not allow this namespace")
    if template.deleting and not vm.status.disks:
        return waiting("TemplateNotReady", f"template {namespace}/{name} is being deleted")
    if template.status.state != TemplateState.DOWNLOADED or template.status.virtual_size is None:
        return waiting("TemplateNotReady", f"template {namespace}/{name} is {template.status.state or 'not processed yet'}")
    return template


def _interfaces(vm: VirtualMachine, store: Store) -> tuple[Interface, ...] | Result:
    found: list[Interface] = []
    chosen = next((nic.name for nic in vm.spec.networks if nic.default), vm.spec.networks[0].name if vm.spec.networks else "")
    for nic in vm.spec.networks:
        network = _network(vm, nic, store)
        if not isinstance(network, Network):
            return network
        found.append(Interface(nic, network, nic.name == chosen))
    return tuple(found)


def _network(vm: VirtualMachine, nic: NetworkInterface, store: Store) -> Network | Result:
    namespace = nic.network_namespace or vm.metadata.namespace
    shown = f"network {namespace}/{nic.network}"
    network = store.get(Network, nic.network, namespace)
    if network is None or not granted(network, network.spec.allowed_namespaces, vm.metadata.namespace, store):
        return waiting("NetworkNotFound", f"{shown} does not exist or does not allow this namespace")
    if network.spec.zone != vm.spec.zone:
        return failed("NetworkNotInZone", f"{shown} is in zone {network.spec.zone}, the VM in {vm.spec.zone}", terminal=True)
    there = any(known.name == nic.name for known in vm.status.nics)
    if network.status.segment is None or (network.deleting and not there):
        return waiting("NetworkNotReady", f"{shown} has no segment yet" if not network.deleting else f"{shown} is being deleted")
    return network


def _root_size(vm: VirtualMachine, template: Template | None, offering: ServiceOffering) -> int | Result:
    if template is None:
        recorded = [disk.size.bytes for disk in vm.status.disks[:1]]
        return max([vm.spec.root_disk.size.bytes if vm.spec.root_disk.size else 0, *recorded])
    image = template.status.virtual_size.bytes if template.status.virtual_size else 0
    least = max(image, template.spec.min_disk.bytes if template.spec.min_disk else 0)
    wanted = vm.spec.root_disk.size.bytes if vm.spec.root_disk.size else least
    if wanted < least:
        message = (
            f"rootDisk.size {vm.spec.root_disk.size} is less than the {least} bytes that template {template.metadata.name} needs"
        )
        return failed("RootDiskTooSmall", message, terminal=True)
    if template.spec.min_memory and offering.spec.memory.bytes < template.spec.min_memory.bytes:
        message = (
            f"template {template.metadata.name} needs {template.spec.min_memory} of memory, offering has {offering.spec.memory}"
        )
        return failed("OfferingTooSmall", message, terminal=True)
    return wanted
