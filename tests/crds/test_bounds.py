"""Bad and hostile values are refused with the field's name; the largest good ones are accepted."""

from typing import Any

import pytest

from crds.base import Resource
from crds.v1alpha1 import (
    KINDS,
    Cluster,
    Host,
    Network,
    Pod,
    ServiceOffering,
    Snapshot,
    SnapshotRestore,
    StoragePool,
    Template,
    VirtualMachine,
    Volume,
    Zone,
)
from tests.crds.api import Api, merged
from tests.crds.conftest import Make
from tests.crds.samples import KEY, MINIMAL, RBD_POOL
from tests.crds.test_accepted import schema_of

IQN = "iqn.2026-01.org.example"
CEPH: dict[str, Any] = RBD_POOL["rbd"]
LONG_NAME = ".".join(["n" * 63] * 3 + ["n" * 61])  # 253 characters


def vm_nics(count: int) -> list[dict[str, str]]:
    return [{"name": f"n{index}", "network": "front"} for index in range(count)]


def vm_volumes(count: int) -> list[dict[str, str]]:
    return [{"name": f"v{index}", "volume": f"data-{index}"} for index in range(count)]


def subnet(**fields: Any) -> dict[str, Any]:
    return {"type": "Shared", "subnet": {"cidr": "10.1.0.0/24", **fields}}


ACCEPTED: list[tuple[type[Resource], dict[str, Any]]] = [
    (VirtualMachine, {"offering": LONG_NAME, "zone": LONG_NAME, "hostname": "h" * 63}),
    (VirtualMachine, {"userData": {"inline": "x" * 262144}}),
    (VirtualMachine, {"sshKeys": [f"{KEY} {index}" for index in range(32)]}),
    (VirtualMachine, {"sshKeys": ["sk-ssh-ed25519@openssh.com AAAA", "ecdsa-sha2-nistp256 AAAA== a b"]}),
    (VirtualMachine, {"networks": vm_nics(8)}),
    (VirtualMachine, {"networks": []}),
    (VirtualMachine, {"volumes": vm_volumes(16)}),
    (Volume, {"size": 10737418240, "pool": LONG_NAME, "tags": ["ssd"]}),
    (Snapshot, {"virtualMachine": LONG_NAME}),
    (SnapshotRestore, {"snapshot": LONG_NAME}),
    (VirtualMachine, {"rootDisk": {"size": 10737418240}}),
    (VirtualMachine, {"restartedAt": "2026-11-20T23:59:59.123456789Z"}),
    (ServiceOffering, {"cpus": 512, "memory": "24Ti"}),
    (Zone, {"guestVlans": [{"start": 1, "end": 4094}] * 64}),
    (Cluster, {"overcommit": {"cpu": "99.99", "memory": "1.5"}}),
    (Host, {"endpoint": {"url": "qemu+tls://" + "h" * 501}}),
]

