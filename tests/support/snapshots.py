"""Snapshots and restores in a simulated cloud: what users write about them, and what to look at."""

from __future__ import annotations

import copy
from typing import Any

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import VMCloud
from tests.support.volumes import made


def snapshot(name: str = "snap", of: str = "virtualMachine: web", extra: str = "") -> str:
    """A Snapshot as a user writes it; `extra` goes into its spec."""
    return f"""
kind: Snapshot
metadata: {{name: {name}, namespace: shop}}
spec: {{{of}{", " if extra else ""}{extra}}}
"""


def restore(name: str = "back", to: str = "snap") -> str:
    """A SnapshotRestore as a user writes it."""
    return f"""
kind: SnapshotRestore
metadata: {{name: {name}, namespace: shop}}
spec: {{snapshot: {to}}}
"""


def status(cloud: VMCloud, name: str = "snap", kind: str = "Snapshot") -> dict[str, Any]:
    """Status of a Snapshot or SnapshotRestore."""
    return cloud.status(kind, f"shop/{name}")


def ready(cloud: VMCloud, name: str = "snap", kind: str = "Snapshot") -> tuple[str, str] | None:
    """Status and reason of its condition Ready."""
    return cloud.condition(kind, f"shop/{name}", "Ready")


def text(cloud: VMCloud, name: str = "snap", kind: str = "Snapshot") -> str:
    """Message of its condition Ready."""
    return cloud.message(kind, f"shop/{name}", "Ready")


def job(cloud: VMCloud, name: str = "snap", kind: str = "Snapshot") -> tuple[str, str]:
    """Command and status of its running or last job."""
    found = status(cloud, name, kind)["job"]
    return found["command"], found["status"]


def tree(cloud: VMCloud, vm: str = "web") -> dict[str, str | None]:
    """The snapshots that a VM has in the hypervisor, each with its parent; by the name that was given to them."""
    had = cloud.datacentre.vm(vm).snapshots
    short = {identity: each.name.removeprefix("shop-") for identity, each in had.items()}
    return {short[identity]: short[each.parent] if each.parent else None for identity, each in had.items()}


def kept(cloud: VMCloud) -> list[str]:
    """Names of the snapshots of volumes that lie in pools."""
    cloud.datacentre.service.advance()
    return sorted(each.name.removeprefix("shop-") for each in cloud.datacentre.census.snapshots)


def write(cloud: VMCloud, content: str, vm: str = "web") -> None:
    """The guest writes to its root disk."""
    cloud.datacentre.act(Act.WRITE_DISK, vm, f"root={content}")


def reads(cloud: VMCloud, vm: str = "web") -> str:
    """What the guest reads from its root disk."""
    return cloud.datacentre.vm(vm).disks["root"].content


def stored(cloud: VMCloud, volume: str = "data") -> str:
    """What a volume holds."""
    return made(cloud)[volume].content


def store(cloud: VMCloud, content: str, volume: str = "data") -> None:
    """Somebody writes to a volume."""
    found = made(cloud)[volume]
    for pool in cloud.datacentre.service.dc.pools.values():
        if found.volume in pool.volumes:
            pool.volumes[found.volume].content = content


def runs(cloud: VMCloud, vm: str = "web") -> bool:
    """Whether the VM runs."""
    return cloud.datacentre.vm(vm).power is Power.ON


def versions(cloud: VMCloud, kind: str, name: str) -> list[dict[str, Any]]:
    """Every version of an object that the API server ever had."""
    return [raw for raw in cloud.api.history if raw["kind"] == kind and raw["metadata"]["name"] == name]


def jobs(cloud: VMCloud, kind: str, name: str) -> set[tuple[str, str]]:
    """Command and status of every job that an object ever had; one that is gone had its last while it was being deleted."""
    told = [raw.get("status", {}).get("job") for raw in versions(cloud, kind, name)]
    return {(each["command"], each["status"]) for each in told if each}


def wish(cloud: VMCloud, kind: str, name: str) -> tuple[int, dict[str, Any]]:
    """What its user declared: the generation and a copy of the spec."""
    raw = cloud.raw(kind, f"shop/{name}")
    return raw["metadata"]["generation"], copy.deepcopy(raw["spec"])


def key(kind: str, name: str) -> Key:
    """The key of an object in the users' namespace."""
    return Key(kind, "shop", name)
