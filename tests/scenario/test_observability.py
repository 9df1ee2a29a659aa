"""What an operator sees of a running cloud: Events, metrics, logs, and `vireo why`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from tests.kubectl import Kubectl
from tests.support.live import History, LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.controller import ROOT

SECRET = "hunter2-never-to-be-shown"
QUIET = 5.0
"""Seconds in which a cloud at rest tells nothing."""
SETTLED = 120.0
"""Seconds after which it is at rest, and has told all that there was."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=2) as running:
        running.controller.start()
        running.basics(2)
        running.api.apply(make.secret("init", data=f"#cloud-config\npassword: {SECRET}\n"))
        for kind in ("Host", "StoragePool", "Template", "Network"):
            running.await_current(kind)
        running.api.apply(make.vm("first", userData={"secretRef": {"name": "init", "key": "data"}}))
        running.await_current(names=["first"])
        yield running


def events(cloud: LiveCloud, name: str = "") -> list[dict[str, Any]]:
    """Events, as the API has them, about objects of ours (of this name)."""
    kubectl = Kubectl(cloud.plane.kubectl())
    found = kubectl.json("get", "events.events.k8s.io", "-A")["items"]
    ours = [each for each in found if each["regarding"]["apiVersion"] == "vireo.dev/v1alpha1"]
    return [each for each in ours if name in ("", each["regarding"]["name"])]


def reasons(cloud: LiveCloud, name: str) -> Counter[str]:
    return Counter(each["reason"] for each in events(cloud, name))


def counted(cloud: LiveCloud, name: str, reason: str) -> int:
    """How often the API was told of it."""
    return sum((each.get("series") or {}).get("count", 1) for each in events(cloud, name) if each["reason"] == reason)


def target(link: Path) -> str:
    """Where a link leads, "" if it is gone meanwhile."""
    with suppress(FileNotFoundError):
        return os.readlink(link)
    return ""


def port(pid: int) -> int:
    """The TCP port that a process listens on."""
    inodes = {link.partition("socket:[")[2].rstrip("]") for each in Path(f"/proc/{pid}/fd").iterdir() if (link := target(each))}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    [found] = [int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A" and fields[9] in inodes]
    return found


def metrics(cloud: LiveCloud) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the controller counts, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port(cloud.controller.pid)}/metrics", timeout=120) as reply:
        families = list(text_string_to_metric_families(reply.read().decode()))
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples}


def value(found: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, /, **labels: str) -> float:
    return sum(v for (n, have), v in found.items() if n == name and labels.items() <= dict(have).items())


