"""From a VirtualMachine and what it refers to, to what a driver is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.shared.instances import instance_of
from controller.shared.subnets import subnet_of
from controller.shared.translate import pool_spec
from controller.vm.cloudinit import GuestNIC, hostname_of, seed
from controller.vm.references import Interface, References
from crds.v1alpha1.cluster import Cluster, GuestNetworkBackend
from crds.v1alpha1.serviceoffering import ServiceOffering
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import NICStatus
from drivers.types import (
    Attachment,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    Devices,
    DiskLimits,
    Firmware,
    NetworkBackend,
    Owner,
    Seed,
    Segment,
)

ROOT = "root"
"""Name of the disk that the VM boots from."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a VM is: the pool of its root disk, and how the hosts of its cluster carry guest segments."""

    cluster: Cluster
    pool: StoragePool


def desired(
    vm: VirtualMachine, refs: References, site: Site, nics: Sequence[NICStatus], image: str, user_data: bytes | None
) -> DesiredVM:
    """What the driver is asked for. Without `user_data` known (its Secret is gone) the seed stays what it is."""
    return DesiredVM(
        instance=instance_of(vm),
        name=f"{vm.metadata.namespace}-{vm.metadata.name}",
        owner=owner_of(vm),
        cpus=refs.offering.spec.cpus,
        memory=refs.offering.spec.memory.bytes,
        disks=(DesiredDisk(ROOT, pool_spec(site.pool), refs.root_size, image, limits_of(refs.offering)),),
        nics=tuple(_nic(nic, site.cluster) for nic in nics),
        firmware=Firmware(refs.firmware),
        cpu_model=site.cluster.spec.cpu_model or "",
        devices=Devices(refs.template.spec.devices) if refs.template else Devices.VIRTIO,
        seed=None if user_data is None else _seed(vm, refs, nics, user_data),
    )


def limits_of(offering: ServiceOffering) -> DiskLimits:
    """What each disk of a VM of this offering may read and write."""
    limits = offering.spec.disk_limits
    if limits is None:
        return DiskLimits()
    return DiskLimits(
        read_bytes=limits.read_bytes_per_second.bytes if limits.read_bytes_per_second else 0,
        write_bytes=limits.write_bytes_per_second.bytes if limits.write_bytes_per_second else 0,
        read_iops=limits.read_iops or 0,
        write_iops=limits.write_iops or 0,
    )


def owner_of(vm: VirtualMachine) -> Owner:
    """The owner mark of a VM."""
    return Owner(vm.metadata.uid, vm.metadata.namespace, vm.metadata.name)


def _nic(nic: NICStatus, cluster: Cluster) -> DesiredNIC:
    vlan = int(nic.segment.removeprefix("vlan-")) if nic.segment else None
    return DesiredNIC(nic.name, nic.mac, nic.network, Segment(vlan), _attachment(cluster, vlan), nic.ip or "")


def _attachment(cluster: Cluster, vlan: int | None) -> Attachment:
    guest = cluster.spec.guest_network
    if guest is None:
        return Attachment(NetworkBackend.OVS, "guest")
    if guest.backend is GuestNetworkBackend.LINUX:
        return Attachment(NetworkBackend.LINUX, uplink=guest.uplink or "", group=guest.vxlan.group if guest.vxlan else "")
    bridge = (guest.bridge or "").replace("{segment}", str(vlan or 0))
    return Attachment(NetworkBackend(guest.backend), bridge)


def _seed(vm: VirtualMachine, refs: References, nics: Sequence[NICStatus], user_data: bytes) -> Seed:
    by_name = {interface.spec.name: interface for interface in refs.interfaces}
    guests = [_guest_nic(nic, by_name[nic.name], refs) for nic in nics]
    hostname = hostname_of(vm.metadata.name, vm.spec.hostname)
    return seed(str(instance_of(vm)), hostname, vm.spec.ssh_keys, guests, user_data)


def _guest_nic(nic: NICStatus, interface: Interface, refs: References) -> GuestNIC:
    if not interface.managed or nic.ip is None or interface.network.spec.subnet is None:
        return GuestNIC(nic.name, nic.mac)
    subnet = interface.network.spec.subnet
    return GuestNIC(
        name=nic.name,
        mac=nic.mac,
        address=nic.ip,
        prefix_length=subnet_of(interface.network).cidr.prefixlen,
        gateway=subnet.gateway or "",
        dns=tuple(subnet.dns or refs.zone.spec.dns),
        default=interface.default,
    )