REFUSED: list[tuple[type[Resource], dict[str, Any], str]] = [
    (VirtualMachine, {"userData": {"inline": "x" * 1048576}}, "spec.userData.inline"),
    (VirtualMachine, {"userData": {"inline": ""}}, "spec.userData.inline"),
    (VirtualMachine, {"zone": ""}, "spec.zone"),
    (VirtualMachine, {"zone": "Zurich"}, "spec.zone"),
    (VirtualMachine, {"offering": LONG_NAME + "n"}, "spec.offering"),
    (VirtualMachine, {"offering": "../../etc/passwd"}, "spec.offering"),
    (VirtualMachine, {"offering": "a\nb"}, "spec.offering"),
    (VirtualMachine, {"hostname": "web.shop"}, "spec.hostname"),
    (VirtualMachine, {"hostname": "$(reboot)"}, "spec.hostname"),
    (VirtualMachine, {"hostname": "h" * 64}, "spec.hostname"),
    (VirtualMachine, {"powerState": "on"}, "spec.powerState"),
    (VirtualMachine, {"powerState": True}, "spec.powerState"),
    (VirtualMachine, {"networks": vm_nics(9)}, "spec.networks"),
    (VirtualMachine, {"networks": vm_nics(2)[:1] * 2}, "spec.networks[1]"),
    (VirtualMachine, {"networks": [{"name": "a"}]}, "spec.networks[0].network"),
    (VirtualMachine, {"networks": [{"name": "a", "network": "n", "mac": "01:00:00:00:00:01"}]}, "spec.networks[0].mac"),
    (VirtualMachine, {"networks": [{"name": "a", "network": "n", "mac": "02-00-00-00-00-01"}]}, "spec.networks[0].mac"),
    (VirtualMachine, {"networks": [{"name": "a", "network": "n", "mac": "02:00:00:00:00:AA"}]}, "spec.networks[0].mac"),
    (VirtualMachine, {"volumes": vm_volumes(17)}, "spec.volumes"),
    (VirtualMachine, {"volumes": vm_volumes(1) * 2}, "spec.volumes[1]"),
    (VirtualMachine, {"volumes": [{"name": "a"}]}, "spec.volumes[0].volume"),
    (VirtualMachine, {"volumes": [{"name": "a.b", "volume": "v"}]}, "spec.volumes[0].name"),
    (Volume, {"size": None}, "spec.size"),
    (Volume, {"size": "-1Gi"}, "spec.size"),
    (Volume, {"pool": "../p"}, "spec.pool"),
    (Volume, {"source": {"snapshot": {}}}, "spec.source.snapshot.name"),
    (Volume, {"source": {"template": {"name": "t", "namespace": "a.b"}}}, "spec.source.template.namespace"),
    (Volume, {"deletionPolicy": "Keep"}, "spec.deletionPolicy"),
    (Snapshot, {"virtualMachine": ""}, "spec.virtualMachine"),
    (Snapshot, {"virtualMachine": "Web"}, "spec.virtualMachine"),
    (Snapshot, {"virtualMachine": None, "volume": "a/b"}, "spec.volume"),
    (Snapshot, {"includeMemory": "yes"}, "spec.includeMemory"),
    (SnapshotRestore, {"snapshot": LONG_NAME + "n"}, "spec.snapshot"),
    (VirtualMachine, {"sshKeys": ["not a key"]}, "spec.sshKeys[0]"),
    (VirtualMachine, {"sshKeys": [KEY + "\nssh-rsa AAAA second"]}, "spec.sshKeys[0]"),
    (VirtualMachine, {"sshKeys": [KEY, KEY]}, "spec.sshKeys[1]"),
    (VirtualMachine, {"sshKeys": ["ssh-rsa " + "A" * 8192]}, "spec.sshKeys[0]"),
    (VirtualMachine, {"sshKeys": [f"{KEY} {index}" for index in range(33)]}, "spec.sshKeys"),
    (VirtualMachine, {"rootDisk": {"size": "10 GB"}}, "spec.rootDisk.size"),
    (VirtualMachine, {"rootDisk": {"size": "-1Gi"}}, "spec.rootDisk.size"),
    (VirtualMachine, {"rootDisk": {"size": 1.5}}, "spec.rootDisk.size"),
    (VirtualMachine, {"rootDisk": {"size": "10m"}}, "spec.rootDisk.size"),
    (VirtualMachine, {"rootDisk": {"size": "1" * 33}}, "spec.rootDisk.size"),
    (VirtualMachine, {"rootDisk": {"tags": ["a", "a"]}}, "spec.rootDisk.tags[1]"),
    (VirtualMachine, {"rootDisk": {"tags": [f"t{index}" for index in range(33)]}}, "spec.rootDisk.tags"),
    (VirtualMachine, {"rootDisk": {"tags": ["no spaces"]}}, "spec.rootDisk.tags[0]"),
    (VirtualMachine, {"restartedAt": "2026-11-20T10:00:00+01:00"}, "spec.restartedAt"),
    (VirtualMachine, {"restartedAt": "2026-02-30T10:00:00Z"}, "spec.restartedAt"),
    (VirtualMachine, {"restartedAt": "0000-01-01T00:00:00Z"}, "spec.restartedAt"),
    (VirtualMachine, {"restartedAt": "now"}, "spec.restartedAt"),
    (VirtualMachine, {"restartedAt": []}, "spec.restartedAt"),
    (VirtualMachine, {"stopTimeout": "2 minutes"}, "spec.stopTimeout"),
    (VirtualMachine, {"stopTimeout": "1.5m"}, "spec.stopTimeout"),
    (VirtualMachine, {"template": {"name": None}}, "spec.template.name"),
    (VirtualMachine, {"template": {"name": "t", "namespace": "a.b"}}, "spec.template.namespace"),
    (ServiceOffering, {"cpus": 0}, "spec.cpus"),
    (ServiceOffering, {"cpus": 513}, "spec.cpus"),
    (ServiceOffering, {"cpus": "2"}, "spec.cpus"),
    (ServiceOffering, {"cpus": 1.5}, "spec.cpus"),
    (ServiceOffering, {"memory": None}, "spec.memory"),
    (Zone, {"guestVlans": [{"start": 0, "end": 5}]}, "spec.guestVlans[0].start"),
    (Zone, {"guestVlans": [{"start": 1, "end": 4095}]}, "spec.guestVlans[0].end"),
    (Zone, {"guestVlans": [{"start": 1, "end": 1}] * 65}, "spec.guestVlans"),
    (Zone, {"dns": ["192.0.2.1"] * 4}, "spec.dns"),
    (Pod, {"managementCIDR": ["10.0.0.0/8"]}, "spec.managementCIDR"),
    (Cluster, {"hypervisor": "XCPng"}, "spec.hypervisor"),
    (Cluster, {"overcommit": {"cpu": "0.5"}}, "spec.overcommit.cpu"),
    (Cluster, {"overcommit": {"cpu": "100"}}, "spec.overcommit.cpu"),
    (Cluster, {"overcommit": {"memory": "1.555"}}, "spec.overcommit.memory"),
    (Cluster, {"disableThreshold": {"cpu": 0}}, "spec.disableThreshold.cpu"),
    (Cluster, {"maxGuestsPerHost": 0}, "spec.maxGuestsPerHost"),
    (Cluster, {"stoppedReservation": "a day"}, "spec.stoppedReservation"),
    (Host, {"adminState": "Drained"}, "spec.adminState"),
    (VirtualMachine, {"template": None, "adopt": {}}, "spec.adopt.instanceID"),
    (VirtualMachine, {"template": None, "adopt": {"instanceID": "5F3C0000-0000-5000-8000-000000000000"}}, "spec.adopt.instanceID"),
    (VirtualMachine, {"template": None, "adopt": {"instanceID": "web"}}, "spec.adopt.instanceID"),
    (VirtualMachine, {"placement": {"antiAffinity": {"group": "Web"}}}, "spec.placement.antiAffinity.group"),
    (VirtualMachine, {"placement": {"antiAffinity": {"group": "web", "mode": "Soft"}}}, "spec.placement.antiAffinity.mode"),
    (Cluster, {"disableThreshold": {"memory": 101}}, "spec.disableThreshold.memory"),
    (Cluster, {"guestNetwork": {"backend": "OVS", "bridge": "br;reboot"}}, "spec.guestNetwork.bridge"),
    (Cluster, {"guestNetwork": {"backend": "OVS", "bridge": "a" * 21}}, "spec.guestNetwork.bridge"),
    (Cluster, {"guestNetwork": {"backend": "Bridge", "bridge": "{segment}{segment}"}}, "spec.guestNetwork.bridge"),
    (Cluster, {"guestNetwork": {"backend": "Linux", "uplink": "eno2;reboot"}}, "spec.guestNetwork.uplink"),
    (Cluster, {"guestNetwork": {"backend": "Linux", "uplink": "-eno2"}}, "spec.guestNetwork.uplink"),
    (Cluster, {"guestNetwork": {"backend": "Linux", "uplink": "e" * 16}}, "spec.guestNetwork.uplink"),
    (
        Cluster,
        {"guestNetwork": {"backend": "Linux", "uplink": "eno2", "vxlan": {"group": "10.1.1.1"}}},
        "spec.guestNetwork.vxlan.group",
    ),
    (Host, {"endpoint": {"url": "h1.example.org"}}, "spec.endpoint.url"),
    (Host, {"endpoint": {"url": "qemu+tls://h1 h2/"}}, "spec.endpoint.url"),
    (Host, {"endpoint": {"url": "qemu+tls://" + "h" * 502}}, "spec.endpoint.url"),
    (Host, {"endpoint": {"credentials": {}}}, "spec.endpoint.url"),
    (Host, {"endpoint": {"url": "a:b", "credentials": {}}}, "spec.endpoint.credentials.secretRef"),
    (StoragePool, {"path": "srv"}, "spec.path"),
    (StoragePool, {"path": "/"}, "spec.path"),
    (StoragePool, {"path": "/srv/"}, "spec.path"),
    (StoragePool, {"path": "/srv/a b"}, "spec.path"),
    (StoragePool, {"path": "/srv//a"}, "spec.path"),
    (StoragePool, {"path": "/srv/'$(reboot)'"}, "spec.path"),
    (StoragePool, {"type": "Floppy"}, "spec.type"),
    *(
        (StoragePool, {"type": "NFS", "nfs": {"server": server, "export": "/vms"}}, "spec.nfs.server")
        for server in ("", "-o", "a b", "a:b", "a,b", "a/b", "$(reboot)", "a.", "a\n", "a" * 254)
    ),
    *(
        (StoragePool, {"type": "NFS", "nfs": {"server": "a", "export": export}}, "spec.nfs.export")
        for export in ("", "vms", "/vms/", "/a b", "/a,b", "//a", "/'$(reboot)'", "/a\n", "/" + "e" * 512)
    ),
    (StoragePool, {"type": "NFS", "nfs": {"server": "a"}}, "spec.nfs.export"),
    (StoragePool, {"type": "LVM", "lvm": {}}, "spec.lvm.volumeGroup"),
    *(
        (StoragePool, {"type": "LVM", "lvm": {"volumeGroup": group}}, "spec.lvm.volumeGroup")
        for group in ("", "-a", "..", ".", "a/b", "a b", "../etc", "a\n", "a'/><x", "$(reboot)", "--yes", "a,b", "v" * 64, "ä")
    ),
    (StoragePool, {"iscsi": {"server": "san"}}, "spec.iscsi.target"),
    (StoragePool, {"iscsi": {"server": "", "target": IQN}}, "spec.iscsi.server"),
    (StoragePool, {"iscsi": {"server": "a b", "target": IQN}}, "spec.iscsi.server"),
    (StoragePool, {"iscsi": {"server": "san'/><host name='x", "target": IQN}}, "spec.iscsi.server"),
    (StoragePool, {"iscsi": {"server": "san", "port": 0, "target": IQN}}, "spec.iscsi.port"),
    (StoragePool, {"iscsi": {"server": "san", "port": 65536, "target": IQN}}, "spec.iscsi.port"),
    (StoragePool, {"iscsi": {"server": "san", "target": "iqn.2026-13.org.example"}}, "spec.iscsi.target"),
    (StoragePool, {"iscsi": {"server": "san", "target": f"{IQN}/1"}}, "spec.iscsi.target"),
    (StoragePool, {"iscsi": {"server": "san", "target": f"{IQN}:a b"}}, "spec.iscsi.target"),
    (StoragePool, {"iscsi": {"server": "san", "target": f"{IQN}:" + "a" * 220}}, "spec.iscsi.target"),
    (StoragePool, {"iscsi": {"server": "san", "target": "eui.02004567A425678D"}}, "spec.iscsi.target"),
    (StoragePool, {"rbd": CEPH | {"monitors": []}}, "spec.rbd.monitors"),
    (StoragePool, {"rbd": CEPH | {"monitors": [f"m{n}" for n in range(10)]}}, "spec.rbd.monitors"),
    (StoragePool, {"rbd": CEPH | {"monitors": ["m", "m"]}}, "spec.rbd.monitors[1]"),
    (StoragePool, {"rbd": CEPH | {"monitors": ["m:0"]}}, "spec.rbd.monitors[0]"),
    (StoragePool, {"rbd": CEPH | {"monitors": ["m:65536"]}}, "spec.rbd.monitors[0]"),
    (StoragePool, {"rbd": CEPH | {"monitors": ["m'/><host"]}}, "spec.rbd.monitors[0]"),
    (StoragePool, {"rbd": CEPH | {"monitors": ["m -k x"]}}, "spec.rbd.monitors[0]"),
    (StoragePool, {"rbd": CEPH | {"pool": ""}}, "spec.rbd.pool"),
    (StoragePool, {"rbd": CEPH | {"pool": "a/b"}}, "spec.rbd.pool"),
    (StoragePool, {"rbd": CEPH | {"pool": "--x"}}, "spec.rbd.pool"),
    (StoragePool, {"rbd": CEPH | {"pool": "a" * 129}}, "spec.rbd.pool"),
    (StoragePool, {"rbd": CEPH | {"user": "x:key=y"}}, "spec.rbd.user"),
    (StoragePool, {"rbd": CEPH | {"user": ""}}, "spec.rbd.user"),
    (StoragePool, {"rbd": CEPH | {"secretRef": {"name": "ceph"}}}, "spec.rbd.secretRef.namespace"),
    (Volume, {"pool": "san", "lun": -1}, "spec.lun"),
    (Volume, {"pool": "san", "lun": 16384}, "spec.lun"),
    (Volume, {"pool": "san", "lun": "1"}, "spec.lun"),
    (Template, {"source": {"url": "ftp://h/x"}}, "spec.source.url"),
    (Template, {"source": {"url": "file:///etc/shadow"}}, "spec.source.url"),
    (Template, {"source": {"url": "https://h/a b"}}, "spec.source.url"),
    (Template, {"source": {"url": "https://h/" + "a" * 2048}}, "spec.source.url"),
    (Template, {"source": {"checksum": "sha256:abc"}}, "spec.source.checksum"),
    (Template, {"source": {"checksum": "sha1:" + "0" * 40}}, "spec.source.checksum"),
    (Template, {"source": {"checksum": "sha256:" + "A" * 64}}, "spec.source.checksum"),
    (Template, {"format": "ISO"}, "spec.format"),
    (Template, {"allowedNamespaces": {"from": "Some"}}, "spec.allowedNamespaces.from"),
    (Network, {"type": "Isolated"}, "spec.type"),
    (Network, {"segment": {"vlan": 0}}, "spec.segment.vlan"),
    (Network, {"segment": {"vlan": 4095}}, "spec.segment.vlan"),
    (Network, {"segment": {}}, "spec.segment.vlan"),
    (Network, subnet(dns=["192.0.2.1"] * 4), "spec.subnet.dns"),
    (Network, subnet(ranges=[{"start": "10.1.0.1", "end": "10.1.0.2"}] * 33), "spec.subnet.ranges"),
    (Network, subnet(addressing="DHCP"), "spec.subnet.addressing"),
]


