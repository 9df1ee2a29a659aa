"""Snapshots and restores on a real API server, with a controller that is killed in the middle of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import TASK_METHODS
from drivers.types import Power
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings

HOSTS = 2
SLOWLY = {method: 1.0 for method in TASK_METHODS if method.startswith(("snapshots.", "volumes."))}
"""Long enough for a kill to fall into it."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=HOSTS) as running:
        running.controller.start()
        running.basics(HOSTS, endpoint_per_host=True)
        running.api.apply(make.manifest("Volume", "data", zone="z", size="1Gi", pool="shared"))
        running.api.apply(make.vm("web", volumes=[{"name": "data", "volume": "data"}]))
        for kind in ("VirtualMachine", "Volume"):
            running.await_current(kind)
        running.control.set_durations(SLOWLY)
        yield running


def killed_at_work(cloud: LiveCloud, manifest: dict[str, Any]) -> None:
    """Apply, kill the controller while the job is under way, and start another."""
    cloud.api.apply(manifest)
    kind, name = manifest["kind"], manifest["metadata"]["name"]

    def begun() -> bool:
        return bool(((cloud.api.get(kind, name) or {}).get("status") or {}).get("job"))

    cloud.until(begun, f"{kind} {name} has begun")
    cloud.controller.kill()
    cloud.controller.start()
    cloud.await_current(kind, [name])


def power(cloud: LiveCloud, state: str) -> None:
    cloud.api.patch("VirtualMachine", "web", {"spec": {"powerState": state}})
    cloud.await_current("VirtualMachine", ["web"])


def target(cloud: LiveCloud) -> str:
    [vm] = cloud.control.census().vms
    return f"{vm.host}/{vm.instance}"


def disk(cloud: LiveCloud) -> str:
    [found] = cloud.control.census().disks
    return found.content


def test_a_vm_there_and_back(cloud: LiveCloud) -> None:
    cloud.control.act(Act.WRITE_DISK, target(cloud), "root=old")
    killed_at_work(cloud, make.manifest("Snapshot", "before", virtualMachine="web"))
    cloud.control.act(Act.WRITE_DISK, target(cloud), "root=new")
    killed_at_work(cloud, make.manifest("Snapshot", "running", virtualMachine="web", includeMemory=True))
    status = {name: (cloud.api.get("Snapshot", name) or {})["status"] for name in ("before", "running")}
    assert (status["running"]["parent"], status["running"]["memory"]) == ("before", True)
    power(cloud, "Off")
    killed_at_work(cloud, make.manifest("SnapshotRestore", "undo", snapshot="before"))
    cloud.await_current("VirtualMachine", ["web"])
    assert (disk(cloud), cloud.control.census().vms[0].power) == ("old", Power.OFF)
    killed_at_work(cloud, make.manifest("SnapshotRestore", "redo", snapshot="running"))
    power(cloud, "On")
    assert disk(cloud) == "new"
    for name in ("before", "running"):
        cloud.api.delete("Snapshot", name)
    cloud.await_gone("Snapshot", "before", "running")
    assert not cloud.control.census().vms[0].snapshots
    assert findings(cloud.api, cloud.control.census()) == []


def test_a_volume_and_its_copy(cloud: LiveCloud) -> None:
    killed_at_work(cloud, make.manifest("Snapshot", "nightly", volume="data"))
    assert (cloud.api.get("Snapshot", "nightly") or {})["status"]["state"] == "BackedUp"
    killed_at_work(cloud, make.manifest("Volume", "copy", zone="z", size="2Gi", source={"snapshot": {"name": "nightly"}}))
    cloud.api.apply(make.manifest("SnapshotRestore", "volume-back", snapshot="nightly"))
    cloud.await_reason("SnapshotRestore", "volume-back", "VolumeAttached", "web")
    cloud.api.patch("VirtualMachine", "web", {"spec": {"volumes": None}})
    cloud.await_current("SnapshotRestore", ["volume-back"])
    cloud.api.delete("Snapshot", "nightly")
    cloud.await_gone("Snapshot", "nightly")
    census = cloud.control.census()
    assert not census.snapshots
    assert sorted((volume.name, volume.made) for volume in census.volumes) == [("shop-copy", 1), ("shop-data", 1)]
