"""For each CEL rule: an object that it accepts and one that it refuses, told apart by that rule alone."""

from typing import Any

from crds.v1alpha1 import (
    Cluster,
    Host,
    Network,
    Pod,
    ServiceOffering,
    StoragePool,
    Template,
    Zone,
)
from tests.crds import rules_of_vms
from tests.crds.cases import CIDR, DISABLED, NOT_CIDR, OFFERING, SCOPE, Spec, change, endpoint, fixed, grant, ipv4, size, value
from tests.crds.samples import FULL, ISCSI_POOL, LVM_POOL, MINIMAL, RBD_POOL


def vlans(start: int, end: int) -> Spec:
    return {"guestVlans": [{"start": start, "end": end}]}


def bridge(backend: str, name: str) -> Spec:
    return {"guestNetwork": {"backend": backend, "bridge": name}}


def linux(**settings: Any) -> Spec:
    return {"guestNetwork": {"backend": "Linux"} | settings}


_START = "start must not be greater than end"
_BRIDGE = "bridge must contain {segment} for backend Bridge, and must not for OVS"
_LONG = "bridge must be at most 15 characters with the VLAN id filled in"
_BACKEND = "spec.guestNetwork.bridge"
_UPLINK = "spec.guestNetwork.uplink"
_KEPT = "must be at most 87600h (ten years)"
_NO_BRIDGE = "bridge is required for OVS and Bridge, not allowed for Linux"
_NO_UPLINK = "uplink is required for Linux, not allowed for OVS and Bridge"

INFRASTRUCTURE = [
    *ipv4(Zone, "spec.dns[]", lambda text: {"dns": ["192.0.2.1", text]}),
    value(Zone, "spec.guestVlans[]", _START, vlans(100, 100), vlans(101, 100)),
    *fixed(Pod, "spec.zone", DISABLED, {"zone": "other"}),
    *(value(Pod, "spec.managementCIDR", CIDR, {"managementCIDR": "10.1.0.0/24"}, {"managementCIDR": text}) for text in NOT_CIDR),
    *fixed(Cluster, "spec.zone", DISABLED, {"zone": "other"}),
    *grant(Cluster, "adopters"),
    *(
        value(Cluster, "spec.stoppedReservation", _KEPT, {"stoppedReservation": good}, {"stoppedReservation": bad})
        for good, bad in (("0s", "87600h1ms"), ("87600h", "99999h"))
    ),
    *fixed(Cluster, "spec.pod", DISABLED, {"pod": "other"}),
    *fixed(Cluster, "spec.hypervisor", DISABLED, {"hypervisor": "KVM"}, old=MINIMAL[Cluster] | bridge("OVS", "br0")),
    value(
        Cluster,
        "spec.guestNetwork",
        "guestNetwork is required for hypervisor KVM",
        {"hypervisor": "KVM"} | bridge("OVS", "ovsbr0"),
        {"hypervisor": "KVM"},
    ),
    value(
        Cluster,
        "spec.cpuModel",
        "cpuModel is for hypervisor KVM",
        {"hypervisor": "KVM", "cpuModel": "EPYC"} | bridge("OVS", "ovsbr0"),
        {"cpuModel": "EPYC"},
    ),
    value(Cluster, _BACKEND, _NO_BRIDGE, bridge("OVS", "ovsbr0"), {"guestNetwork": {"backend": "OVS"}}),
    value(Cluster, _BACKEND, _NO_BRIDGE, linux(uplink="eno2"), linux(uplink="eno2", bridge="br0")),
    value(Cluster, _UPLINK, _NO_UPLINK, linux(uplink="eno2"), linux()),
    value(
        Cluster, _UPLINK, _NO_UPLINK, bridge("OVS", "ovsbr0"), {"guestNetwork": {"backend": "OVS", "bridge": "b", "uplink": "eno2"}}
    ),
    value(
        Cluster,
        "spec.guestNetwork.vxlan",
        "vxlan is for backend Linux only",
        linux(uplink="eno2", vxlan={"group": "239.1.1.1"}),
        {"guestNetwork": {"backend": "OVS", "bridge": "b", "vxlan": {"group": "239.1.1.1"}}},
    ),
    value(Cluster, _BACKEND, _BRIDGE, bridge("Bridge", "br-vlan{segment}"), bridge("Bridge", "br-vlan")),
    value(Cluster, _BACKEND, _BRIDGE, bridge("OVS", "ovsbr0"), bridge("OVS", "br{segment}")),
    value(Cluster, _BACKEND, _LONG, bridge("Bridge", "br-guest-la{segment}"), bridge("OVS", "a-name-too-long.")),
    value(Cluster, _BACKEND, _LONG, bridge("OVS", "fifteen-letters"), bridge("OVS", "sixteen-letters-")),
    *endpoint(Cluster),
    *fixed(Host, "spec.cluster", {"adminState": "Disabled"}, {"cluster": "other"}),
    *endpoint(Host),
]