@pytest.mark.parametrize(("kind", "patch"), ACCEPTED)
def test_accepted(api: Api, make: Make, kind: type[Resource], patch: dict[str, Any]) -> None:
    reply = api.create(kind, make(kind, merged(MINIMAL[kind], patch)), keep=False)
    assert reply.accepted, reply.object["message"][:500]
    assert kind.parse(reply.object).metadata.name, "the model must read what the server accepts"


@pytest.mark.parametrize(("kind", "patch", "field"), REFUSED)
def test_refused(api: Api, make: Make, kind: type[Resource], patch: dict[str, Any], field: str) -> None:
    reply = api.create(kind, make(kind, merged(MINIMAL[kind], patch)), keep=False)
    assert reply.code == 422, reply.object
    assert field in {place for place, _ in reply.causes}, reply.object["message"][:500]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_required_fields_are_missed_by_name(api: Api, make: Make, kind: type[Resource]) -> None:
    reply = api.create(kind, make(kind, {}), keep=False)
    required = schema_of(kind, "spec").get("required", [])
    assert reply.accepted is (MINIMAL[kind] == {})
    assert {f"spec.{name}" for name in required} == {field for field, message in reply.causes if "Required" in message}
    without = api.create(kind, {key: part for key, part in make(kind, {}).items() if key != "spec"}, keep=False)
    assert ("spec", "Required value") in without.causes


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_name_of_253_characters(api: Api, make: Make, kind: type[Resource]) -> None:
    manifest = make(kind, MINIMAL[kind])
    manifest["metadata"]["name"] = LONG_NAME
    assert api.create(kind, manifest, keep=False).accepted
    manifest["metadata"]["name"] = LONG_NAME + "n"
    assert "metadata.name" in {field for field, _ in api.create(kind, manifest, keep=False).causes}
