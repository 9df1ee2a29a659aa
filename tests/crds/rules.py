"""For each CEL rule: an object that it accepts and one that it refuses, told apart by that rule alone."""

from typing import Any

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
from tests.crds.cases import CIDR, DISABLED, NOT_CIDR, OFFERING, SCOPE, Spec, change, endpoint, fixed, grant, ipv4, size, value
from tests.crds.samples import ADOPTING, FULL, ISCSI_POOL, MINIMAL


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
_NO_BRIDGE = "bridge is required for OVS and Bridge, not allowed for Linux"
_NO_UPLINK = "uplink is required for Linux, not allowed for OVS and Bridge"

INFRASTRUCTURE = [
    *ipv4(Zone, "spec.dns[]", lambda text: {"dns": ["192.0.2.1", text]}),
    value(Zone, "spec.guestVlans[]", _START, vlans(100, 100), vlans(101, 100)),
    *fixed(Pod, "spec.zone", DISABLED, {"zone": "other"}),
    *(value(Pod, "spec.managementCIDR", CIDR, {"managementCIDR": "10.1.0.0/24"}, {"managementCIDR": text}) for text in NOT_CIDR),
    *fixed(Cluster, "spec.zone", DISABLED, {"zone": "other"}),
    *grant(Cluster, "adopters"),
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
_KINDS = "type ISCSI needs iscsi and no path; other types need path and no iscsi"
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
    value(StoragePool, "spec", _KINDS, {}, {"iscsi": _TARGET}),
    value(StoragePool, "spec", _KINDS, {}, {"path": None}),
    value(StoragePool, "spec", _KINDS, {}, {"path": None, "iscsi": _TARGET}),
    value(StoragePool, "spec", _KINDS, {}, {"path": "/srv/vireo"}, ISCSI_POOL),
    value(StoragePool, "spec", _KINDS, {}, {"iscsi": None}, ISCSI_POOL),
    value(
        StoragePool,
        "spec",
        "type ISCSI goes with scope Zone or Cluster",
        {"scope": "Cluster", "cluster": "c"},
        {"scope": "Host", "host": "h"},
        ISCSI_POOL,
    ),
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


def nics(*nics: Spec) -> Spec:
    return {"networks": [{"name": f"n{index}", "network": "front"} | nic for index, nic in enumerate(nics)]}


_MACS = ({"mac": "02:00:00:00:00:01"}, {"mac": "02:00:00:00:00:02"})
_SIZED = MINIMAL[VirtualMachine] | {"rootDisk": {"size": "10Gi"}}
_OTHER = "5f3c0000-0000-5000-8000-000000000001"
_ADOPT = {"adopt": {"mode": "Adopt"}}
_ADOPTED = {"adopt": {"instanceID": "5f3c0000-0000-5000-8000-000000000000", "mode": "Adopt"}}
_MADE = "exactly one of template and adopt must be set"
_BACK = "cannot go back from Adopt to Report"
_FIRST = {"default": True}
_DEFAULT = "at most one interface can be the default"
_MAC = "two interfaces must not have the same mac"
_SHRINK = "must not shrink"
_FIRMWARE = "firmware is immutable"
_ONE_OF = "exactly one of inline and secretRef must be set"
_UNSET = "rootDisk.size cannot be removed once set: it only grows"
_BYTES = "must be at most 262144 bytes (256 KiB) of UTF-8"
_CALENDAR = "must be a day of the calendar, from 1970 on"
_TIME = "must be between 1s and 1h"
_KEPT = "must be at most 87600h (ten years)"

VM = [
    *fixed(VirtualMachine, "spec.zone", {"powerState": "Off"}, {"zone": "other"}),
    *fixed(
        VirtualMachine,
        "spec.template",
        {"offering": "big"},
        {"template": {"name": "x"}},
        {"template": {"namespace": "x"}},
        {"template": None, "adopt": ADOPTING["adopt"]},
        message="template is immutable",
    ),
    value(VirtualMachine, "spec", _MADE, {"hostname": "a"}, {"adopt": ADOPTING["adopt"]}),
    value(VirtualMachine, "spec", _MADE, {"hostname": "a"}, {"adopt": None}, ADOPTING),
    change(VirtualMachine, "spec.adopt.instanceID", "is immutable", _ADOPT, {"adopt": {"instanceID": _OTHER}}, ADOPTING),
    change(VirtualMachine, "spec.adopt.mode", _BACK, {"hostname": "a"}, {"adopt": {"mode": "Report"}}, ADOPTING | _ADOPTED),
    *fixed(VirtualMachine, "spec.firmware", {"hostname": "a"}, {"firmware": "UEFI"}, message=_FIRMWARE),
    *fixed(
        VirtualMachine,
        "spec.firmware",
        {"firmware": "UEFI"},
        {"firmware": "BIOS"},
        {"firmware": None},
        old=MINIMAL[VirtualMachine] | {"firmware": "UEFI"},
        message=_FIRMWARE,
    ),
    *(
        change(VirtualMachine, "spec.rootDisk", _UNSET, good, bad, _SIZED)
        for good, bad in (
            ({"rootDisk": {"tags": ["ssd"]}}, {"rootDisk": None}),
            ({"rootDisk": {"size": "11Gi"}}, {"rootDisk": {"size": None, "tags": ["a"]}}),
        )
    ),
    *(
        change(VirtualMachine, "spec.rootDisk.size", _SHRINK, {"rootDisk": {"size": good}}, {"rootDisk": {"size": bad}}, _SIZED)
        for good, bad in (("10240Mi", "10G"), (10737418240, 10737418239), ("1Ti", "9.999Gi"), ("2e10", "1e10"))
    ),
    *size(VirtualMachine, "spec.rootDisk.size", lambda text: {"rootDisk": {"size": text}}),
    value(VirtualMachine, "spec.networks", _DEFAULT, nics(_FIRST, {"default": False}), nics(_FIRST, {}, _FIRST)),
    value(VirtualMachine, "spec.networks", _MAC, nics(*_MACS, {}, {}), nics(*_MACS, _MACS[0])),
    *ipv4(VirtualMachine, "spec.networks[].ip", lambda text: nics({}, {"ip": text})),
    value(VirtualMachine, "spec.userData", _ONE_OF, {"userData": {"inline": "x"}}, {"userData": {}}),
    value(
        VirtualMachine,
        "spec.userData",
        _ONE_OF,
        {"userData": {"secretRef": {"name": "s", "key": "k"}}},
        {"userData": {"inline": "x", "secretRef": {"name": "s", "key": "k"}}},
    ),
    *(
        value(VirtualMachine, "spec.stopTimeout", _TIME, {"stopTimeout": good}, {"stopTimeout": bad})
        for good, bad in (("1s", "999ms"), ("1h", "1h1ms"), ("59m60s", "0s"), ("1000ms", "99999h99999h99999h99999h"))
    ),
    *(
        value(Cluster, "spec.stoppedReservation", _KEPT, {"stoppedReservation": good}, {"stoppedReservation": bad})
        for good, bad in (("0s", "87600h1ms"), ("87600h", "99999h"))
    ),
]

VM += [
    value(VirtualMachine, "spec.userData.inline", _BYTES, {"userData": {"inline": good}}, {"userData": {"inline": bad}})
    for good, bad in (("x" * 262144, "x" * 262143 + "\u00fc"), ("\U0001f600" * 65536, "\U0001f600" * 65537))
]

VM += [
    value(VirtualMachine, "spec.restartedAt", _CALENDAR, {"restartedAt": good}, {"restartedAt": bad})
    for good, bad in (
        ("1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z"),
        ("2026-11-20T10:00:00.123456789Z", "0001-01-01T00:00:00.9Z"),
        ("2028-02-29T23:59:59Z", "0999-12-31T00:00:00Z"),
    )
]


def mounts(*pairs: tuple[str, str]) -> Spec:
    return {"volumes": [{"name": name, "volume": volume} for name, volume in pairs]}


_ROOT = "must not be root: that is the disk of the template"
_ONCE = "a volume can be attached once only"

VM += [
    value(VirtualMachine, "spec.volumes[].name", _ROOT, mounts(("roots", "v")), mounts(("root", "v"))),
    value(VirtualMachine, "spec.volumes", _ONCE, mounts(("a", "v"), ("b", "w")), mounts(("a", "v"), ("b", "w"), ("c", "v"))),
]

_FROM_SNAPSHOT = {"source": {"snapshot": {"name": "s"}}}
_FROM_TEMPLATE = {"source": {"template": {"name": "t"}}}
_SOURCES = "exactly one of snapshot and template must be set"
_POOLED = MINIMAL[Volume] | {"pool": "p1"} | _FROM_SNAPSHOT
_LUN, _NAMED = MINIMAL[Volume] | {"pool": "san", "lun": 0}, "lun needs pool, and excludes source"
_OTHER_POOL, _OTHER_SOURCE = "pool is immutable", "source is immutable"

VOLUME = [
    *fixed(Volume, "spec.zone", {"size": "2Gi"}, {"zone": "other"}),
    *fixed(Volume, "spec.pool", {"tags": ["ssd"]}, {"pool": "p1"}, message=_OTHER_POOL),
    *fixed(Volume, "spec.pool", {"pool": "p1"}, {"pool": "p2"}, {"pool": None}, old=_POOLED, message=_OTHER_POOL),
    *fixed(Volume, "spec.source", {"size": "2Gi"}, _FROM_TEMPLATE, message=_OTHER_SOURCE),
    *fixed(
        Volume,
        "spec.source",
        _FROM_SNAPSHOT,
        {"source": {"snapshot": {"name": "other"}}},
        {"source": None},
        {"source": {"snapshot": None, "template": {"name": "s"}}},
        old=_POOLED,
        message=_OTHER_SOURCE,
    ),
    *(
        value(Volume, "spec.source", _SOURCES, _FROM_TEMPLATE, {"source": bad})
        for bad in ({}, {**_FROM_SNAPSHOT["source"], **_FROM_TEMPLATE["source"]})
    ),
    *(
        change(Volume, "spec.size", _SHRINK, {"size": good}, {"size": bad}, MINIMAL[Volume] | {"size": "10Gi"})
        for good, bad in (("10240Mi", "10G"), (10737418240, 10737418239), ("1Ti", "9.999Gi"))
    ),
    *size(Volume, "spec.size", lambda text: {"size": text}),
    *fixed(Volume, "spec.lun", {"size": "2Gi"}, {"lun": 1}, {"lun": None}, old=_LUN, message="lun is immutable"),
    value(Volume, "spec", _NAMED, {"lun": 0, "pool": "san"}, {"lun": 0}),
    value(Volume, "spec", _NAMED, {}, _FROM_TEMPLATE, _LUN),
]

_OF_VOLUME = {"volume": "data-1"}
_ONE_SOURCE = "exactly one of virtualMachine and volume must be set"
_EXCLUDE = "includeMemory and quiesce exclude each other"
_VM_ONLY = "includeMemory and quiesce go with virtualMachine only"
_ANY = {"virtualMachine": "web-1"}

SNAPSHOT = [
    value(Snapshot, "spec", _ONE_SOURCE, _ANY, {}, {}),
    value(Snapshot, "spec", _ONE_SOURCE, _OF_VOLUME, _OF_VOLUME | _ANY, {}),
    value(Snapshot, "spec", _EXCLUDE, {"quiesce": True}, {"quiesce": True, "includeMemory": True}),
    value(Snapshot, "spec", _EXCLUDE, {"includeMemory": True}, {"quiesce": True, "includeMemory": True}),
    value(Snapshot, "spec", _VM_ONLY, {"includeMemory": False}, {"includeMemory": True}, _OF_VOLUME),
    value(Snapshot, "spec", _VM_ONLY, {"quiesce": False}, {"quiesce": True}, _OF_VOLUME),
    *fixed(Snapshot, "spec.virtualMachine", _ANY, {"virtualMachine": "other"}, message="virtualMachine is immutable"),
    *fixed(Snapshot, "spec.volume", _OF_VOLUME, {"volume": "other"}, old=_OF_VOLUME, message="volume is immutable"),
    *fixed(Snapshot, "spec.includeMemory", {"includeMemory": False}, {"includeMemory": True}),
    *fixed(Snapshot, "spec.quiesce", {"quiesce": False}, {"quiesce": True}),
    *fixed(SnapshotRestore, "spec.snapshot", {"snapshot": "before-upgrade"}, {"snapshot": "other"}),
]

CASES = [*INFRASTRUCTURE, *STORAGE, *TEMPLATE, *NETWORK, *VM, *VOLUME, *SNAPSHOT]
