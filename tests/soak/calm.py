"""What must hold whenever everything that went wrong is over: the cloud is as declared, once, and at rest."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from controller.ipam import instance_id, volume_id
from drivers.simulator.engine.census import Census
from drivers.types import Power
from tests.soak.declared import Declared
from tests.soak.outside import Outside
from tests.soak.site import Site
from tests.soak.staying import disturbed, shared_addresses
from tests.support import kstatus
from tests.support.live.audit import findings

Manifest = dict[str, Any]
KINDS = (
    "Zone",
    "Pod",
    "Cluster",
    "Host",
    "StoragePool",
    "ServiceOffering",
    "Template",
    "Network",
    "VirtualMachine",
    "Volume",
    "Snapshot",
    "SnapshotRestore",
)
_WORKED_ON = ("virtualmachines", "volumes", "snapshots", "snapshotrestores")
_DEFECTS = {"NotConverging", "ReconcileTimeout", "InternalError", "DriverError"}
"""Reasons that nothing but a defect of Vireo explains."""


class Objects:
    """The objects of one moment, for the audit."""

    def __init__(self, site: Site) -> None:
        self._found = {kind: site.cloud.api.list(kind) for kind in KINDS}

    def list(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return self._found[kind]


def wrong(site: Site, declared: Declared, outside: Outside) -> list[str]:
    """Everything that is not as declared, in words."""
    objects = Objects(site)
    found = [*_objects(objects, declared)]
    if found:
        return found
    census = _counted(site.cloud.control.census(), outside)
    stays = [*disturbed(site, declared, census), *shared_addresses(census)]
    census = _without(census, declared.left)
    return [*findings(objects, census), *_contents(objects, census, declared), *_strangers(census, outside), *stays]


def _objects(objects: Objects, declared: Declared) -> Iterator[str]:
    for kind in KINDS:
        for each in objects.list(kind):
            yield from (f"{kind} {each['metadata']['name']} {text}" for text in _unfinished(each))
    for kind, names in declared.names().items():
        there = {each["metadata"]["name"] for each in objects.list(kind)}
        yield from (f"{kind} {name} is still there" for name in sorted(there - names))
        yield from (f"{kind} {name} is gone" for name in sorted(names - there))


def _unfinished(raw: Manifest) -> Iterator[str]:
    """How one object is not at its end."""
    status = raw.get("status", {})
    if (state := kstatus.compute(raw)) != kstatus.CURRENT:
        said = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions", ())]
        yield f"is {state}, finalizers {raw['metadata'].get('finalizers')}, {said}"
    if status.get("observedGeneration") != raw["metadata"]["generation"]:
        yield f"was observed at {status.get('observedGeneration')}, is at {raw['metadata']['generation']}"
    if (status.get("job") or {}).get("status") == "InProgress":
        yield f"has a job that runs: {status['job']['command']}"
    yield from kstatus.contradictions(raw)


def _counted(census: Census, outside: Outside) -> Census:
    """A VM may have been made once more for each time that somebody deleted it; a restarted server counts anew."""
    vms = [replace(vm, made=1) if vm.made <= 1 + outside.deleted[vm.instance] else vm for vm in census.vms]
    volumes = [replace(each, made=each.made or 1) for each in census.volumes]
    return replace(census, vms=tuple(vms), volumes=tuple(volumes))


def _without(census: Census, left: Collection[str]) -> Census:
    """All but VMs that were let go: no object declares them."""
    vms = tuple(vm for vm in census.vms if vm.instance not in left)
    return replace(census, vms=vms, disks=tuple(disk for disk in census.disks if disk.instance not in left))


def _contents(objects: Objects, census: Census, declared: Declared) -> Iterator[str]:
    """Whether disks and volumes hold what was written last, or brought back since."""
    made = (each["metadata"] for each in objects.list("VirtualMachine") if each["metadata"]["name"] in declared.vms)
    vms = {instance_id(each["uid"]): each["name"] for each in made}
    for disk in (each for each in census.disks if each.instance in vms):
        wanted = declared.vms[vms[disk.instance]].content
        if disk.name == "root" and wanted and disk.content != wanted:
            yield f"{vms[disk.instance]}: the root disk holds {disk.content!r}, written was {wanted!r}"
    volumes = {volume_id(each["metadata"]["uid"]): each["metadata"]["name"] for each in objects.list("Volume")}
    for volume in census.volumes:
        wanted = declared.volumes[volumes[volume.volume]].content
        if wanted and volume.content != wanted:
            yield f"{volumes[volume.volume]} holds {volume.content!r}, written was {wanted!r}"


def _strangers(census: Census, outside: Outside) -> Iterator[str]:
    """Whether VMs that aren't ours are as they were."""
    there = {f"{vm.host}/{vm.instance}": vm.power for vm in census.vms if not vm.owner}
    if there != dict.fromkeys(outside.foreign, Power.ON):
        yield f"foreign VMs are {there}, made were {outside.foreign}"


def writes(site: Site, since: float, everything: bool) -> list[str]:
    """What was written since (monotonic): of the objects that are worked on, or of everything but Leases."""
    return [
        f"{asked.method} {asked.path}"
        for replica in site.replicas
        for asked in replica.proxy.writes(since)
        if everything or asked.path.split("/namespaces/")[-1].split("/")[1:2] in [[each] for each in _WORKED_ON]
    ]


def await_rest(site: Site, quiet: float, patience: float, everything: bool) -> list[str]:
    """Wait until nothing was written for `quiet` seconds; returns what still was after `patience` seconds."""
    end = time.monotonic() + patience
    while found := writes(site, time.monotonic() - quiet, everything):
        if time.monotonic() > end:
            return found
        time.sleep(0.5)
    return []


class Logs:
    """What controllers have logged since the last look."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._read: dict[str, int] = {}

    def defects(self) -> list[str]:
        """Lines that only a defect explains: tracebacks, errors, and reasons that say so."""
        found = []
        for replica in self._site.replicas:
            path = replica.process.log
            with path.open("rb") as log:
                log.seek(self._read.get(path.name, 0))
                lines = log.read().splitlines(keepends=True)
            complete = [each for each in lines if each.endswith(b"\n")]
            self._read[path.name] = self._read.get(path.name, 0) + sum(map(len, complete))
            found += [f"{path.stem}: {line.decode(errors='replace').strip()[:2000]}" for line in complete if is_defect(line)]
        return found


def is_defect(line: bytes) -> bool:
    """Whether a line of the log tells of a defect."""
    try:
        said: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return True
    return said.get("level") in ("error", "critical") or "exception" in said or said.get("reason") in _DEFECTS