_ON_CLUSTER = MINIMAL[StoragePool] | {"scope": "Cluster", "cluster": "c"}
_ON_HOST = MINIMAL[StoragePool] | {"scope": "Host", "host": "h"}
_ON_NFS = FULL[StoragePool][2]
_NFS = "type NFS needs nfs, which goes with no other type"
_TARGET = ISCSI_POOL["iscsi"]
_CEPH = RBD_POOL["rbd"]
_ISCSI = "type ISCSI needs iscsi, which goes with no other type"
_RBD = "type RBD needs rbd, which goes with no other type"
_PATH = "types ISCSI and RBD need no path; other types need path"
_LVM = "type LVM needs lvm, which goes with no other type"
_ONE_HOST = "type LVM goes with scope Host: hosts that share a volume group need a lock manager, which Vireo does not run"
_DOTS = "must not contain . or .. as a part"

STORAGE = [
    value(StoragePool, "spec", SCOPE, {}, {"cluster": "c"}),
    value(StoragePool, "spec", SCOPE, {}, {"host": "h"}),
    value(StoragePool, "spec", SCOPE, {"scope": "Cluster", "cluster": "c"}, {"scope": "Cluster"}),
    value(StoragePool, "spec", SCOPE, {"scope": "Host", "host": "h"}, {"scope": "Host"}),
    value(StoragePool, "spec", SCOPE, {"scope": "Host", "host": "h"}, {"scope": "Host", "host": "h", "cluster": "c"}),
    *fixed(StoragePool, "spec.zone", DISABLED, {"zone": "other"}),
    *fixed(StoragePool, "spec.scope", {"tags": ["ssd"]}, {"scope": "Cluster", "cluster": "c"}),
    *fixed(StoragePool, "spec.cluster", DISABLED, {"cluster": "other"}, old=_ON_CLUSTER),
    *fixed(StoragePool, "spec.host", DISABLED, {"host": "other"}, old=_ON_HOST),
    *fixed(StoragePool, "spec.path", DISABLED, {"path": "/srv/other"}),
    *fixed(StoragePool, "spec.type", DISABLED, {"type": "NFS", "nfs": _ON_NFS["nfs"]}),
    value(StoragePool, "spec", _NFS, {}, {"type": "NFS"}),
    value(StoragePool, "spec", _NFS, _ON_NFS, {"nfs": _ON_NFS["nfs"]}),
    *fixed(StoragePool, "spec.nfs.server", DISABLED, {"nfs": {"server": "192.0.2.9"}}, old=_ON_NFS),
    *fixed(StoragePool, "spec.nfs.export", DISABLED, {"nfs": {"export": "/"}}, old=_ON_NFS),
    *(
        value(
            StoragePool,
            "spec.nfs.export",
            _DOTS,
            _ON_NFS | {"nfs": {"server": "a", "export": "/..a/.b"}},
            _ON_NFS | {"nfs": {"server": "a", "export": text}},
        )
        for text in ("/..", "/srv/../etc", "/srv/.")
    ),
    *fixed(StoragePool, "spec.iscsi.server", DISABLED, {"iscsi": {"server": "other"}}, old=ISCSI_POOL),
    *fixed(StoragePool, "spec.iscsi.port", DISABLED, {"iscsi": {"port": 3261}}, old=ISCSI_POOL),
    *fixed(StoragePool, "spec.iscsi.target", DISABLED, {"iscsi": {"target": "iqn.2026-01.org.example:b"}}, old=ISCSI_POOL),
    value(StoragePool, "spec", _ISCSI, {}, {"iscsi": _TARGET}),
    value(StoragePool, "spec", _ISCSI, {}, {"iscsi": None}, ISCSI_POOL),
    value(StoragePool, "spec", _RBD, {}, {"rbd": _CEPH}),
    value(StoragePool, "spec", _RBD, {}, {"rbd": None}, RBD_POOL),
    value(StoragePool, "spec", _RBD, {}, {"rbd": _CEPH}, ISCSI_POOL),
    value(StoragePool, "spec", _PATH, {}, {"path": None}),
    value(StoragePool, "spec", _PATH, {}, {"path": "/srv/vireo"}, ISCSI_POOL),
    value(StoragePool, "spec", _PATH, {}, {"path": "/srv/vireo"}, RBD_POOL),
    *(
        value(
            StoragePool,
            "spec",
            "types ISCSI and RBD go with scope Zone or Cluster",
            {"scope": "Cluster", "cluster": "c"},
            {"scope": "Host", "host": "h"},
            old,
        )
        for old in (ISCSI_POOL, RBD_POOL)
    ),
    *fixed(StoragePool, "spec.rbd.monitors", DISABLED, {"rbd": {"monitors": ["other"]}}, old=RBD_POOL),
    *fixed(StoragePool, "spec.rbd.pool", DISABLED, {"rbd": {"pool": "other"}}, old=RBD_POOL),
    *fixed(
        StoragePool,
        "spec.rbd.user",
        {"rbd": _CEPH | {"secretRef": {"namespace": "x", "name": "y"}}},
        {"rbd": {"user": "other"}},
        old=RBD_POOL,
    ),
    *fixed(StoragePool, "spec.lvm.volumeGroup", DISABLED, {"lvm": {"volumeGroup": "other"}}, old=LVM_POOL),
    value(StoragePool, "spec", _LVM, LVM_POOL, {"lvm": LVM_POOL["lvm"]}),
    value(StoragePool, "spec", _LVM, {}, {"lvm": None}, LVM_POOL),
    value(StoragePool, "spec", _PATH, {}, {"path": None}, LVM_POOL),
    value(StoragePool, "spec", _ONE_HOST, {}, {"scope": "Zone", "host": None}, LVM_POOL),
    value(StoragePool, "spec", _ONE_HOST, {}, {"scope": "Cluster", "host": None, "cluster": "c"}, LVM_POOL),
    *(
        value(StoragePool, "spec.path", _DOTS, {"path": "/srv/..a/.b/c."}, {"path": text})
        for text in ("/srv/../etc", "/..", "/srv/..", "/./srv", "/srv/./a")
    ),
    *fixed(ServiceOffering, "spec.cpus", {"displayName": "One"}, {"cpus": 2}, message=OFFERING),
    *fixed(ServiceOffering, "spec.memory", {"memory": "0.5Gi"}, {"memory": "1Gi"}, {"memory": 1}, message=OFFERING),
    *size(ServiceOffering, "spec.memory", lambda text: {"memory": text}),
    *fixed(
        ServiceOffering,
        "spec.diskLimits",
        {"displayName": "One"},
        {"diskLimits": None},
        {"diskLimits": {"readIOPS": 11}},
        {"diskLimits": {"writeIOPS": 10}},
        message=f"diskLimits {OFFERING}",
        old=MINIMAL[ServiceOffering] | {"diskLimits": {"readIOPS": 10}},
    ),
    change(ServiceOffering, "spec.diskLimits", f"diskLimits {OFFERING}", {}, {"diskLimits": {"readIOPS": 10}}),
    value(
        ServiceOffering, "spec.diskLimits", "at least one limit must be set", {"diskLimits": {"readIOPS": 10}}, {"diskLimits": {}}
    ),
    *(
        value(
            ServiceOffering,
            f"spec.diskLimits.{field}",
            "must be from 64Ki to 1T",
            {"diskLimits": {field: good}},
            {"diskLimits": {field: bad}},
        )
        for field in ("readBytesPerSecond", "writeBytesPerSecond")
        for good, bad in (("64Ki", "65535"), (65536, 0), ("1T", "1000000000001"))
    ),
]

