"""Events on transitions only: what happened is told once, what is under way or did not change is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.keys import Key
from controller.runtime.store import Change, Part
from controller.telemetry.events import Said, ended, transitions, witness
from crds.v1alpha1 import Host, Template, VirtualMachine

TIME = "2026-11-20T10:00:00Z"
Condition = tuple[str, str, str, str]


def condition(type: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": type, "status": status, "reason": reason, "message": message, "lastTransitionTime": TIME}


def job(status: str, id: str = "j1", command: str = "DeployVirtualMachine", **more: Any) -> dict[str, Any]:
    return {"id": id, "command": command, "status": status, "startedAt": TIME, **more}


def vm(*conditions: Condition, uid: str = "u1", **status: Any) -> VirtualMachine:
    metadata = {"name": "web", "namespace": "shop", "uid": uid, "resourceVersion": "1", "generation": 1}
    spec = {"zone": "z", "offering": "small", "template": {"name": "tiny"}}
    full = {"conditions": [condition(*each) for each in conditions], **status}
    return VirtualMachine.model_validate({"metadata": metadata, "spec": spec, "status": full})


NEW = vm()
STARTING = vm(("Ready", "False", "Starting", "DeployVirtualMachine is under way"), state="Starting", job=job("InProgress"))
RUNNING = vm(("Ready", "True", "Running", ""), state="Running", job=job("Succeeded"), host="h1")
UPDATING = vm(("Ready", "False", "Updating", "x"), state="Running", job=job("InProgress", "j2", "ScaleVirtualMachine"))
RESIZING = vm(("Ready", "False", "Resizing", "ResizeVolume is under way"), job=job("InProgress", "j3", "ResizeVolume"))
NO_HOST = vm(("Ready", "False", "NoFittingHost", "0 of 3 hosts fit"), ("Reconciling", "True", "NoFittingHost", ""))
SEEDING = vm(("Ready", "False", "TemplateSeeding", "is being copied"), ("Reconciling", "True", "TemplateSeeding", ""))
STALLED = vm(("Ready", "False", "TemplateNotReady", "gone bad"), ("Stalled", "True", "TemplateNotReady", "gone bad"))
FAILED = vm(
    ("Ready", "False", "TaskFailed", "no"),
    ("Stalled", "True", "TaskFailed", "no"),
    job=job("Failed", resultCode=530, resultText="no"),
)
PENDING = vm(("Ready", "True", "Running", ""), ("RestartRequired", "True", "ChangesPending", "at the next restart: cpus"))
FOREIGN = vm(("Ready", "True", "Running", ""), ("InSync", "False", "ForeignDevices", "usb"))
BLOCKED = vm(("Ready", "False", "DeletionBlocked", "waits"), ("DeletionBlocked", "True", "HostDown", "waits"), state="Running")

STEPS = [
    ("nothing", RUNNING, RUNNING, []),
    ("work begins", NEW, STARTING, []),
    ("work ends", STARTING, RUNNING, [("Normal", "Running", "DeployVirtualMachine succeeded, host h1")]),
    ("an update begins", RUNNING, UPDATING, []),
    ("it needs a host", NEW, NO_HOST, [("Warning", "NoFittingHost", "0 of 3 hosts fit")]),
    ("it gets one", NO_HOST, STARTING, []),
    ("a disk grows", RUNNING, RESIZING, []),
    ("it grew", RESIZING, RUNNING, [("Normal", "Running", "DeployVirtualMachine succeeded, host h1")]),
    ("an image is copied", NEW, SEEDING, [("Normal", "TemplateSeeding", "is being copied")]),
    ("it can never be", NEW, STALLED, [("Warning", "TemplateNotReady", "gone bad")]),
    ("a job fails", STARTING, FAILED, [("Warning", "JobFailed", "DeployVirtualMachine: no"), ("Warning", "TaskFailed", "no")]),
    ("a change waits", RUNNING, PENDING, [("Normal", "ChangesPending", "at the next restart: cpus")]),
    ("a device appears", RUNNING, FOREIGN, [("Warning", "ForeignDevices", "usb")]),
    ("deletion waits", RUNNING, BLOCKED, [("Warning", "DeletionBlocked", "waits"), ("Warning", "HostDown", "waits")]),
    ("a host is lost", RUNNING, vm(("Ready", "False", "HostDown", "no answer")), [("Warning", "HostDown", "no answer")]),
]


@pytest.mark.parametrize(("before", "after", "expected"), [step[1:] for step in STEPS], ids=[step[0] for step in STEPS])
def test_steps(before: VirtualMachine, after: VirtualMachine, expected: list[tuple[str, str, str]]) -> None:
    assert list(transitions(before, after)) == [Said(*each) for each in expected]  # type: ignore[arg-type]


STATES = [step[1] for step in STEPS] + [step[2] for step in STEPS]


@given(st.sampled_from(STATES))
def test_no_change_no_event(state: VirtualMachine) -> None:
    assert list(transitions(state, copy.deepcopy(state))) == []


@given(st.sampled_from(STATES), st.sampled_from(STATES))
def test_a_step_says_little_and_what_the_api_takes(before: VirtualMachine, after: VirtualMachine) -> None:
    said = list(transitions(before, after))
    assert len(said) <= 4
    assert len({each.reason for each in said}) == len(said)
    for each in said:
        assert each.type in ("Normal", "Warning")
        assert 0 < len(each.reason) <= 128


@given(st.text(max_size=200))
def test_only_the_message_changed(message: str) -> None:
    before = vm(("Ready", "False", "NoFittingHost", "0 of 3 hosts fit"))
    assert list(transitions(before, vm(("Ready", "False", "NoFittingHost", message)))) == []


def test_jobs_that_end_without_readiness_are_told() -> None:
    before = vm(("Ready", "False", "InsufficientCapacity", "x"), job=job("InProgress"))
    for status, type in (("Succeeded", "Normal"), ("Cancelled", "Normal"), ("Failed", "Warning")):
        [said] = transitions(before, vm(("Ready", "False", "InsufficientCapacity", "x"), job=job(status)))
        assert (said.type, said.reason) == (type, f"Job{status}")


@pytest.mark.parametrize(
    ("was", "now", "over"),
    [
        (None, None, False),
        (None, job("InProgress"), False),
        (None, job("Succeeded"), True),
        (job("InProgress"), job("Succeeded"), True),
        (job("Succeeded"), job("Succeeded"), False),
        (job("Succeeded"), job("InProgress", "j2"), False),
        (job("Succeeded"), job("Failed", "j2"), True),
        (job("InProgress"), job("InProgress", phase="x"), False),
    ],
)
def test_which_job_ended(was: Any, now: Any, over: bool) -> None:
    found = ended(vm(job=was), vm(job=now))
    assert (found is not None) is over
    assert found is None or found.id == now["id"]


def host(*conditions: Condition, state: str = "Up") -> Host:
    metadata = {"name": "h1", "uid": "u1", "resourceVersion": "1", "generation": 1}
    status = {"conditions": [condition(*each) for each in conditions], "state": state}
    return Host.model_validate({"metadata": metadata, "spec": {"cluster": "c"}, "status": status})


def template(*conditions: Condition, **more: Any) -> Template:
    metadata = {"name": "t", "namespace": "shop", "uid": "u1", "resourceVersion": "1", "generation": 1}
    status = {"conditions": [condition(*each) for each in conditions], **more}
    spec = {"source": {"url": "https://example.com/a.qcow2"}}
    return Template.model_validate({"metadata": metadata, "spec": spec, "status": status})


def test_what_a_reconciler_tells_itself_is_not_told_twice() -> None:
    up, down = host(("Ready", "True", "Up", "")), host(("Ready", "False", "HostDown", "no route"), state="Alert")
    assert list(transitions(up, down)) == list(transitions(down, up)) == []
    refused = host(("Ready", "False", "CredentialsRefused", "wrong password"), state="Error")
    assert list(transitions(down, refused)) == [Said("Warning", "CredentialsRefused", "wrong password")]
    emptied = host(("Ready", "True", "Maintenance", ""))
    assert list(transitions(up, emptied)) == [Said("Normal", "Maintenance", "")]
    told, gone = template(("Ready", "True", "Downloaded", "")), template(("Ready", "False", "DownloadFailed", "404"))
    over = template(("Ready", "True", "Downloaded", ""), job=job("Succeeded", command="RegisterTemplate"))
    assert list(transitions(template(), over)) == []
    assert list(transitions(template(), told)) == list(transitions(told, gone)) == []
    used = host(("Ready", "True", "Up", ""), ("InUse", "True", "InUse", "2 that use it"))
    assert list(transitions(up, used)) == [Said("Warning", "InUse", "2 that use it")]


KEY = Key("VirtualMachine", "shop", "web")


def told(parts: Part, before: Any, after: Any) -> list[Any]:
    records: list[Any] = []
    witness(Change(KEY, parts, None, lambda: before, lambda: after), lambda *said: records.append(said))
    return records


def test_the_witness_records_for_the_object() -> None:
    expected = [(KEY, "u1", "Normal", "Running", "DeployVirtualMachine succeeded, host h1")]
    assert told(Part.STATUS, STARTING, RUNNING) == expected
    assert told(Part.STATUS | Part.FINALIZERS, STARTING, RUNNING) == expected


@pytest.mark.parametrize(
    ("parts", "before", "after"),
    [
        (Part.FINALIZERS, STARTING, RUNNING),
        (Part.CREATED | Part.STATUS, None, RUNNING),
        (Part.DELETED | Part.STATUS, RUNNING, None),
        (Part.STATUS, STARTING, vm(("Ready", "True", "Running", ""), uid="u2")),
    ],
    ids=["no status", "created", "deleted", "another object of the name"],
)
def test_the_witness_is_silent(parts: Part, before: Any, after: Any) -> None:
    assert told(parts, before, after) == []
