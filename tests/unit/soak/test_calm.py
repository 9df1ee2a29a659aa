"""What a soak takes for a defect, and what for an object at its end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.soak.calm import _unfinished, is_defect


@pytest.mark.parametrize(
    ("said", "defect"),
    [
        ({"event": "lease acquired", "level": "info"}, False),
        ({"event": "hypervisor call failed", "level": "warning", "reason": "EndpointTimeout"}, False),
        ({"event": "x", "level": "warning", "reason": "NotConverging"}, True),
        ({"event": "x", "level": "error"}, True),
        ({"event": "x", "level": "info", "exception": [{"exc_type": "KeyError"}]}, True),
    ],
)
def test_defects_in_a_log(said: dict[str, Any], defect: bool) -> None:
    assert is_defect(json.dumps(said).encode() + b"\n") is defect


def test_what_is_no_json_is_a_traceback() -> None:
    assert is_defect(b'  File "x.py", line 1, in <module>\n')


def thing(ready: str = "True", observed: int = 2, job: str = "Succeeded", **metadata: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "R", "message": "m"}
    more = [] if ready == "True" else [{**condition, "type": "Reconciling", "status": "True"}]
    status = {"observedGeneration": observed, "conditions": [condition, *more], "job": {"command": "C", "status": job}}
    return {"metadata": {"name": "a", "generation": 2, **metadata}, "status": status}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (thing("False"), "is InProgress"),
        (thing(observed=1), "was observed at 1, is at 2"),
        (thing(job="InProgress"), "has a job that runs: C"),
        (thing(deletionTimestamp="2026-11-21T08:00:00Z", finalizers=["f"]), "is Terminating, finalizers ['f']"),
        ({"metadata": {"name": "a", "generation": 1}}, "was observed at None"),
    ],
)
def test_what_is_not_at_its_end(found: dict[str, Any], text: str) -> None:
    assert any(text in each for each in _unfinished(found))


def test_what_is_at_its_end() -> None:
    assert list(_unfinished(thing())) == []