_SOURCE = MINIMAL[Template]["source"]
_URL = "must not hold a user name or password"

TEMPLATE = [
    *fixed(
        Template,
        "spec.source",
        {"osType": "Debian"},
        {"source": {"url": "https://other.example.org/"}},
        {"source": {"checksum": "md5:" + "0" * 32}},
    ),
    *fixed(Template, "spec.source", {"minDisk": "1Gi"}, {"source": {"checksum": None}}, old=FULL[Template][0]),
    *fixed(Template, "spec.format", {"format": "QCOW2"}, {"format": "RAW"}),
    *fixed(Template, "spec.firmware", {"firmware": "BIOS"}, {"firmware": "UEFI"}),
    *fixed(Template, "spec.devices", {"devices": "VirtIO"}, {"devices": "Emulated"}),
    *(
        value(Template, "spec.source.url", _URL, {"source": {"url": "https://h/a@b"}}, {"source": {"url": url}})
        for url in ("https://user:secret@h/", "http://token@h/", "https://@h/x")
    ),
    *size(Template, "spec.minDisk", lambda text: {"minDisk": text}),
    *size(Template, "spec.minMemory", lambda text: {"minMemory": text}),
    *grant(Template),
]

_SHARED = MINIMAL[Network] | {"type": "Shared", "subnet": {"cidr": "10.1.0.0/24"}}


