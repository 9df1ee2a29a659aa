"""Volumes in a simulated cloud: what users write about them, and what to look at."""

from __future__ import annotations

from typing import Any

from controller.runtime.keys import Key
from drivers.simulator.engine.census import CensusVolume
from tests.support.vms import VMCloud, site

LOCAL = """
kind: StoragePool
metadata: {{name: local-h{n}}}
spec: {{zone: z1, scope: Host, host: h{n}, type: Directory, path: /local{n}, tags: {tags}}}
"""


SNAPSHOT = """
kind: Snapshot
metadata: {{name: before, namespace: shop}}
spec: {{{of}}}
"""


def local_pools(count: int = 2, tags: str = "[]") -> str:
    """A pool of its own for each of so many hosts."""
    return "\n---\n".join(LOCAL.format(n=n, tags=tags) for n in range(1, count + 1))


def volume(name: str = "data", size: str = "5Gi", extra: str = "") -> str:
    """A Volume as a user writes it; `extra` goes into its spec."""
    return f"""
kind: Volume
metadata: {{name: {name}, namespace: shop}}
spec: {{zone: z1, size: {size}{", " if extra else ""}{extra}}}
"""


async def begin(cloud: VMCloud, *texts: str, pool: str = "", hosts: int = 2) -> None:
    """A site of so many hosts, with one more pool if it is given, and then, all at once, what users declare."""
    cloud.apply(site(hosts))
    cloud.apply(pool)
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
    await cloud.settle(30)


def fill(cloud: VMCloud, path: str, free: int = 0) -> None:
    """Somebody writes into a pool until so many bytes are free, or takes that away again."""
    for key, pool in cloud.datacentre.service.dc.pools.items():
        if key.path == path:
            pool.used = pool.capacity - free


def mounts(*names: str) -> list[dict[str, str]]:
    """spec.volumes of a VM: each volume under its own name."""
    return [{"name": name, "volume": name} for name in names]


def mounted(*names: str) -> str:
    """The same, to be put into a VM's YAML."""
    return "volumes: [" + ", ".join(f"{{name: {name}, volume: {name}}}" for name in names) + "]"


def status(cloud: VMCloud, name: str = "data") -> dict[str, Any]:
    """Status of a Volume."""
    return cloud.status("Volume", f"shop/{name}")


def ready(cloud: VMCloud, name: str = "data", type: str = "Ready") -> tuple[str, str] | None:
    """Status and reason of a condition of a Volume."""
    return cloud.condition("Volume", f"shop/{name}", type)


def text(cloud: VMCloud, name: str = "data", type: str = "Ready") -> str:
    """Message of a condition of a Volume."""
    return cloud.message("Volume", f"shop/{name}", type)


def job(cloud: VMCloud, name: str = "data") -> tuple[str, str]:
    """Command and status of the running or last job of a Volume."""
    found = status(cloud, name)["job"]
    return found["command"], found["status"]


def edit(cloud: VMCloud, name: str = "data", **spec: Any) -> None:
    """Change the spec of a Volume."""
    cloud.api.edit(Key("Volume", "shop", name), **spec)


def made(cloud: VMCloud) -> dict[str, CensusVolume]:
    """The volumes that exist in any pool, by the uid of their owner's name in the API, or by that uid if it is gone."""
    cloud.datacentre.service.advance()
    names = {raw["metadata"]["uid"]: key.name for key, raw in cloud.api.objects.items() if key.kind == "Volume"}
    return {names.get(each.owner, each.owner): each for each in cloud.datacentre.census.volumes}


def has(cloud: VMCloud, vm: str = "web") -> list[str]:
    """Names of the disks that a VM has beside its own."""
    return sorted(each.name for each in next(each for each in cloud.datacentre.census.vms if each.name == f"shop-{vm}").volumes)
