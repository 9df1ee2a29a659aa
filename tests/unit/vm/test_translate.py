"""From objects to what a driver is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from controller.ipam import instance_id
from controller.shared.translate import pool_spec
from controller.vm.references import Interface, References
from controller.vm.translate import Site, desired
from crds.v1alpha1 import Cluster, Network, ServiceOffering, StoragePool, Template, VirtualMachine, Zone
from crds.v1alpha1.template import Firmware
from crds.v1alpha1.virtualmachinestatus import NICStatus
from drivers.types import Attachment, DesiredDisk, DesiredVM, Devices, NetworkBackend, NFSExport, PoolSpec, Segment
from drivers.types import Firmware as Wanted

GIB = 1 << 30
OVS = Attachment(NetworkBackend.OVS, "guest")


def made(kind: Any, name: str, namespace: str = "", **spec: Any) -> Any:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}
    return kind.model_validate({"metadata": metadata, "spec": spec})


def shared(**subnet: Any) -> Network:
    found: Network = made(Network, "front", "shop", zone="z1", type="Shared", subnet={"cidr": "10.1.0.0/24", **subnet})
    return found


def wanted(
    network: Network | None = None,
    *,
    guest_network: dict[str, Any] | None = None,
    user_data: bytes | None = b"",
    scope: str = "Zone",
    segment: str | None = "vlan-104",
    devices: str = "VirtIO",
    cpu_model: str | None = None,
) -> DesiredVM:
    nics = [{"name": "front", "network": "front"}]
    vm = made(VirtualMachine, "web", "shop", zone="z1", offering="small", template={"name": "debian"}, networks=nics)
    backend = {"guestNetwork": guest_network} if guest_network else {}
    cluster: Cluster = made(Cluster, "c1", zone="z1", pod="p1", hypervisor="KVM", cpuModel=cpu_model, **backend)
    of = {"Zone": {}, "Host": {"host": "h1"}}[scope]
    pool: StoragePool = made(StoragePool, "s1", zone="z1", scope=scope, type="Directory", path="/srv/vms", **of)
    refs = References(
        zone=made(Zone, "z1", dns=["9.9.9.9"]),
        offering=made(ServiceOffering, "small", cpus=2, memory="4Gi"),
        template=made(Template, "debian", "shop", source={"url": "https://images.example/d"}, devices=devices),
        interfaces=(Interface(vm.spec.networks[0], network or shared(), default=True),),
        root_size=10 * GIB,
        firmware=Firmware.UEFI,
    )
    nic = NICStatus(name="front", mac="02:00:00:00:00:01", ip="10.1.0.5", network="shop/front", segment=segment)
    return desired(vm, refs, Site(cluster, pool), [nic], "qcow2-abc", user_data)


def ethernet(vm: DesiredVM) -> dict[str, Any]:
    assert vm.seed
    found: dict[str, Any] = yaml.safe_load(vm.seed.network_config)["ethernets"]["front"]
    return found


def test_the_cpu_is_that_of_the_cluster() -> None:
    assert (wanted().cpu_model, wanted(cpu_model="Nehalem").cpu_model) == ("", "Nehalem")


@pytest.mark.parametrize("devices", Devices)
def test_devices_are_those_that_the_template_has_drivers_for(devices: Devices) -> None:
    assert wanted(devices=devices.value).devices is devices


def test_identity_size_and_disk() -> None:
    vm = wanted()
    assert (vm.instance, vm.name) == (instance_id("uid-web"), "shop-web")
    assert (vm.owner.uid, vm.owner.namespace, vm.owner.name) == ("uid-web", "shop", "web")
    assert (vm.cpus, vm.memory, vm.firmware) == (2, 4 * GIB, Wanted.UEFI)
    assert vm.disks == (DesiredDisk("root", PoolSpec("s1", "/srv/vms", shared=True), 10 * GIB, "qcow2-abc"),)
    assert wanted(scope="Host").disks[0].pool.shared is False


def test_an_nfs_pool_is_its_export_wherever_it_is_mounted() -> None:
    nfs = {"server": "nfs1", "export": "/vms"}
    pool: StoragePool = made(StoragePool, "s2", zone="z1", scope="Host", host="h1", type="NFS", path="/mnt/vms", nfs=nfs)
    assert pool_spec(pool) == PoolSpec("s2", "/mnt/vms", shared=False, nfs=NFSExport("nfs1", "/vms"))


@pytest.mark.parametrize(
    ("guest", "segment", "expected"),
    [
        (None, "vlan-104", OVS),
        ({"backend": "OVS", "bridge": "ovsbr1"}, "vlan-104", Attachment(NetworkBackend.OVS, "ovsbr1")),
        ({"backend": "Bridge", "bridge": "br-{segment}"}, "vlan-104", Attachment(NetworkBackend.BRIDGE, "br-104")),
        ({"backend": "Linux", "uplink": "eno2"}, "vlan-104", Attachment(NetworkBackend.LINUX, uplink="eno2")),
        (
            {"backend": "Linux", "uplink": "eno2", "vxlan": {"group": "239.1.1.1"}},
            "vlan-104",
            Attachment(NetworkBackend.LINUX, uplink="eno2", group="239.1.1.1"),
        ),
    ],
)
def test_attachment(guest: dict[str, Any] | None, segment: str, expected: Attachment) -> None:
    [nic] = wanted(guest_network=guest, segment=segment).nics
    assert (nic.attachment, nic.segment) == (expected, Segment(104))
    assert (nic.mac, nic.ip, nic.network) == ("02:00:00:00:00:01", "10.1.0.5", "shop/front")


def test_nic_without_a_segment_is_untagged() -> None:
    assert wanted(segment=None).nics[0].segment == Segment(None)


def test_guest_is_told_its_address_gateway_and_name_servers() -> None:
    found = ethernet(wanted(shared(gateway="10.1.0.1", dns=["1.1.1.1"])))
    assert found["addresses"] == ["10.1.0.5/24"]
    assert found["routes"] == [{"to": "0.0.0.0/0", "via": "10.1.0.1"}]
    assert found["nameservers"] == {"addresses": ["1.1.1.1"]}


def test_name_servers_of_the_zone_are_the_default_and_no_gateway_is_no_route() -> None:
    found = ethernet(wanted())
    assert found["nameservers"] == {"addresses": ["9.9.9.9"]}
    assert "routes" not in found


def test_guests_of_external_networks_ask_dhcp() -> None:
    assert ethernet(wanted(shared(addressing="External")))["dhcp4"] is True


def test_unknown_user_data_leaves_the_seed_open() -> None:
    assert wanted(user_data=None).seed is None
    seed = wanted(user_data=b"#cloud-config").seed
    assert seed
    assert seed.user_data == b"#cloud-config"
