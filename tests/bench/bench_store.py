"""What a start costs without an API server: `python -m tests.bench.bench_store [vms] [hosts]`. Prints; asserts no figure.

Objects as an API server sends them are taken in page by page, as after a start of the controller; resident memory and CPU time
are printed after each step.
"""

import asyncio
import gc
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from controller.inventory import Inventory, Lanes
from controller.ipam import AddressAllocator, SegmentAllocator
from controller.placing.placement import Placements
from controller.placing.recovery import Recovery
from controller.runtime.clock import SystemClock
from controller.runtime.intake import Intake
from controller.runtime.store import Change, Store
from controller.runtime.unfinished import Unfinished
from controller.scheduler.index import HostIndex
from controller.shared.lookups import register_all, vms_by_zone
from drivers.loader import load
from tests.support.live import manifests as make

_PAGE = 50
_CONDITIONS = ("Ready", "DisksReady", "GuestReady", "InSync", "JobSucceeded", "NetworksReady", "Placed", "PowerStateSynced")
_TIME = "2026-11-21T08:10:37Z"


def memory() -> float:
    """Resident memory in MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def stored(manifest: dict[str, Any], number: int, status: dict[str, Any]) -> dict[str, Any]:
    """An object as the API server sends it, with managed fields as large as usual."""
    metadata = manifest["metadata"] | {
        "uid": str(uuid.UUID(int=number)),
        "resourceVersion": str(number + 1),
        "generation": 1,
        "creationTimestamp": _TIME,
        "finalizers": ["vireo.dev/finalizer"],
        "managedFields": [{"manager": "vireo", "fieldsV1": {f"f:field{field}": {"f:value": {}} for field in range(90)}}],
    }
    return manifest | {"metadata": metadata, "status": status}


def host(number: int) -> dict[str, Any]:
    """A host that is up."""
    capacity = {"cpu": "4096", "memory": "16Ti"}
    status = {"state": "Up", "capacity": capacity, "conditions": conditions(["Ready", "Schedulable"]), "observedGeneration": 1}
    return stored(make.host(f"host-{number:05}"), number, status)


def vm(number: int, hosts: int) -> dict[str, Any]:
    """A VM that runs."""
    ip, identity = f"10.{number // 65000 + 1}.{number // 250 % 250}.{number % 250 + 1}", str(uuid.UUID(int=number + 10**9))
    mac = f"26:23:51:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    status = {
        "state": "Running",
        "host": f"host-{number % hosts:05}",
        "cluster": "c",
        "instanceID": identity,
        "hypervisorName": f"shop-vm-{number}",
        "ipAddress": ip,
        "nics": [{"name": "front", "network": "shop/front", "mac": mac, "ip": ip, "segment": "vlan-184"}],
        "disks": [{"name": "root", "pool": "shared", "size": "16Mi", "volumeID": f"/pools/shared/{identity}-root"}],
        "guest": {"agent": True, "hostname": f"vm-{number}", "addresses": [ip]},
        "conditions": conditions(_CONDITIONS),
        "observedGeneration": 1,
    }
    return stored(make.vm(f"vm-{number}"), number, status)


def conditions(types: Any) -> list[dict[str, Any]]:
    """Conditions that hold."""
    common = {"status": "True", "reason": "AsDeclared", "message": "", "lastTransitionTime": _TIME, "observedGeneration": 1}
    return [common | {"type": type} for type in types]


def pages(objects: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The objects in pages that were JSON before, as replies are."""
    page: list[str] = []
    for each in objects:
        page.append(json.dumps(each))
        if len(page) == _PAGE:
            yield from_json(f"[{','.join(page)}]", cache_strings="keys")
            page.clear()
    yield from_json(f"[{','.join(page)}]", cache_strings="keys")


class Meter:
    """Prints what each step took."""

    def __init__(self) -> None:
        gc.collect()
        self._base = memory()
        self._time = time.process_time()
        print(f"{'code':<40} {self._base:7.1f} MiB")

    def step(self, what: str) -> None:
        """Print what was added since the start, and the CPU time since the last step."""
        passed = time.process_time() - self._time
        print(f"{what:<40} {memory() - self._base:+7.1f} MiB {passed:7.2f} s of CPU")
        self._time = time.process_time()


def _no_lanes(name: str) -> Lanes:
    raise NotImplementedError(name)


def main(vms: int, hosts: int) -> None:
    """Take everything in, then take over what statuses record."""
    gc.freeze()
    gc.set_threshold(20_000)
    store, index = Store(), HostIndex()
    register_all(store)
    inventory = Inventory(load, _no_lanes, lambda _: None, None)  # type: ignore[arg-type]  # nothing is attached
    placements = Placements(store, index)
    recovery = Recovery(store, inventory, AddressAllocator(), SegmentAllocator(), placements, SystemClock())

    def told(change: Change, own: bool) -> None:
        placements.take(change)
        recovery.take(change)

    intake, meter = Intake(store, told, Unfinished("vireo.dev/finalizer", SystemClock())), Meter()
    for page in pages(host(number) for number in range(hosts)):
        for raw in page:
            intake.upsert(raw)
    meter.step(f"{hosts} hosts taken in")
    for page in pages(vm(number, hosts) for number in range(vms)):
        for raw in page:
            intake.upsert(raw)
    meter.step(f"{vms} VMs taken in")
    assert len(vms_by_zone.keys(store, "z")) == vms, "the VMs of this bench don't fit their model"
    asyncio.run(recovery.from_statuses())
    meter.step("addresses taken over from statuses")
    gc.collect()
    meter.step("after a look for garbage")


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + ["10000", "1000"][len(sys.argv) - 1 :])))
