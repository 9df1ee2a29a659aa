"""Why an object is as it is, in sentences, from what its status and those of the objects it names say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.kube.events import Told
from controller.runtime import jobs
from controller.runtime.conditions import PAUSED, READY, RECONCILING, STALLED, find, is_true
from controller.runtime.keys import Key
from controller.why.references import references
from crds.fields import Timestamp
from crds.status import Condition, Job
from crds.v1alpha1.virtualmachinestatus import PendingChange, PlacementReport

_SUMMARY = frozenset({READY, RECONCILING, STALLED, PAUSED, jobs.JOB_SUCCEEDED})
_BAD_WHEN_TRUE = frozenset({"DeletionBlocked", "InUse", "RestartRequired"})
_FINALIZER = "vireo.dev/finalizer"
_NEEDS = {"Restart": "with the next restart", "PowerOff": "when the VM is off", "Recreate": "only when the VM is made anew"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to print, and whether the object is as declared."""

    lines: tuple[str, ...]
    ready: bool


def explain(obj: Any, related: Mapping[Key, Any | None], now: datetime, warning: Told | None = None) -> Explanation:
    """Explain one object; `related` has what it names (see `references`), None for what does not exist; `warning` is the last
    Event of that type about it.
    """
    ready = find(obj.status.conditions, READY)
    processed = obj.status.observed_generation == obj.metadata.generation
    as_declared = ready is not None and ready.status == "True" and processed and not obj.deleting
    details = (
        *_said(ready if isinstance(ready, Condition) else None, now),
        *_unprocessed(obj),
        *_paused(obj),
        *(() if as_declared else _warning(warning, ready.message if ready else "", now)),
        *_shard(getattr(obj.status, "shard", None)),
        *_job(getattr(obj.status, "job", None), now),
        *_placement(getattr(obj.status, "placement_report", None)),
        *(() if as_declared else _missing(obj, related)),
        *_pending(getattr(obj.status, "pending_changes", [])),
        *_facets(obj.status.conditions, ready.message if ready else ""),
        *_finalizers(obj),
    )
    head = f"{Key.of(obj)} {_verdict(obj, now)}"
    return Explanation((head, *(f"  {line}" for line in details)), as_declared)


def _verdict(obj: Any, now: datetime) -> str:
    """What comes after the object's name in the first line."""
    status, ready = obj.status, find(obj.status.conditions, READY)
    if obj.deleting:
        return f"is being deleted, for {_age(obj.metadata.deletion_timestamp, now)}"
    if ready is None:
        return "has not been looked at by a controller yet"
    if is_true(status.conditions, STALLED):
        return "cannot go on until something is changed"
    if status.observed_generation != obj.metadata.generation:
        return "has a change that was not looked at yet"
    if ready.status == "True":
        return f"is ready: {ready.reason}"
    return "is being worked on" if jobs.running(getattr(status, "job", None)) else "waits"


def _said(ready: Condition | None, now: datetime) -> Iterator[str]:
    if ready is None or ready.status == "True":
        return
    yield f"reason: {ready.reason}, not ready for {_age(ready.last_transition_time, now)}"
    if ready.message:
        yield ready.message


def _unprocessed(obj: Any) -> Iterator[str]:
    seen, generation = obj.status.observed_generation, obj.metadata.generation
    if seen != generation:
        before = f"only generation {seen} was" if seen >= 0 else "none was"
        yield f"declared is generation {generation}, {before} processed: is the controller running?"


def _paused(obj: Any) -> Iterator[str]:
    if found := find(obj.status.conditions, PAUSED):
        yield f"paused: {found.message}"


def _warning(warning: Told | None, told: str, now: datetime) -> Iterator[str]:
    """The last error, where the condition speaks of something else by now."""
    if warning is None or warning.message == told:
        return
    times = f", {warning.count} times" if warning.count > 1 else ""
    yield f"last warning, {_age(warning.at, now)} ago{times}: {warning.reason}: {warning.message}".rstrip(": ")


def _job(job: Job | None, now: datetime) -> Iterator[str]:
    if job is None:
        return
    if jobs.running(job):
        details = [f"for {_age(job.started_at, now)}" if job.started_at else "", job.phase or ""]
        details.append(f"{job.progress} %" if job.progress is not None else "")
        yield f"job: {job.command} is under way, {', '.join(filter(None, details))}".rstrip(", ")
        return
    ago = f" {_age(job.completed_at, now)} ago" if job.completed_at else ""
    code = f" with code {job.result_code}" if job.result_code is not None else ""
    text = f": {job.result_text}" if job.result_text else ""
    yield f"last job: {job.command} {_lower(str(job.status))}{ago}{code}{text}"


def _shard(number: int | None) -> Iterator[str]:
    if number is not None:
        yield f"worked on by shard {number}"


def _placement(report: PlacementReport | None) -> Iterator[str]:
    if report is None or not report.rejected:
        return
    counts = sorted(report.rejected.items(), key=lambda item: (-item[1], item[0]))
    yield f"rejected hosts: {', '.join(f'{count} {reason}{_named(report, reason, count)}' for reason, count in counts)}"
    if report.message:
        yield f"placement: {report.message}"


def _named(report: PlacementReport, reason: str, count: int) -> str:
    names = report.examples.get(reason, [])
    return f" ({', '.join([*names, *(['…'] if count > len(names) else [])])})" if names else ""


def _missing(obj: Any, related: Mapping[Key, Any | None]) -> Iterator[str]:
    """What the object names and can't use."""
    for reference in references(obj):
        named = f"{reference.key} ({reference.field})"
        if reference.key not in related:
            continue
        found = related[reference.key]
        if found is None:
            yield f"missing: {named} does not exist"
            continue
        ready = find(found.status.conditions, READY)
        if found.deleting:
            yield f"going: {named} is being deleted"
        elif ready is None or ready.status != "True":
            why = f"{ready.reason}: {ready.message}".rstrip(": ") if ready else "not looked at yet"
            yield f"not ready: {named}: {why}"


def _pending(changes: list[PendingChange]) -> Iterator[str]:
    for change in changes:
        needs = _NEEDS.get(str(change.needs), f"needs {change.needs}")
        yield f"pending: {change.field} {change.current or 'unset'} → {change.desired or 'unset'}, {needs}"


def _facets(conditions: list[Condition], told: str) -> Iterator[str]:
    """Conditions that say that something is not as it should be, but for what was told already."""
    for each in conditions:
        bad = each.status == "True" if each.type in _BAD_WHEN_TRUE else each.status != "True"
        if each.type not in _SUMMARY and bad and (not each.message or each.message != told):
            yield f"{each.type}: {each.reason}: {each.message}".rstrip(": ")


def _finalizers(obj: Any) -> Iterator[str]:
    others = [name for name in obj.metadata.finalizers if name != _FINALIZER]
    if obj.deleting and others:
        yield f"kept by finalizers of others, who must remove them: {', '.join(others)}"


def _age(since: Timestamp | str, now: datetime) -> str:
    """How long ago that was, in the largest unit that fits."""
    begun = since if isinstance(since, Timestamp) else Timestamp(since)
    seconds = max(0, int((now - begun.datetime).total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _lower(state: str) -> str:
    return "was cancelled" if state == jobs.CANCELLED else state.lower()
