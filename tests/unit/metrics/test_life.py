"""How long phases and jobs took, from the changes that this process wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.runtime.keys import Key
from controller.runtime.store import Change, Part
from controller.telemetry import metrics as module
from controller.telemetry.metrics import LifeMetrics
from crds.v1alpha1 import Template, VirtualMachine

CREATED = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


def stamp(seconds: float) -> str:
    return (CREATED + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock:
    """Both clocks, `at` seconds after the VM's creation."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return CREATED + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return 1000.0 + self.at


class Life:
    """One VM through its versions."""

    def __init__(self, uid: str = "u1") -> None:
        self.registry = CollectorRegistry()
        self.clock = Clock()
        self.metrics = LifeMetrics(self.registry, self.clock)
        self.uid = uid
        self.version = self.vm()

    def vm(self, **status: Any) -> VirtualMachine:
        metadata: dict[str, Any] = {"name": "web", "namespace": "shop", "uid": self.uid, "resourceVersion": "1", "generation": 1}
        metadata |= {"creationTimestamp": stamp(0), "finalizers": ["f"]}
        spec = {"zone": "z", "offering": "small", "template": {"name": "tiny"}}
        return VirtualMachine.model_validate({"metadata": metadata, "spec": spec, "status": status})

    def write(self, at: float, **status: Any) -> None:
        self.clock.at = at
        before, self.version = self.version, self.vm(**status)
        self.seen(before, self.version)

    def go(self, at: float) -> None:
        self.clock.at = at
        self.seen(self.version, None, gone=self.uid)

    def seen(self, before: Any, after: Any, gone: str | None = None) -> None:
        key = Key("VirtualMachine", "shop", "web")
        parts = Part.DELETED if gone else Part.STATUS
        self.metrics.witness(Change(key, parts, gone, lambda: before, lambda: after), lambda *_: None)

    def phases(self) -> dict[tuple[str, str], tuple[float, float]]:
        return {(each["last_phase"], each["phase"]): figures for each, figures in self._told("vireo_vm_phase_transition_seconds")}

    def jobs(self) -> dict[tuple[str, str], tuple[float, float]]:
        return {(each["command"], each["result"]): figures for each, figures in self._told("vireo_job_seconds")}

    def _told(self, name: str) -> list[tuple[dict[str, str], tuple[float, float]]]:
        samples = [each for metric in self.registry.collect() if metric.name == name for each in metric.samples]
        sums = {tuple(each.labels.items()): each.value for each in samples if each.name.endswith("_sum")}
        counts = {tuple(each.labels.items()): each.value for each in samples if each.name.endswith("_count")}
        return [(dict(labels), (counts[labels], pytest.approx(sums[labels]))) for labels in sums]


def job(status: str, id: str = "j1", command: str = "DeployVirtualMachine", started: float = 0) -> dict[str, Any]:
    return {"id": id, "command": command, "status": status, "startedAt": stamp(started)}


def test_a_life() -> None:
    life = Life()
    life.write(0.25, state="Starting", job=job("InProgress"))
    life.write(0.5, state="Starting", job=job("InProgress"), host="h1")
    life.write(1.25, state="Running", job=job("Succeeded"))
    life.write(100, state="Stopping", job=job("InProgress", "j2", "StopVirtualMachine"))
    life.write(130, state="Stopped", job=job("Succeeded", "j2", "StopVirtualMachine"))
    life.write(200, state="Expunging", job=job("InProgress", "j3", "DestroyVirtualMachine"))
    life.go(202)
    assert life.phases() == {
        ("Pending", "Starting"): (1, 0.25),
        ("Starting", "Running"): (1, 1.0),
        ("Stopping", "Stopped"): (1, 30),
        ("Expunging", "Gone"): (1, 2),
    }
    assert life.jobs() == {
        ("DeployVirtualMachine", "Succeeded"): (1, 1.0),
        ("StopVirtualMachine", "Succeeded"): (1, 30),
        ("DestroyVirtualMachine", "Succeeded"): (1, 2),
    }