def why(cloud: LiveCloud, *arguments: str) -> tuple[int, str]:
    """`vireo why`: exit code, and what it printed."""
    command = [sys.executable, "-m", "controller", "why", *arguments, "--kubeconfig", str(cloud.plane.kubeconfig)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def test_a_create_costs_at_most_five_writes_with_its_events(cloud: LiveCloud) -> None:
    history = History(cloud.api, "VirtualMachine")
    cloud.api.apply(make.vm("cheap"))
    cloud.await_current(names=["cheap"])
    cloud.until(lambda: reasons(cloud, "cheap")["Running"], "its Event is there")
    told = events(cloud, "cheap")
    assert [(each["type"], each["reason"]) for each in told] == [("Normal", "Running")]
    assert "DeployVirtualMachine succeeded" in told[0]["note"]
    assert told[0]["regarding"]["kind"] == "VirtualMachine"
    assert history.writes("cheap") + len(told) <= 5


def test_a_life_in_events(cloud: LiveCloud) -> None:
    """Each thing that happened once, in words; work under way is no news."""
    cloud.api.apply(make.vm("life", offering="later"))
    cloud.until(lambda: reasons(cloud, "life")["OfferingNotFound"], "the offering is missed")
    cloud.api.apply(make.offering("later", 1, "1Gi"))
    cloud.await_current(names=["life"])
    for power in ("Off", "On"):
        cloud.api.patch("VirtualMachine", "life", {"spec": {"powerState": power}})
        cloud.await_current(names=["life"])
    vm = next(each for each in cloud.control.census().vms if each.name == "shop-life")
    cloud.control.act(Act.POWER_OFF, f"{vm.host}/{vm.instance}")
    cloud.until(lambda: reasons(cloud, "life")["PowerStateDrift"], "the drift is told")
    cloud.await_current(names=["life"])
    expected = {"OfferingNotFound", "Running", "Stopped", "PowerStateDrift"}
    cloud.until(lambda: set(reasons(cloud, "life")) >= expected, "all is told")
    cloud.until(lambda: counted(cloud, "life", "Running") >= 2, "it came back, and is counted on the first one")
    told = {each["reason"]: each for each in events(cloud, "life")}
    assert set(told) == expected
    assert {told[reason]["type"] for reason in ("OfferingNotFound", "PowerStateDrift")} == {"Warning"}
    assert reasons(cloud, "life")["Running"] == 1


def test_a_job_that_fails_is_told(cloud: LiveCloud) -> None:
    cloud.control.add_fault(Fault(FaultKind.ERROR, "compute.create", error="InvalidSpec"))
    try:
        cloud.api.apply(make.vm("refused"))
        cloud.until(lambda: reasons(cloud, "refused")["JobFailed"], "the failure is told")
    finally:
        cloud.control.clear_faults()
    code, printed = why(cloud, "vvm", "refused", "-n", "shop")
    assert code == 1
    assert "cannot go on until something is changed" in printed
    assert "last job: DeployVirtualMachine failed" in printed
    cloud.api.delete("VirtualMachine", "refused")
    cloud.await_gone("VirtualMachine", "refused")


def test_a_forced_deletion_is_told(cloud: LiveCloud) -> None:
    cloud.api.apply(make.vm("given-up"))
    cloud.await_current(names=["given-up"])
    found = cloud.api.get("VirtualMachine", "given-up")
    assert found is not None
    annotations = {"vireo.dev/force-delete": found["metadata"]["uid"]}
    cloud.api.patch("VirtualMachine", "given-up", {"metadata": {"annotations": annotations}})
    cloud.api.delete("VirtualMachine", "given-up")
    cloud.await_gone("VirtualMachine", "given-up")
    cloud.until(lambda: reasons(cloud, "given-up")["ForceDeleted"], "it is told")


def test_a_cloud_at_rest_tells_nothing(cloud: LiveCloud) -> None:
    names = ["first", "cheap", "life"]
    cloud.await_current(names=names)
    cloud.until(lambda: reasons(cloud, "cheap")["Running"], "the last Event is there")
    deadline, before = time.monotonic() + SETTLED, told(cloud)
    time.sleep(QUIET)
    while (now := told(cloud)) != before:
        assert time.monotonic() < deadline, now
        before = now
        time.sleep(QUIET)


def told(cloud: LiveCloud) -> list[tuple[str, Any]]:
    """All Events there are, and how often each is counted."""
    return [(each["metadata"]["name"], each.get("series")) for each in events(cloud)]


def test_metrics_of_a_running_cloud(cloud: LiveCloud) -> None:
    cloud.api.apply(make.vm("counted"))
    cloud.await_current(names=["counted"])
    cloud.api.delete("VirtualMachine", "counted")
    cloud.await_gone("VirtualMachine", "counted")
    gone = {"last_phase": "Expunging", "phase": "Gone"}  # the last that is counted, when the watch tells that it is gone
    cloud.until(lambda: value(metrics(cloud), "vireo_vm_phase_transition_seconds_count", **gone) > 0, "its end is counted")
    cloud.until(lambda: value(metrics(cloud), "vireo_events_written_total", type="Normal") > 0, "an Event is written")
    found = metrics(cloud)
    assert value(found, "leader_election_master_status", name="vireo-controller") == 1
    assert value(found, "controller_runtime_reconcile_total", controller="VirtualMachine", result="success") > 0
    assert value(found, "workqueue_adds_total", name="VirtualMachine") >= value(
        found, "workqueue_work_duration_seconds_count", name="VirtualMachine"
    )
    assert value(found, "rest_client_requests_total", method="PATCH", code="200") > 0
    assert value(found, "vireo_object_writes_total", kind="VirtualMachine", what="status") > 0
    assert value(found, "vireo_events_dropped_total") == 0
    for method in ("connect", "compute.create", "compute.delete", "compute.observe_all", "hosts.list_hosts"):
        assert value(found, "vireo_driver_call_seconds_count", driver="Simulator", method=method, outcome="success") > 0, method
    for command in ("DeployVirtualMachine", "DestroyVirtualMachine"):
        assert value(found, "vireo_job_seconds_count", command=command, result="Succeeded") > 0, command
    assert value(found, "vireo_vm_phase_transition_seconds_count", last_phase="Starting", phase="Running") > 0


def test_every_line_of_the_log_is_json_and_says_for_what(cloud: LiveCloud) -> None:
    cloud.control.add_fault(Fault(FaultKind.ERROR, "compute.create", count=1, error="Transient"))
    cloud.api.apply(make.vm("logged"))
    cloud.await_current(names=["logged"])
    written, _, _ = cloud.controller.log.read_text().rpartition("\n")  # the controller goes on: its last line may be half there
    lines = [json.loads(line) for line in written.splitlines()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    failed = [line for line in lines if line["event"] == "hypervisor call failed" and line.get("name") == "logged"]
    assert failed
    found = cloud.api.get("VirtualMachine", "logged")
    assert found is not None
    for line in failed:
        assert (line["kind"], line["namespace"]) == ("VirtualMachine", "shop")
        assert line["reconcile"]
        assert line["job"] == found["status"]["job"]["id"]


def test_no_secret_is_told(cloud: LiveCloud) -> None:
    """User data of the first VM: neither in Events, nor in logs, nor in metrics."""
    assert SECRET not in json.dumps(events(cloud))
    assert SECRET not in cloud.controller.log.read_text()
    assert SECRET not in str(metrics(cloud))


WHY = [
    (("VirtualMachine", "first", "-n", "shop"), 0, ["VirtualMachine/shop/first is ready: Running"]),
    (("vvm", "nobody", "-n", "shop"), 2, ["VirtualMachine/shop/nobody does not exist"]),
    (("zones", "z"), 0, ["Zone/z is ready"]),
    (("vhost", "nowhere"), 2, ["Host/nowhere does not exist"]),
]


@pytest.mark.parametrize(("arguments", "code", "said"), WHY)
def test_why(cloud: LiveCloud, arguments: tuple[str, ...], code: int, said: list[str]) -> None:
    found, printed = why(cloud, *arguments)
    assert found == code, printed
    assert all(each in printed for each in said), printed


def warn(cloud: LiveCloud, name: str, note: str) -> None:
    """Have somebody else warn about a VM."""
    found = cloud.api.get("VirtualMachine", name)
    assert found is not None
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.by-hand", "namespace": "shop"},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "example.com/tests",
        "reportingInstance": "tests",
        "action": "Test",
        "reason": "ByHand",
        "note": note,
        "type": "Warning",
        "regarding": {
            "apiVersion": found["apiVersion"],
            "kind": found["kind"],
            "name": name,
            "namespace": "shop",
            "uid": found["metadata"]["uid"],
        },
    }
    Kubectl(cloud.plane.kubectl())("create", "-f", "-", stdin=json.dumps(event))


def test_why_a_vm_waits(cloud: LiveCloud) -> None:
    cloud.api.apply(make.vm("lost", offering="nothing", networks=["front", "nowhere"]))
    cloud.await_reason("VirtualMachine", "lost", "OfferingNotFound", "nothing")
    code, printed = why(cloud, "vvm", "lost", "-n", "shop")
    assert code == 1
    for each in (
        "VirtualMachine/shop/lost waits",
        "missing: ServiceOffering/nothing (spec.offering) does not exist",
        "missing: Network/shop/nowhere (spec.networks[nowhere]) does not exist",
    ):
        assert each in printed, printed
    cloud.api.apply(make.offering("nothing", 512, "1Gi"), make.network("nowhere", "10.9.0.0/24"))
    cloud.await_reason("VirtualMachine", "lost", "TooLargeForAnyHost", "")
    code, printed = why(cloud, "vvm", "lost", "-n", "shop")
    assert code == 1
    assert "rejected hosts: 2 InsufficientCPU (host-00001, host-00002)" in printed, printed
    assert "missing" not in printed
    warn(cloud, "lost", "said by somebody else")
    code, printed = why(cloud, "vvm", "lost", "-n", "shop")
    assert "ago: ByHand: said by somebody else" in printed, printed
    cloud.api.delete("VirtualMachine", "lost")
    cloud.await_gone("VirtualMachine", "lost")


def test_why_a_host_is_not_deleted(cloud: LiveCloud) -> None:
    vm = cloud.api.get("VirtualMachine", "first")
    assert vm is not None
    host = vm["status"]["host"]
    cloud.api.delete("Host", host)
    cloud.await_reason("Host", host, "InUse", "shop/first")
    code, printed = why(cloud, "Host", host)
    assert code == 1
    assert f"Host/{host} is being deleted" in printed
    assert "VirtualMachine/shop/first" in printed
