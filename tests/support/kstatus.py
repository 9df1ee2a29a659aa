"""kstatus, as sigs.k8s.io/cli-utils (pkg/kstatus) publishes its rules for kinds that it does not know.

An object is, in this order: Terminating with a deletionTimestamp; InProgress while status.observedGeneration is there and is not
metadata.generation; InProgress or Failed by the first of the conditions Reconciling and Stalled that is True; by condition Ready
Current when True and InProgress otherwise; Current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TERMINATING, IN_PROGRESS, FAILED, CURRENT = "Terminating", "InProgress", "Failed", "Current"
_DECIDES = {"Reconciling": IN_PROGRESS, "Stalled": FAILED}


def compute(raw: Mapping[str, Any]) -> str:
    """What kstatus says of an object as the API server has it."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return TERMINATING
    if "observedGeneration" in status and status["observedGeneration"] != metadata.get("generation"):
        return IN_PROGRESS
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    for condition in conditions:
        if condition["type"] in _DECIDES and condition["status"] == "True":
            return _DECIDES[condition["type"]]
    ready = [condition["status"] for condition in conditions if condition["type"] == "Ready"]
    return CURRENT if not ready or ready[0] == "True" else IN_PROGRESS


def wait_for_ready(raw: Mapping[str, Any]) -> bool:
    """Whether `kubectl wait --for=condition=Ready` would return: like kubectl, an older observedGeneration does not count."""
    status, generation = raw.get("status") or {}, raw["metadata"].get("generation")
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            observed = condition.get("observedGeneration") or status.get("observedGeneration")
            return condition["status"] == "True" and (observed is None or observed >= generation)
    return False


def contradictions(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with an object's conditions, whatever it is doing."""
    conditions = {each["type"]: each["status"] for each in (raw.get("status") or {}).get("conditions") or ()}
    count = len((raw.get("status") or {}).get("conditions") or ())
    true = {type for type, status in conditions.items() if status == "True"}
    found = []
    if count != len(conditions):
        found.append("two conditions of one type")
    if {"Reconciling", "Stalled"} <= true:
        found.append("Reconciling and Stalled at once")
    if "Ready" in true and true & {"Reconciling", "Stalled"}:
        found.append("Ready, and yet Reconciling or Stalled")
    if "Ready" in conditions and conditions["Ready"] != "True" and not true & {"Reconciling", "Stalled", "Paused"}:
        found.append("not Ready, and neither Reconciling nor Stalled")
    if not raw["metadata"].get("deletionTimestamp") and (compute(raw) == CURRENT) != wait_for_ready(raw) and conditions:
        found.append(f"kstatus says {compute(raw)}, kubectl wait says {wait_for_ready(raw)}")
    return found
