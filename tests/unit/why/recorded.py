"""Objects as an API server gave them, cut to what matters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from crds.v1alpha1 import KINDS

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
NAMESPACED = {kind.KIND for kind in KINDS if kind.DEFINITION.scope == "Namespaced"}
TYPES: dict[str, Any] = {kind.KIND: kind for kind in KINDS}

SPECS: dict[str, dict[str, Any]] = {
    "Zone": {},
    "Pod": {"zone": "z1", "managementCIDR": "10.0.0.0/24"},
    "Cluster": {"zone": "z1", "pod": "p1", "hypervisor": "KVM"},
    "Host": {"cluster": "c1"},
    "StoragePool": {"zone": "z1", "scope": "Host", "host": "h1", "type": "Directory", "path": "/pools/a"},
    "ServiceOffering": {"cpus": 1, "memory": "1Gi"},
    "Template": {"source": {"url": "https://example.com/a.qcow2"}},
    "Network": {"zone": "z1", "type": "Shared"},
    "VirtualMachine": {
        "zone": "z1",
        "offering": "small",
        "template": {"name": "debian", "namespace": "images"},
        "networks": [{"name": "eth0", "network": "front"}],
    },
    "Volume": {"zone": "z1", "size": "10Gi", "source": {"snapshot": {"name": "monday"}}},
    "Snapshot": {"virtualMachine": "web"},
    "SnapshotRestore": {"snapshot": "monday"},
}


def condition(type: str, status: str, reason: str, message: str = "", since: str = "2026-11-20T11:57:00Z") -> dict[str, Any]:
    return {"type": type, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}


def ready(reason: str = "Running") -> dict[str, Any]:
    return {"observedGeneration": 1, "conditions": [condition("Ready", "True", reason)]}


def unready(reason: str, message: str = "", *more: dict[str, Any], stalled: bool = False, **status: Any) -> dict[str, Any]:
    summary = condition("Stalled" if stalled else "Reconciling", "True", reason, message)
    return {"observedGeneration": 1, "conditions": [condition("Ready", "False", reason, message), summary, *more], **status}


def make(kind: str, name: str, status: dict[str, Any] | None = None, *, spec: dict[str, Any] | None = None, **meta: Any) -> Any:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7", "generation": 1, **meta}
    if kind in NAMESPACED:
        metadata.setdefault("namespace", "shop")
    raw = {"apiVersion": "vireo.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": {**SPECS[kind], **(spec or {})}}
    return TYPES[kind].parse(raw | ({"status": status} if status else {}))
