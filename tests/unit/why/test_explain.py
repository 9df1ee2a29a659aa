"""What `vireo why` says of recorded objects, line by line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube.events import Told
from controller.runtime.keys import Key
from controller.why.explain import explain
from controller.why.references import references
from crds.v1alpha1 import KINDS

from .recorded import NOW, SPECS, condition, make, ready, unready

VM = "VirtualMachine"
HEAD = "VirtualMachine/shop/web"
JOB = {"id": "j1", "command": "DeployVirtualMachine", "status": "InProgress", "startedAt": "2026-11-20T11:59:18Z"}
DELETING = {"deletionTimestamp": "2026-11-20T10:00:00Z", "finalizers": ["vireo.dev/finalizer"]}

NO_ROOM = "0 of 3 hosts fit: 2 InsufficientMemory, 1 HostDown; nearest: h7 lacks 512Mi of memory"

CASES: dict[str, tuple[Any, list[str], bool]] = {
    "ready": (
        make(VM, "web", ready()),
        [f"{HEAD} is ready: Running"],
        True,
    ),
    "never looked at": (
        make(VM, "web"),
        [
            f"{HEAD} has not been looked at by a controller yet",
            "declared is generation 1, none was processed: is the controller running?",
        ],
        False,
    ),
    "a change not looked at": (
        make(VM, "web", ready(), generation=3),
        [
            f"{HEAD} has a change that was not looked at yet",
            "declared is generation 3, only generation 1 was processed: is the controller running?",
        ],
        False,
    ),
    "no room": (
        make(
            VM,
            "web",
            unready(
                "NoFittingHost",
                NO_ROOM,
                condition("Placed", "False", "NoFittingHost", NO_ROOM),
                placementReport={
                    "rejected": {"HostDown": 1, "InsufficientMemory": 2},
                    "examples": {"HostDown": ["h3"], "InsufficientMemory": ["h7", "h9"]},
                    "message": NO_ROOM,
                },
            ),
        ),
        [
            f"{HEAD} waits",
            "reason: NoFittingHost, not ready for 3 min",
            NO_ROOM,
            "rejected hosts: 2 InsufficientMemory (h7, h9), 1 HostDown (h3)",
            f"placement: {NO_ROOM}",
        ],
        False,
    ),
    "many hosts rejected, or by a controller that named none": (
        make(
            VM,
            "web",
            unready(
                "NoFittingHost",
                NO_ROOM,
                placementReport={
                    "rejected": {"HostDown": 1, "InsufficientMemory": 40},
                    "examples": {"InsufficientMemory": ["h1", "h2", "h3"]},
                },
            ),
        ),
        [
            f"{HEAD} waits",
            "reason: NoFittingHost, not ready for 3 min",
            NO_ROOM,
            "rejected hosts: 40 InsufficientMemory (h1, h2, h3, …), 1 HostDown",
        ],
        False,
    ),
    "work under way": (
        make(VM, "web", unready("Starting", "DeployVirtualMachine is under way", state="Starting", job=JOB | {"progress": 40})),
        [
            f"{HEAD} is being worked on",
            "reason: Starting, not ready for 3 min",
            "DeployVirtualMachine is under way",
            "job: DeployVirtualMachine is under way, for 42 s, 40 %",
        ],
        False,
    ),
    "a failed job": (
        make(
            VM,
            "web",
            unready(
                "TaskFailed",
                "no space left",
                stalled=True,
                job=JOB
                | {"status": "Failed", "resultCode": 530, "resultText": "no space left", "completedAt": "2026-11-20T09:00:00Z"},
            ),
        ),
        [
            f"{HEAD} cannot go on until something is changed",
            "reason: TaskFailed, not ready for 3 min",
            "no space left",
            "last job: DeployVirtualMachine failed 3 h ago with code 530: no space left",
        ],
        False,
    ),
    "changes pending": (
        make(
            VM,
            "web",
            ready()
            | {
                "pendingChanges": [
                    {"field": "spec.offering.memory", "current": "1Gi", "desired": "2Gi", "needs": "Restart"},
                    {"field": "spec.firmware", "desired": "UEFI", "needs": "Recreate"},
                    {"field": "spec.x", "current": "1", "needs": "Patience"},
                ]
            },
        ),
        [
            f"{HEAD} is ready: Running",
            "pending: spec.offering.memory 1Gi → 2Gi, with the next restart",
            "pending: spec.firmware unset → UEFI, only when the VM is made anew",
            "pending: spec.x 1 → unset, needs Patience",
        ],
        True,
    ),
    "facets": (
        make(
            VM,
            "web",
            {
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "True", "Running"),
                    condition("GuestReady", "False", "AgentSilent", "the guest agent has not answered yet"),
                    condition("InSync", "False", "ForeignDevices", "devices not made by Vireo: usb"),
                    condition("RestartRequired", "True", "ChangesPending", "takes effect at the next restart: cpus"),
                    condition("Placed", "True", "Placed", "host h1"),
                    condition("JobSucceeded", "False", "Failed", "long ago"),
                ],
            },
        ),
        [
            f"{HEAD} is ready: Running",
            "GuestReady: AgentSilent: the guest agent has not answered yet",
            "InSync: ForeignDevices: devices not made by Vireo: usb",
            "RestartRequired: ChangesPending: takes effect at the next restart: cpus",
        ],
        True,
    ),
    "paused": (
        make(
            VM,
            "web",
            {
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "False", "NoFittingHost", "0 of 1 hosts fit"),
                    condition("Paused", "True", "PausedByAnnotation", "vireo.dev/paused is set: nothing is done"),
                ],
            },
        ),
        [
            f"{HEAD} waits",
            "reason: NoFittingHost, not ready for 3 min",
            "0 of 1 hosts fit",
            "paused: vireo.dev/paused is set: nothing is done",
        ],
        False,
    ),
    "deletion waits for users": (
        make(
            "Host",
            "h1",
            unready(
                "InUse",
                "deletion waits for 2 that use it: VirtualMachine/shop/a, VirtualMachine/shop/b",
                condition(
                    "InUse", "True", "InUse", "deletion waits for 2 that use it: VirtualMachine/shop/a, VirtualMachine/shop/b"
                ),
            ),
            **DELETING,
        ),
        [
            "Host/h1 is being deleted, for 2 h",
            "reason: InUse, not ready for 3 min",
            "deletion waits for 2 that use it: VirtualMachine/shop/a, VirtualMachine/shop/b",
        ],
        False,
    ),
    "deletion waits for others": (
        make(VM, "web", ready(), **(DELETING | {"finalizers": ["vireo.dev/finalizer", "backup.example.com/keep"]})),
        [
            f"{HEAD} is being deleted, for 2 h",
            "kept by finalizers of others, who must remove them: backup.example.com/keep",
        ],
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(case: str) -> None:
    obj, expected, as_declared = CASES[case]
    told = explain(obj, {}, NOW)
    assert [line.strip() for line in told.lines] == expected
    assert told.ready is as_declared
    assert not told.lines[0].startswith(" ")
    assert all(line.startswith("  ") for line in told.lines[1:])


AGES = [
    ("2026-11-20T12:00:00Z", "0 s"),
    ("2026-11-20T12:00:30Z", "0 s"),  # a clock that is ahead
    ("2026-11-20T11:59:01Z", "59 s"),
    ("2026-11-20T11:59:00Z", "1 min"),
    ("2026-11-20T11:00:01Z", "59 min"),
    ("2026-11-20T11:00:00Z", "1 h"),
    ("2026-11-19T12:00:01Z", "23 h"),
    ("2026-11-19T12:00:00Z", "1 d"),
    ("2026-01-01T12:00:00Z", "323 d"),
]


@pytest.mark.parametrize(("since", "age"), AGES)
def test_ages(since: str, age: str) -> None:
    status = {"observedGeneration": 1, "conditions": [condition("Ready", "False", "HostDown", since=since)]}
    assert f"  reason: HostDown, not ready for {age}" in explain(make(VM, "web", status), {}, NOW).lines


JOBS = [
    ({}, "job: DeployVirtualMachine is under way, for 42 s"),
    ({"startedAt": None}, "job: DeployVirtualMachine is under way"),
    ({"phase": "Copying", "progress": 0}, "job: DeployVirtualMachine is under way, for 42 s, Copying, 0 %"),
    ({"status": "Succeeded", "completedAt": "2026-11-20T11:59:50Z"}, "last job: DeployVirtualMachine succeeded 10 s ago"),
    ({"status": "Succeeded"}, "last job: DeployVirtualMachine succeeded"),
    ({"status": "Cancelled", "resultText": "replaced"}, "last job: DeployVirtualMachine was cancelled: replaced"),
    ({"status": "Failed", "resultCode": 533, "resultText": "full"}, "last job: DeployVirtualMachine failed with code 533: full"),
    ({"status": "Odd"}, "last job: DeployVirtualMachine odd"),
]


@pytest.mark.parametrize(("change", "line"), JOBS)
def test_jobs(change: dict[str, Any], line: str) -> None:
    job = {name: value for name, value in (JOB | change).items() if value is not None}
    assert f"  {line}" in explain(make(VM, "web", ready() | {"job": job}), {}, NOW).lines


TEMPLATE, OFFERING = Key("Template", "images", "debian"), Key("ServiceOffering", "", "small")
WAITING = make(VM, "web", unready("TemplateNotFound", "template images/debian does not exist or does not allow this namespace"))

RELATED = [
    (None, "missing: Template/images/debian (spec.template) does not exist"),
    (
        make("Template", "debian", unready("ChecksumMismatch", "sha256 differs", stalled=True), namespace="images"),
        "not ready: Template/images/debian (spec.template): ChecksumMismatch: sha256 differs",
    ),
    (
        make("Template", "debian", unready("Downloading"), namespace="images"),
        "not ready: Template/images/debian (spec.template): Downloading",
    ),
    (make("Template", "debian", namespace="images"), "not ready: Template/images/debian (spec.template): not looked at yet"),
    (
        make("Template", "debian", ready("Downloaded"), namespace="images", **DELETING),
        "going: Template/images/debian (spec.template) is being deleted",
    ),
    (make("Template", "debian", ready("Downloaded"), namespace="images"), ""),
]


@pytest.mark.parametrize(("template", "line"), RELATED)
def test_what_it_names(template: Any, line: str) -> None:
    related = {TEMPLATE: template, OFFERING: make("ServiceOffering", "small", ready("Available"))}
    lines = explain(WAITING, related, NOW).lines[3:]
    assert lines == ((f"  {line}",) if line else ())


def test_what_it_names_is_no_matter_when_it_is_ready() -> None:
    assert explain(make(VM, "web", ready()), {TEMPLATE: None}, NOW).lines == (f"{HEAD} is ready: Running",)


def test_what_may_not_be_read_is_not_called_missing() -> None:
    assert not [line for line in explain(WAITING, {}, NOW).lines if "missing" in line]


WARNED = Told("HypervisorUnavailable", "connection lost", "2026-11-20T11:50:00Z", 1)


@pytest.mark.parametrize(
    ("obj", "warning", "line"),
    [
        (WAITING, WARNED, "last warning, 10 min ago: HypervisorUnavailable: connection lost"),
        (WAITING, replace(WARNED, count=7), "last warning, 10 min ago, 7 times: HypervisorUnavailable: connection lost"),
        (WAITING, replace(WARNED, message=""), "last warning, 10 min ago: HypervisorUnavailable"),
        (WAITING, replace(WARNED, message=WAITING.status.conditions[0].message), ""),
        (WAITING, None, ""),
        (make(VM, "web", ready()), WARNED, ""),
    ],
)
def test_the_last_warning(obj: Any, warning: Told | None, line: str) -> None:
    found = [each.strip() for each in explain(obj, {}, NOW, warning).lines if "last warning" in each]
    assert found == ([line] if line else [])


REFERENCES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "Zone": ({}, {}, []),
    "Pod": ({}, {}, ["Zone/z1"]),
    "Cluster": ({}, {}, ["Zone/z1", "Pod/p1"]),
    "Host": ({}, {}, ["Cluster/c1"]),
    "StoragePool": ({}, {}, ["Zone/z1", "Host/h1"]),
    "ServiceOffering": ({}, {}, []),
    "Template": ({}, {}, []),
    "Network": ({}, {}, ["Zone/z1"]),
    VM: (
        {
            "placement": {"cluster": "c1", "host": "h1"},
            "networks": [{"name": "a", "network": "front"}, {"name": "b", "network": "dmz", "networkNamespace": "net"}],
            "volumes": [{"name": "data", "volume": "data-1"}],
        },
        {"host": "h1", "disks": [{"name": "root", "pool": "fast", "size": "1Gi"}]},
        [
            "Zone/z1",
            "ServiceOffering/small",
            "Template/images/debian",
            "Network/shop/front",
            "Network/net/dmz",
            "Volume/shop/data-1",
            "Cluster/c1",
            "Host/h1",
            "StoragePool/fast",
        ],
    ),
    "Volume": (
        {"pool": "fast"},
        {"pool": "fast", "host": "h1"},
        ["Zone/z1", "StoragePool/fast", "Snapshot/shop/monday", "Host/h1"],
    ),
    "Snapshot": ({}, {"host": "h1", "pool": "fast"}, ["VirtualMachine/shop/web", "Host/h1", "StoragePool/fast"]),
    "SnapshotRestore": ({}, {}, ["Snapshot/shop/monday"]),
}


@pytest.mark.parametrize("kind", sorted(kind.KIND for kind in KINDS))
def test_references_of_every_kind(kind: str) -> None:
    spec, status, expected = REFERENCES[kind]
    found = references(make(kind, "x", status, spec=spec))
    assert [str(each.key) for each in found] == expected
    assert all(each.field.startswith(("spec.", "status.")) for each in found)


def test_a_volume_from_a_template() -> None:
    volume = make("Volume", "x", spec={"source": {"template": {"name": "debian"}}})
    assert [str(each.key) for each in references(volume)] == ["Zone/z1", "Template/shop/debian"]


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_every_kind_can_be_explained(kind: str) -> None:
    for status in (None, ready("Fine"), unready("Broken", "it is broken")):
        obj = make(kind, "x", status)
        told = explain(obj, {each.key: None for each in references(obj)}, NOW)
        assert told.ready is (status == ready("Fine"))
        assert told.lines[0].startswith(kind)
        assert told.ready or len([line for line in told.lines if "missing: " in line]) == len(references(obj))


texts = st.text(max_size=40)


@given(st.lists(st.tuples(st.sampled_from(["Ready", "InSync", "Stalled", "Odd"]), texts), unique_by=lambda each: each[0]))
def test_no_status_is_too_odd(conditions: list[tuple[str, str]]) -> None:
    made = [condition(type, "False", "Reason", message) for type, message in conditions]
    told = explain(make(VM, "web", {"observedGeneration": 1, "conditions": made}), {}, NOW)
    assert told.lines
    assert not told.ready