def test_lasting_phases_are_not_timed() -> None:
    life = Life()
    life.write(0, state="Running")
    life.write(5000, state="Stopped")
    life.write(9000, state="Running")
    assert life.phases() == {("Pending", "Running"): (1, 0)}


@pytest.mark.parametrize("result", ["Failed", "Cancelled"])
def test_jobs_that_did_not_succeed(result: str) -> None:
    life = Life()
    life.write(1, state="Starting", job=job("InProgress", started=1))
    life.write(4, state="Error", job=job(result, started=1))
    assert life.jobs() == {("DeployVirtualMachine", result): (1, 3)}
    life.write(9, state="Error", job=job(result, started=1), host="h2")
    assert life.jobs() == {("DeployVirtualMachine", result): (1, 3)}, "counted once"


def test_a_job_that_an_earlier_process_began_is_timed_by_its_own_account() -> None:
    life = Life()
    life.version = life.vm(state="Starting", job=job("InProgress", started=10))
    life.write(70, state="Running", job=job("Succeeded", started=10))
    assert life.jobs() == {("DeployVirtualMachine", "Succeeded"): (1, 60)}
    assert life.phases() == {}, "nobody knows when the phase began"


def test_a_clock_set_back_gives_no_negative_time() -> None:
    life = Life()
    life.write(-5, state="Starting", job=job("InProgress"))
    assert life.phases() == {("Pending", "Starting"): (1, 0)}


@pytest.mark.parametrize("case", ["created", "unreadable", "unreadable before"])
def test_versions_that_are_no_step_of_one_object(case: str) -> None:
    life = Life()
    one = life.vm(state="Starting", job=job("InProgress"))
    two = life.vm(state="Running", job=job("Succeeded"))
    before, after = {"created": (None, two), "unreadable": (one, None), "unreadable before": (None, two)}[case]
    life.seen(before, after)
    assert (life.phases(), life.jobs()) == ({}, {})


def test_an_object_made_anew_between_two_looks_ends_the_first() -> None:
    life, other = Life(), Life("u2")
    life.write(1, state="Expunging", job=job("InProgress", "j3", "DestroyVirtualMachine", started=1))
    life.clock.at = 4
    life.seen(life.version, other.vm(state="Starting"), gone="u1")
    assert life.phases() == {("Pending", "Expunging"): (1, 1), ("Expunging", "Gone"): (1, 3)}
    assert life.jobs() == {("DestroyVirtualMachine", "Succeeded"): (1, 3)}


def test_what_goes_without_a_job_is_no_job() -> None:
    life = Life()
    life.write(1, state="Running", job=job("Succeeded"))
    assert life.jobs() == {("DeployVirtualMachine", "Succeeded"): (1, 1)}
    life.go(5)
    assert life.jobs() == {("DeployVirtualMachine", "Succeeded"): (1, 1)}
    assert life.phases() == {("Pending", "Running"): (1, 1)}


def test_kinds_without_phases_have_jobs() -> None:
    life = Life()

    def template(status: str) -> Template:
        metadata = {"name": "t", "namespace": "shop", "uid": "t1", "resourceVersion": "1", "generation": 1}
        spec = {"source": {"url": "https://example.com/a.qcow2"}}
        return Template.model_validate(
            {"metadata": metadata, "spec": spec, "status": {"job": job(status, "j9", "RegisterTemplate")}}
        )

    life.clock.at = 3
    life.seen(template("InProgress"), template("Succeeded"))
    assert life.jobs() == {("RegisterTemplate", "Succeeded"): (1, 3)}
    assert life.phases() == {}


def test_what_never_ends_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    life = Life()
    for number in range(100):
        life.uid = f"u{number}"
        life.version = life.vm()
        life.write(number, state="Starting", job=job("InProgress", f"j{number}"))
    assert len(life.metrics._entered._at) == len(life.metrics._begun._at) == 10
