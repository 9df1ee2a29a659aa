"""Objects to try, per kind: the least that is accepted, examples that together set every field of spec, and a full status."""

from typing import Any

from crds.base import Resource
from crds.v1alpha1 import (
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

Kind = type[Resource]
Spec = dict[str, Any]

SHA256 = "sha256:" + "0123456789abcdef" * 4
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGsample= admin@example.org"

ENDPOINT = {
    "url": "qemu+tls://h1.example.org/system",
    "credentials": {"secretRef": {"namespace": "infra", "name": "h1"}},
    "tls": {"caSecretRef": {"namespace": "infra", "name": "ca", "key": "tls.ca"}, "insecure": False},
}
SELECTOR = {
    "from": "Selector",
    "selector": {
        "matchLabels": {"vireo.dev/images": "yes"},
        "matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}],
    },
}

MINIMAL: dict[Kind, Spec] = {
    Zone: {},
    Pod: {"zone": "z"},
    Cluster: {"zone": "z", "pod": "p", "hypervisor": "Simulator"},
    Host: {"cluster": "c"},
    StoragePool: {"zone": "z", "scope": "Zone", "type": "Directory", "path": "/srv/vireo"},
    ServiceOffering: {"cpus": 1, "memory": "512Mi"},
    Template: {"source": {"url": "https://images.example.org/debian-12.qcow2"}},
    Network: {"zone": "z", "type": "L2"},
    VirtualMachine: {"zone": "z", "offering": "small", "template": {"name": "debian-12"}},
    Volume: {"zone": "z", "size": "1Gi"},
    Snapshot: {"virtualMachine": "web-1"},
    SnapshotRestore: {"snapshot": "before-upgrade"},
}

ADOPTING = {"zone": "z", "offering": "small", "adopt": {"instanceID": "5f3c0000-0000-5000-8000-000000000000", "mode": "Report"}}
"""A VirtualMachine that has its VM already."""

LVM_POOL = MINIMAL[StoragePool] | {"scope": "Host", "host": "h1", "type": "LVM", "lvm": {"volumeGroup": "vg-1"}}

ISCSI_POOL = {
    "zone": "z",
    "scope": "Zone",
    "type": "ISCSI",
    "iscsi": {"server": "san.example.org", "target": "iqn.2026-01.org.example"},
}
"""A StoragePool of a target's LUNs."""

RBD_POOL = {
    "zone": "z",
    "scope": "Zone",
    "type": "RBD",
    "rbd": {
        "monitors": ["mon1.example.org", "192.0.2.9:6789"],
        "pool": "vms",
        "user": "vireo",
        "secretRef": {"namespace": "vireo-system", "name": "ceph"},
    },
}
"""A StoragePool in a Ceph cluster."""

FULL: dict[Kind, list[Spec]] = {
    Zone: [
        {
            "allocationState": "Disabled",
            "dns": ["192.0.2.53", "192.0.2.54"],
            "guestVlans": [{"start": 100, "end": 199}, {"start": 4094, "end": 4094}],
        }
    ],
    Pod: [{"zone": "z", "managementCIDR": "10.0.0.0/16", "allocationState": "Disabled"}],
    Cluster: [
        {
            "zone": "z",
            "pod": "p",
            "hypervisor": "KVM",
            "endpoint": ENDPOINT,
            "overcommit": {"cpu": "4", "memory": "1.25"},
            "disableThreshold": {"cpu": 90, "memory": 80},
            "cpuModel": "Skylake-Server-noTSX-IBRS",
            "maxGuestsPerHost": 120,
            "stoppedReservation": "2h30m",
            "allocationState": "Disabled",
            "guestNetwork": {"backend": "Bridge", "bridge": "br-vlan{segment}"},
            "adopters": SELECTOR,
        },
        {
            "zone": "z",
            "pod": "p",
            "hypervisor": "KVM",
            "guestNetwork": {"backend": "Linux", "uplink": "eno2", "vxlan": {"group": "239.1.1.1"}},
        },
    ],
    Host: [{"cluster": "c", "endpoint": ENDPOINT, "nativeName": "Host_1", "tags": ["ssd", "gpu.a100"], "adminState": "Disabled"}],
    StoragePool: [
        MINIMAL[StoragePool] | {"scope": "Cluster", "cluster": "c", "tags": ["ssd"], "allocationState": "Disabled"},
        MINIMAL[StoragePool] | {"scope": "Host", "host": "h1.example.org"},
        MINIMAL[StoragePool] | {"type": "NFS", "nfs": {"server": "nfs1.example.org", "export": "/exports/vms"}},
        LVM_POOL,
        RBD_POOL,
        ISCSI_POOL | {"iscsi": {"server": "192.0.2.9", "port": 3261, "target": "iqn.2026-01.org.example:storage:data-1.x"}},
    ],
    ServiceOffering: [
        {
            "displayName": "Small",
            "cpus": 2,
            "memory": 2147483648,
            "hostTags": ["ssd"],
            "storageTags": ["fast"],
            "diskLimits": {"readBytesPerSecond": "100Mi", "writeBytesPerSecond": "65536", "readIOPS": 1000, "writeIOPS": 10},
        },
    ],
    Template: [
        {
            "source": {"url": "http://images.example.org/d.qcow2?x=1", "checksum": SHA256},
            "format": "VMDK",
            "osType": "Debian 12",
            "firmware": "UEFI",
            "devices": "Emulated",
            "minDisk": "4Gi",
            "minMemory": "256Mi",
            "allowedNamespaces": SELECTOR,
        }
    ],
    Network: [
        {
            "zone": "z",
            "type": "Shared",
            "segment": {"vlan": 120},
            "subnet": {
                "cidr": "10.1.0.0/24",
                "gateway": "10.1.0.1",
                "dns": ["192.0.2.53"],
                "ranges": [{"start": "10.1.0.20", "end": "10.1.0.99"}, {"start": "10.1.0.200", "end": "10.1.0.200"}],
                "addressing": "External",
            },
            "allowedNamespaces": SELECTOR,
        }
    ],
    VirtualMachine: [
        {
            "zone": "z",
            "powerState": "Off",
            "offering": "small",
            "template": {"name": "debian-12", "namespace": "images"},
            "rootDisk": {"size": "10Gi", "tags": ["ssd"]},
            "networks": [
                {"name": "front", "network": "front", "ip": "10.1.0.20", "mac": "02:00:00:00:00:01", "default": True},
                {"name": "back", "network": "back.shop", "networkNamespace": "nets"},
            ],
            "volumes": [{"name": "data", "volume": "data-1"}, {"name": "log", "volume": "web.log"}],
            "hostname": "web-1",
            "sshKeys": [KEY],
            "userData": {"inline": "#cloud-config\n"},
            "firmware": "UEFI",
            "placement": {
                "cluster": "c",
                "host": "h1",
                "hostTags": ["ssd"],
                "antiAffinity": {"group": "web", "mode": "Preferred"},
            },
            "stopMode": "Hard",
            "stopTimeout": "1m30s",
            "restartedAt": "2026-11-20T10:00:00Z",
            "deletionPolicy": "Retain",
            "driftPolicy": "Report",
            "recreatePolicy": "Fresh",
        },
        MINIMAL[VirtualMachine] | {"userData": {"secretRef": {"name": "seed", "key": "user-data"}}},
        ADOPTING | {"deletionPolicy": "Delete"},
    ],
    Volume: [
        {
            "zone": "z",
            "pool": "p1",
            "size": "10Gi",
            "tags": ["ssd"],
            "source": {"template": {"name": "debian-12", "namespace": "images"}},
            "deletionPolicy": "Retain",
        },
        {"zone": "z", "pool": "san", "lun": 0, "size": "1Gi"},
        MINIMAL[Volume] | {"source": {"snapshot": {"name": "nightly"}}},
    ],
    Snapshot: [
        {"virtualMachine": "web-1", "includeMemory": True},
        {"virtualMachine": "web-1", "quiesce": True},
        {"volume": "data-1"},
    ],
    SnapshotRestore: [{"snapshot": "before-upgrade"}],
}

_TIME = "2026-11-20T10:00:00Z"
_COMMON = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "message": "all is well",
            "lastTransitionTime": _TIME,
            "observedGeneration": 1,
        }
    ],
}
_JOB = {
    "id": "0b1c2d3e",
    "command": "DeployVirtualMachine",
    "status": "Failed",
    "phase": "Create",
    "progress": 40,
    "resultCode": 533,
    "resultText": "no host fits",
    "nativeRef": "task-7",
    "startedAt": _TIME,
    "completedAt": _TIME,
}
_CAPACITY = {"cpus": 8, "memory": "32Gi"}
_ALLOCATED = {"cpus": 2, "memory": "4Gi", "vms": 1}