def subnet(**fields: Any) -> Spec:
    return {"subnet": fields}


def pool(start: str, end: str) -> Spec:
    return {"subnet": {"ranges": [{"start": start, "end": end}]}}


NETWORK = [
    *fixed(Network, "spec.zone", {"allowedNamespaces": {"from": "All"}}, {"zone": "other"}),
    *fixed(Network, "spec.type", {"type": "L2"}, {"type": "Shared", "subnet": {"cidr": "10.0.0.0/24"}}),
    *fixed(
        Network,
        "spec.segment",
        {"allowedNamespaces": {"from": "All"}},
        {"segment": {"vlan": 5}},
        message="segment is immutable",
    ),
    *fixed(
        Network,
        "spec.segment",
        {"segment": {"vlan": 7}},
        {"segment": {"vlan": 5}},
        {"segment": None},
        old=MINIMAL[Network] | {"segment": {"vlan": 7}},
        message="segment is immutable",
    ),
    *(
        value(Network, "spec.subnet", "subnet is required for type Shared and not allowed for L2", {}, bad)
        for bad in ({"type": "Shared"}, subnet(cidr="10.0.0.0/24"))
    ),
    *fixed(Network, "spec.subnet.cidr", subnet(gateway="10.1.0.1"), subnet(cidr="10.1.0.0/25"), old=_SHARED),
    *(value(Network, "spec.subnet.cidr", CIDR, subnet(cidr="10.0.0.0/8"), subnet(cidr=text), _SHARED) for text in NOT_CIDR),
    value(Network, "spec.subnet.cidr", "must be a /8 to /30", subnet(cidr="10.0.0.0/8"), subnet(cidr="10.0.0.0/7"), _SHARED),
    value(Network, "spec.subnet.cidr", "must be a /8 to /30", subnet(cidr="10.0.0.0/30"), subnet(cidr="10.0.0.0/31"), _SHARED),
    *(
        value(Network, "spec.subnet.gateway", "gateway must be an address of cidr", subnet(gateway="10.1.0.254"), bad, _SHARED)
        for bad in (subnet(gateway="10.1.1.1"), subnet(gateway="10.0.255.255"))
    ),
    *(
        value(Network, "spec.subnet.ranges", "ranges must lie within cidr", pool("10.1.0.0", "10.1.0.255"), bad, _SHARED)
        for bad in (pool("10.0.255.255", "10.1.0.9"), pool("10.1.0.9", "10.1.1.0"), pool("10.2.0.1", "10.2.0.9"))
    ),
    *(
        value(Network, "spec.subnet.ranges[]", _START, good, bad, _SHARED)
        for good, bad in (
            (pool("10.1.0.9", "10.1.0.9"), pool("10.1.0.10", "10.1.0.9")),
            (pool("10.1.0.9", "10.1.0.10"), pool("10.1.0.100", "10.1.0.20")),
        )
    ),
    value(
        Network,
        "spec.subnet.ranges[]",
        _START,
        pool("10.1.200.1", "10.2.0.1"),
        pool("10.2.0.1", "10.1.255.255"),
        MINIMAL[Network] | {"type": "Shared", "subnet": {"cidr": "10.0.0.0/8"}},
    ),
    *ipv4(Network, "spec.subnet.dns[]", lambda text: subnet(dns=[text]), _SHARED),
    *ipv4(Network, "spec.subnet.gateway", lambda text: subnet(gateway=text), _SHARED),
    *ipv4(Network, "spec.subnet.ranges[].start", lambda text: pool(text, "10.1.0.9"), _SHARED),
    *ipv4(Network, "spec.subnet.ranges[].end", lambda text: pool("10.1.0.9", text), _SHARED),
    *grant(Network),
]

CASES = [*INFRASTRUCTURE, *STORAGE, *TEMPLATE, *NETWORK, *rules_of_vms.CASES]
