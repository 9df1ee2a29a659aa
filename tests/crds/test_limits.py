"""The largest objects that the bounds allow can really be stored, and rules still fit the server's budget on them."""

from typing import Any

import pytest

from crds.base import Resource
from crds.v1alpha1 import Cluster, Host, Network, Snapshot, StoragePool, Template, VirtualMachine, Volume, Zone
from tests.crds.api import Api
from tests.crds.conftest import Make
from tests.crds.samples import ENDPOINT, MINIMAL, STATUS

LONG_NAME = ".".join(["n" * 63] * 3 + ["n" * 61])
TAGS = [f"{index:02}" + "t" * 61 for index in range(32)]
SELECTOR = {
    "from": "Selector",
    "selector": {
        "matchLabels": {f"example.org/{index}": "v" * 63 for index in range(32)},
        "matchExpressions": [{"key": "k" * 317, "operator": "In", "values": ["v" * 63] * 32}] * 32,
    },
}
NICS = [
    {
        "name": f"{index}" + "n" * 62,
        "network": LONG_NAME,
        "networkNamespace": "n" * 63,
        "ip": f"10.100.100.{index}",
        "mac": f"02:00:00:00:00:0{index}",
        "default": index == 7,
    }
    for index in range(8)
]

LARGEST: dict[type[Resource], dict[str, Any]] = {
    Zone: {"dns": ["255.255.255.255"] * 3, "guestVlans": [{"start": 1, "end": 4094}] * 64},
    Cluster: {
        "zone": LONG_NAME,
        "pod": LONG_NAME,
        "hypervisor": "KVM",
        "endpoint": ENDPOINT | {"url": "qemu+tls://" + "h" * 501},
        "guestNetwork": {"backend": "Bridge", "bridge": "{segment}elevenchars"},
    },
    Host: {"cluster": LONG_NAME, "tags": TAGS, "nativeName": "ü" * 255},
    StoragePool: MINIMAL[StoragePool] | {"path": "/" + "p" * 511, "tags": TAGS},
    Template: {"source": {"url": "https://" + "h" * 2040, "checksum": "sha512:" + "0" * 128}, "allowedNamespaces": SELECTOR},
    Network: {
        "zone": LONG_NAME,
        "type": "Shared",
        "subnet": {
            "cidr": "100.0.0.0/8",
            "gateway": "100.255.255.254",
            "dns": ["255.255.255.255"] * 3,
            "ranges": [{"start": "100.100.100.100", "end": "100.200.200.200"}] * 32,
        },
        "allowedNamespaces": SELECTOR,
    },
    VirtualMachine: {
        "zone": LONG_NAME,
        "offering": LONG_NAME,
        "template": {"name": LONG_NAME, "namespace": "n" * 63},
        "rootDisk": {"size": "1023.999999999Pi", "tags": TAGS},
        "networks": NICS,
        "volumes": [{"name": f"{index:02}" + "n" * 61, "volume": f"{index:02}" + LONG_NAME[2:]} for index in range(16)],
        "hostname": "h" * 63,
        "sshKeys": [f"ssh-rsa {index:02}" + "A" * 8182 for index in range(32)],
        "userData": {"inline": "\U0001f600" * 65536},
        "placement": {"cluster": LONG_NAME, "host": LONG_NAME, "hostTags": TAGS},
    },
    Volume: {
        "zone": LONG_NAME,
        "pool": LONG_NAME,
        "size": "1023.999999999Pi",
        "tags": TAGS,
        "source": {"template": {"name": LONG_NAME, "namespace": "n" * 63}},
    },
    Snapshot: {"virtualMachine": LONG_NAME, "includeMemory": True},
}


@pytest.mark.parametrize("kind", LARGEST, ids=lambda kind: kind.KIND)
def test_the_largest_object_is_stored_changed_and_read(api: Api, make: Make, kind: type[Resource]) -> None:
    """Also its update: transition rules compare all of the old with all of the new."""
    created = api.create(kind, make(kind, LARGEST[kind]))
    assert created.accepted, str(created.object)[:500]
    try:
        changed = api.update(kind, created.object | {"metadata": created.object["metadata"] | {"labels": {"a": "b"}}})
        assert changed.accepted, str(changed.object)[:500]
        assert kind.parse(changed.object).metadata.labels == {"a": "b"}
    finally:
        assert api.delete(kind, created.object).accepted


def test_a_vm_s_usual_object_is_small(api: Api, make: Make) -> None:
    """Budget: 6 KB as stored, for a VM with one interface, one disk, all conditions and a finished job."""
    spec = MINIMAL[VirtualMachine] | {
        "networks": [{"name": "front", "network": "front"}],
        "sshKeys": ["ssh-ed25519 " + "A" * 68 + " admin@example.org"],
        "rootDisk": {"size": "10Gi"},
    }
    facets = ["Ready", "Placed", "DisksReady", "NetworksReady", "PowerStateSynced", "InSync", "GuestReady", "JobSucceeded"]
    condition = STATUS[VirtualMachine]["conditions"][0] | {"message": "a sentence of the usual length, for people who look at it"}
    status = {name: value for name, value in STATUS[VirtualMachine].items() if name not in ("volumes", "adoption", "formerNics")}
    status |= {"conditions": [condition | {"type": facet} for facet in facets]}
    created = api.create(VirtualMachine, make(VirtualMachine, spec)).object
    try:
        stored = api.update_status(VirtualMachine, created | {"status": status})
        assert stored.accepted, stored.object
        assert stored.size < 6 * 1024
    finally:
        assert api.delete(VirtualMachine, created).accepted