STATUS: dict[Kind, Spec] = {
    Zone: _COMMON
    | {"counts": {"pods": 1, "clusters": 2, "hosts": 3, "hostsUp": 2}, "segments": {"vlansTotal": 100, "vlansAllocated": 7}},
    Pod: _COMMON | {"counts": {"clusters": 2, "hosts": 3, "hostsUp": 2}},
    Cluster: _COMMON | {"hostsTotal": 3, "hostsUp": 2, "capacity": _CAPACITY, "allocated": _ALLOCATED},
    Host: _COMMON
    | {
        "state": "Up",
        "resourceState": "Enabled",
        "version": "QEMU 7.2.22",
        "nativeID": "4c4c4544",
        "hypervisor": "QEMU",
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "allocated": _ALLOCATED,
        "running": ["shop/web-1"],
        "capabilities": ["GuestAgent", "Power"],
        "orphans": [{"instanceID": "5c1f7c0e-6d1b-5b43-9f0a-7a1c3d1f2e00", "owner": "shop/old"}],
        "networks": [{"backend": "Linux", "available": "False", "addressesGuarded": True, "message": "no login over SSH"}],
        "guests": {
            "domainTypes": ["kvm", "qemu"],
            "machineTypes": ["pc-q35-7.2", "pc-q35-7.1"],
            "firmwares": ["BIOS", "UEFI"],
            "cpuModel": "EPYC-Rome",
            "cpuModels": ["EPYC", "qemu64"],
            "lacks": ["UEFI for guests: OVMF is not installed"],
        },
    },
    StoragePool: _COMMON
    | {
        "state": "Up",
        "capacity": {"total": "100Gi", "available": "60Gi", "allocated": "80Gi"},
        "hostsMounted": 2,
        "hostsFailing": ["h3"],
        "orphans": {
            "count": 101,
            "size": "2Gi",
            "files": [
                {"path": "/srv/vireo/x.qcow2", "kind": "Disk", "identity": "5f3c0000-0000-5000-8000-00000000000a", "size": "1Gi"}
            ],
        },
    },
    ServiceOffering: _COMMON,
    Template: _COMMON
    | {
        "state": "DownloadInProgress",
        "progress": 40,
        "checksum": SHA256,
        "virtualSize": "2Gi",
        "physicalSize": "300Mi",
        "pools": [{"pool": "p1", "state": "DownloadInProgress", "progress": 10}],
        "job": _JOB,
    },
    Network: _COMMON
    | {
        "state": "Implemented",
        "segment": {"vlan": 120},
        "addresses": {"total": 80, "allocated": 3},
        "left": [
            {
                "instanceID": "11111111-2222-4333-8444-555555555555",
                "name": "front",
                "virtualMachine": "shop/web-0",
                "uid": "22222222-2222-4333-8444-555555555555",
                "host": "h1",
                "mac": "02:00:00:00:00:01",
                "ip": "10.1.0.9",
            }
        ],
    },
    VirtualMachine: _COMMON
    | {
        "state": "Running",
        "job": _JOB,
        "host": "h1",
        "cluster": "c1",
        "shard": 1,
        "instanceID": "5f3c0000-0000-5000-8000-000000000000",
        "hypervisorName": "shop-web-1",
        "ipAddress": "10.1.0.20",
        "nics": [{"name": "front", "mac": "02:00:00:00:00:01", "ip": "10.1.0.20", "network": "shop/front", "segment": "vlan-120"}],
        "disks": [{"name": "root", "pool": "p1", "volumeID": "/srv/vireo/5f3c-root.qcow2", "size": "10Gi"}],
        "volumes": [{"name": "data", "volume": "data-1", "volumeID": "5f3c0000-0000-5000-8000-00000000000a", "size": "20Gi"}],
        "guest": {"agent": True, "hostname": "web-1", "addresses": ["10.1.0.20", "2001:db8::20"]},
        "pendingChanges": [{"field": "spec.offering", "current": "small", "desired": "big", "needs": "Restart"}],
        "adoption": {
            "phase": "Differs",
            "host": "h1",
            "differences": [
                {"field": "spec.offering", "declared": "2 CPUs", "actual": "1 CPUs", "effect": "Live"},
                {"field": "snapshots", "actual": "2", "effect": "Ignored", "message": "they stay"},
            ],
        },
        "formerNics": [
            {"name": "back", "mac": "02:00:00:00:00:09", "ip": "10.1.1.9", "network": "shop/back", "segment": "vlan-121"}
        ],
        "placementReport": {
            "rejected": {"InsufficientMemory": 12},
            "examples": {"InsufficientMemory": ["host-1", "host-2", "host-3"]},
            "message": "0 of 12 hosts fit",
        },
        "appliedRestartAt": _TIME,
        "stoppedAt": _TIME,
        "roomReleased": True,
    },
    Volume: _COMMON
    | {
        "state": "Ready",
        "job": _JOB,
        "pool": "p1",
        "host": "h1",
        "volumeID": "5f3c0000-0000-5000-8000-00000000000a",
        "size": "20Gi",
        "attachedTo": {
            "virtualMachine": "web-1",
            "name": "data",
            "host": "kvm-1",
            "instanceID": "0d8f2d3c-6a3e-5b0a-9c1d-2b7e4f5a6c7d",
        },
    },
    Snapshot: _COMMON
    | {
        "state": "Ready",
        "job": _JOB,
        "snapshotID": "5f3c0000-0000-5000-8000-00000000000b",
        "sourceID": "5f3c0000-0000-5000-8000-000000000000",
        "createdAt": _TIME,
        "size": "20Gi",
        "parent": "before-upgrade",
        "host": "h1",
        "pool": "p1",
        "memory": True,
    },
    SnapshotRestore: _COMMON | {"state": "Completed", "job": _JOB, "host": "h1", "completedAt": _TIME},
}
