"""The same as `rules` for what users make: VMs, Volumes, Snapshots, SnapshotRestores."""

from crds.v1alpha1 import Snapshot, SnapshotRestore, VirtualMachine, Volume
from tests.crds.cases import Spec, change, fixed, ipv4, size, value
from tests.crds.samples import ADOPTING, MINIMAL


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

CASES = [*VM, *VOLUME, *SNAPSHOT]
