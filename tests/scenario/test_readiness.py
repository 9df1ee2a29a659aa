"""kstatus over every version that a VM object ever had: what clients wait for is right at every moment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import CensusVM
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.types import Power
from tests.support import kstatus
from tests.support.live import History, LiveCloud, live_cloud
from tests.support.live import manifests as make

NAMES = ("one", "two")
QUIET = 20.0
"""Seconds in which a cloud at rest writes nothing."""
SETTLED = 400.0
"""Seconds after which it is at rest: sums over hosts wait for half a minute, those over clusters for the same again."""

LATER = [
    f"--duration={method}=0.3" for method in ("compute.create", "compute.delete", "power.start", "power.stop", "compute.apply")
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), *LATER, hosts=2) as running:
        running.controller.start()
        running.basics(2)
        for kind in ("Host", "StoragePool", "Template", "Network"):
            running.await_current(kind)
        yield running


@pytest.fixture
def history(cloud: LiveCloud) -> Iterator[History]:
    """Records the test's VMs, two of which run at its beginning; checks every version at its end."""
    recorded = History(cloud.api, "VirtualMachine")
    cloud.api.apply(*(make.vm(name) for name in NAMES))
    cloud.await_current(names=NAMES)
    yield recorded
    cloud.control.clear_faults()
    for name in NAMES:
        cloud.api.delete("VirtualMachine", name)
    cloud.await_gone("VirtualMachine", *NAMES)
    for version in recorded.versions:
        assert problems(version) == [], version


def problems(version: make.Manifest) -> list[str]:
    """What a version says that can't be true."""
    status, generation = version.get("status") or {}, version["metadata"]["generation"]
    found = kstatus.contradictions(version)
    if kstatus.compute(version) != kstatus.CURRENT:
        return found
    ready = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), None)
    if ready is None:
        return [*found, "Current before the controller looked at it"]
    if not ready["observedGeneration"] == status["observedGeneration"] == generation:
        found.append("Current with a condition of another generation")
    expected = "Running" if version["spec"].get("powerState", "On") == "On" else "Stopped"
    if (status.get("state"), ready["reason"]) != (expected, expected):
        found.append(f"Current as {status.get('state')}, {ready['reason']}, declared {expected}")
    if status["job"]["status"] == "InProgress":
        found.append("Current with a job under way")
    if ready["status"] == "True" and any(c["type"] == "RestartRequired" for c in status["conditions"]) != bool(
        status.get("pendingChanges")
    ):
        found.append("RestartRequired and pendingChanges disagree")
    return found


def seen(cloud: LiveCloud, name: str) -> CensusVM:
    return next(vm for vm in cloud.control.census().vms if vm.name == f"shop-{name}")


def change(cloud: LiveCloud, name: str, **spec: Any) -> None:
    """Change a VM; when it is Current again the hypervisor has what is declared, at the moment that this is seen."""
    cloud.api.patch("VirtualMachine", name, {"spec": spec})
    cloud.await_current(names=[name])


def writes(history: History, name: str, doing: Callable[[], None]) -> int:
    """The controller's writes to a VM while something is done."""
    before = history.writes(name)
    doing()
    time.sleep(1)  # what is written needlessly comes at once
    return history.writes(name) - before


def test_creating_stopping_and_deleting_take_few_writes(cloud: LiveCloud, history: History) -> None:
    cloud.api.apply(make.vm("three"))  # by now the image is in the pool: the first VM of a pool waits for it, and says so
    cloud.await_current(names=["three"])
    assert 1 <= history.writes("three") <= 5, trace(history.of("three"))
    stop = writes(history, "one", lambda: change(cloud, "one", powerState="Off"))
    assert seen(cloud, "one").power is Power.OFF
    assert 1 <= stop <= 3, trace(history.of("one"))
    start = writes(history, "one", lambda: change(cloud, "one", powerState="On"))
    assert seen(cloud, "one").power is Power.ON
    assert 1 <= start <= 3, trace(history.of("one"))

    def delete() -> None:
        cloud.api.delete("VirtualMachine", "three")
        cloud.await_gone("VirtualMachine", "three")

    assert 1 <= writes(history, "three", delete) <= 3, trace(history.of("three"))


