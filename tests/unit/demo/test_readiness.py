"""Ready as kstatus has it, and what is told of the rest."""

from collections.abc import Mapping
from typing import Any

import pytest

from standalone.demo.manifests import Key
from standalone.demo.readiness import State, state, summarize

VM = Key("VirtualMachine", "demo", "web-1")
HOST = Key("Host", "", "h1")
UNSEEN = "not seen by the controller yet"


def found(name: Key, ready: str | None, *, observed: int = 3, message: str = "", stalled: str | None = None) -> Mapping[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready, "reason": "Because", "message": message}]
    conditions += [] if stalled is None else [{"type": "Stalled", "status": stalled, "reason": "Because", "message": message}]
    metadata = {"name": name.name, "generation": 3, **({"namespace": name.namespace} if name.namespace else {})}
    return {"kind": name.kind, "metadata": metadata, "status": {"observedGeneration": observed, "conditions": conditions}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (found(VM, "True"), State(VM, True, False, "Because")),
        (found(VM, "False", message="no room"), State(VM, False, False, "no room")),
        (found(VM, "Unknown", message="host away"), State(VM, False, False, "host away")),
        (found(VM, "False", message="bad", stalled="True"), State(VM, False, True, "bad")),
        (found(VM, "False", message="bad", stalled="False"), State(VM, False, False, "bad")),
        (found(VM, "True", observed=2), State(VM, message=UNSEEN)),
        (found(VM, "True", observed=-1), State(VM, message=UNSEEN)),
        (found(VM, "False", observed=2, stalled="True"), State(VM, message=UNSEEN)),
        (found(VM, None), State(VM, message=UNSEEN)),
        ({"kind": "Host", "metadata": {"name": "h1", "generation": 1}}, State(HOST, message=UNSEEN)),
        ({"kind": "Host", "metadata": {"name": "h1", "generation": 1}, "status": {}}, State(HOST, message=UNSEEN)),
    ],
)
def test_state(raw: Mapping[str, Any], expected: State) -> None:
    assert state(raw) == expected


def test_all_ready() -> None:
    summary = summarize([VM, HOST], [found(HOST, "True"), found(VM, "True")])
    assert (str(summary), summary.waiting, summary.hopeless) == ("2 of 2 ready", (), False)


def test_what_is_not_wanted_does_not_matter() -> None:
    summary = summarize([HOST], [found(HOST, "True"), found(VM, "False", stalled="True")])
    assert not summary.waiting


def test_what_is_missing_is_waited_for() -> None:
    summary = summarize([VM, HOST], [found(HOST, "True")])
    assert str(summary) == f"1 of 2 ready; VirtualMachine demo/web-1: {UNSEEN}"


def test_vms_are_told_before_what_serves_them() -> None:
    summary = summarize([HOST, VM], [found(VM, "False", message="no host yet"), found(HOST, "False", message="connecting")])
    assert str(summary) == "0 of 2 ready; VirtualMachine demo/web-1: no host yet"


def test_what_stalled_is_told_first() -> None:
    summary = summarize(
        [HOST, VM], [found(VM, "False", message="no host yet"), found(HOST, "False", message="refused", stalled="True")]
    )
    assert str(summary) == "0 of 2 ready; Host h1: refused"
    assert not summary.hopeless, "the VM may still come to life"


def test_hopeless_when_everything_left_has_stalled() -> None:
    assert summarize([HOST, VM], [found(HOST, "True"), found(VM, "False", stalled="True")]).hopeless
    assert not summarize([HOST, VM], [found(HOST, "False", stalled="True")]).hopeless, "the VM was not even seen"
