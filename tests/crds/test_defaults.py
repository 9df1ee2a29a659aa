"""What the API server fills in, and what it leaves alone."""

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
from tests.crds.api import Api
from tests.crds.conftest import Make
from tests.crds.samples import MINIMAL

ENABLED = {"allocationState": "Enabled"}
SAME = {"allowedNamespaces": {"from": "Same"}}

# from the design of the API, not from the schema
DEFAULTS: dict[type[Resource], dict[str, Any]] = {
    Zone: ENABLED,
    Pod: ENABLED,
    Cluster: ENABLED
    | {
        "overcommit": {"cpu": "1", "memory": "1"},
        "disableThreshold": {"cpu": 85, "memory": 85},
        "stoppedReservation": "1h",
        "adopters": {"from": "Same"},
    },
    Host: {"adminState": "Enabled"},
    StoragePool: ENABLED,
    ServiceOffering: {},
    Template: SAME | {"format": "QCOW2", "firmware": "BIOS", "devices": "VirtIO"},
    Network: SAME,
    VirtualMachine: {
        "powerState": "On",
        "stopMode": "TrySoft",
        "stopTimeout": "120s",
        "recreatePolicy": "OnRootDisk",
    },
    Volume: {"deletionPolicy": "Delete"},
    Snapshot: {"includeMemory": False, "quiesce": False},
    SnapshotRestore: {},
}

PARTIAL = [
    (Cluster, {"overcommit": {"cpu": "4"}}, {"overcommit": {"cpu": "4", "memory": "1"}}),
    (Cluster, {"disableThreshold": {"memory": 70}}, {"disableThreshold": {"cpu": 85, "memory": 70}}),
    (
        Host,
        {"endpoint": {"url": "a:b", "tls": {"caSecretRef": {"namespace": "n", "name": "ca"}}}},
        {
            "endpoint": {
                "url": "a:b",
                "tls": {"caSecretRef": {"namespace": "n", "name": "ca", "key": "ca.crt"}, "insecure": False},
            }
        },
    ),
    (
        Network,
        {"type": "Shared", "subnet": {"cidr": "10.1.0.0/24"}},
        {"type": "Shared", "subnet": {"cidr": "10.1.0.0/24", "addressing": "Managed"}},
    ),
    (
        VirtualMachine,
        {"placement": {"antiAffinity": {"group": "web"}}},
        {"placement": {"antiAffinity": {"group": "web", "mode": "Required"}}},
    ),
    (VirtualMachine, {"rootDisk": {"tags": ["ssd"]}}, {"rootDisk": {"tags": ["ssd"]}}),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_the_least_object_gets_the_documented_defaults(api: Api, make: Make, kind: type[Resource]) -> None:
    stored = api.create(kind, make(kind, MINIMAL[kind]), keep=False).object
    assert stored["spec"] == MINIMAL[kind] | DEFAULTS[kind]


@pytest.mark.parametrize(("kind", "given", "expected"), PARTIAL)
def test_defaults_fill_a_partly_given_structure(
    api: Api, make: Make, kind: type[Resource], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    stored = api.create(kind, make(kind, MINIMAL[kind] | given), keep=False).object["spec"]
    assert {name: stored[name] for name in expected} == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_new_object_is_not_yet_observed(api: Api, make: Make, kind: type[Resource]) -> None:
    """Before the first status is written a waiting client sees "in progress", not "done": observedGeneration is behind."""
    created = api.create(kind, make(kind, MINIMAL[kind]))
    try:
        assert created.object["status"] == {"observedGeneration": -1}
        assert created.object["metadata"]["generation"] == 1
        partly = api.update_status(kind, created.object | {"status": {"conditions": []}})
        assert partly.object["status"]["observedGeneration"] == -1
    finally:
        assert api.delete(kind, created.object).accepted


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_status_cannot_be_set_with_the_object(api: Api, make: Make, kind: type[Resource]) -> None:
    reply = api.create(kind, make(kind, MINIMAL[kind]) | {"status": {"observedGeneration": 7}}, keep=False)
    assert reply.object["status"] == {"observedGeneration": -1}