def test_a_resize_that_needs_a_restart(cloud: LiveCloud, history: History) -> None:
    """The spec counts as processed while the restart is pending, and says so; the restart brings it."""
    change(cloud, "one", offering="narrow")
    pending = cloud.api.get("VirtualMachine", "one")
    assert pending is not None
    assert [each["field"] for each in pending["status"]["pendingChanges"]] == ["spec.offering"]
    starts = seen(cloud, "one").starts
    time.sleep(1.1)  # a restart asked for in the second of the creation is none
    change(cloud, "one", restartedAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    done = cloud.api.get("VirtualMachine", "one")
    assert done is not None
    assert not done["status"].get("pendingChanges")
    assert seen(cloud, "one").starts == starts + 1
    assert seen(cloud, "one").memory == 512 << 20


@pytest.mark.parametrize("method", ["compute.apply", "power.stop", "compute.delete"])
def test_a_failure_that_passes(cloud: LiveCloud, history: History, method: str) -> None:
    cloud.control.add_fault(Fault(FaultKind.ERROR, method, count=2, error="Transient"))
    cloud.control.add_fault(Fault(FaultKind.TASK_ERROR, method, count=1))
    change(cloud, "one", offering="large")
    change(cloud, "one", powerState="Off")
    assert (seen(cloud, "one").cpus, seen(cloud, "one").power) == (4, Power.OFF)


def test_a_refusal_stalls_until_the_spec_changes(cloud: LiveCloud, history: History) -> None:
    cloud.control.add_fault(Fault(FaultKind.ERROR, "compute.apply", error="InvalidSpec"))
    cloud.api.patch("VirtualMachine", "one", {"spec": {"offering": "large"}})

    def stalled() -> bool:
        found = cloud.api.get("VirtualMachine", "one")
        return found is not None and kstatus.compute(found) == kstatus.FAILED

    cloud.until(stalled, "the VM is stalled")
    cloud.control.clear_faults()
    change(cloud, "one", offering="small")
    assert seen(cloud, "one").cpus == 1


def test_kubectl_wait_returns_when_it_is_so(cloud: LiveCloud, history: History) -> None:
    cloud.api.patch("VirtualMachine", "two", {"spec": {"powerState": "Off", "offering": "large"}})
    command = [*cloud.plane.kubectl(), "wait", "-n", "shop", "vvm/two", "--for=condition=Ready", "--timeout=200s"]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    assert (seen(cloud, "two").power, seen(cloud, "two").cpus) == (Power.OFF, 4)


def test_a_power_loss_is_never_shown_as_running_and_ready_for_long(cloud: LiveCloud, history: History) -> None:
    vm, before = seen(cloud, "two"), len(history.of("two"))
    cloud.control.act(Act.POWER_OFF, f"{vm.host}/{vm.instance}")
    cloud.until(lambda: seen(cloud, "two").power is Power.ON, "it is started again")
    cloud.await_current(names=["two"])
    assert "Starting" in [version["status"].get("state") for version in history.of("two")[before:]]


def test_a_cloud_at_rest_writes_nothing(cloud: LiveCloud, history: History) -> None:
    """Of any kind; counters that follow VMs with a delay have settled before."""
    deadline = time.monotonic() + SETTLED
    while written := changes(cloud):
        assert time.monotonic() < deadline, written


def changes(cloud: LiveCloud) -> list[list[Any]]:
    """What is written of each kind while nobody does anything."""
    kinds = ("Zone", "Pod", "Cluster", "Host", "StoragePool", "ServiceOffering", "Template", "Network", "VirtualMachine")
    quiet = [History(cloud.api, kind) for kind in kinds]
    time.sleep(QUIET)
    for each in quiet:
        each.check()
    return [trace(each.versions) for each in quiet if each.versions]


def trace(versions: Sequence[make.Manifest]) -> list[Any]:
    """What changed from version to version, for whoever reads a failed test."""
    return [
        (
            v["metadata"]["name"],
            v.get("status", {}).get("state"),
            [(c["type"], c["reason"]) for c in v.get("status", {}).get("conditions", [])],
        )
        for v in versions
    ]
