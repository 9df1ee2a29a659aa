"""Which Kubernetes Events follow from a change of an object: on transitions only, one for each thing that happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controller.runtime import jobs
from controller.runtime.conditions import READY, STALLED, find, is_true
from controller.runtime.ports import EventType
from controller.runtime.recorder import Record
from controller.runtime.store import Change, Part
from crds.status import Condition, Job
from crds.v1alpha1.host import Host, HostState
from crds.v1alpha1.template import Template

_PROGRESS = frozenset({"Progressing", "Updating"})
"""Reasons of work that is under way; so is the name of the state that the object is in."""

_USUAL = (
    "NotReady",
    "NotConnected",
    "NotObserved",
    "NotThereYet",
    "Seeding",
    "Connecting",
    "Recovering",
    "Busy",
    "ForFirstConsumer",
)
"""Ends of reasons of a wait that is part of every beginning, or short; any other wait is worth a warning."""

_FACETS: dict[str, tuple[str, EventType]] = {
    "DeletionBlocked": ("True", "Warning"),
    "InUse": ("True", "Warning"),
    "InSync": ("False", "Warning"),
    "RestartRequired": ("True", "Normal"),
}
"""Conditions that are told when they get this status."""


@dataclass(frozen=True, slots=True)
class Said:
    """An Event without its object."""

    type: EventType
    reason: str
    message: str


def witness(change: Change, record: Record) -> None:
    """Have Events written about a change that this process wrote itself; see `controller.runtime.manager.Witness`."""
    if Part.STATUS not in change.parts:
        return
    before, after = change.before(), change.after()
    if before is not None and after is not None and before.metadata.uid == after.metadata.uid:
        for said in transitions(before, after):
            record(change.key, after.metadata.uid, said.type, said.reason, said.message)


def transitions(before: Any, after: Any) -> Iterator[Said]:
    """What is to be told of the step from one version of an object to the next."""
    told = _told_by_reconciler(before, after)
    job = None if told else ended(before, after)
    ready = None if told else _ready(before, after, job)
    if job is not None and (ready is None or job.status != jobs.SUCCEEDED):
        failed = job.status == jobs.FAILED
        yield Said("Warning" if failed else "Normal", f"Job{job.status}", _joined(job.command, job.result_text, sign=": "))
    if ready is not None:
        yield ready
    for type, (status, severity) in _FACETS.items():
        was, now = find(before.status.conditions, type), find(after.status.conditions, type)
        if now is not None and now.status == status and (was is None or (was.status, was.reason) != (now.status, now.reason)):
            yield Said(severity, now.reason, now.message)


def ended(before: Any, after: Any) -> Job | None:
    """The job that ended between two versions of an object, None if none did."""
    was: Job | None = getattr(before.status, "job", None)
    job: Job | None = getattr(after.status, "job", None)
    if job is None or jobs.running(job):
        return None
    known = was is not None and was.id == job.id and not jobs.running(was)
    return None if known else job


def _ready(before: Any, after: Any, job: Job | None) -> Said | None:
    """What is to be told of the condition Ready."""
    was, now = find(before.status.conditions, READY), find(after.status.conditions, READY)
    if not isinstance(now, Condition) or (was is not None and (was.status, was.reason) == (now.status, now.reason)):
        return None
    if now.status == "True":
        done = f"{job.command} succeeded" if job is not None and job.status == jobs.SUCCEEDED else ""
        host = getattr(after.status, "host", None)
        return Said("Normal", now.reason, _joined(now.message, done, f"host {host}" if host else ""))
    if _under_way(after, now):
        return None
    usual = now.reason.endswith(_USUAL) and not is_true(after.status.conditions, STALLED)
    return Said("Normal" if usual else "Warning", now.reason, now.message)


def _told_by_reconciler(before: Any, after: Any) -> bool:
    """Whether the kind's reconciler tells of this step itself, with more than a condition knows: downloads, contact to hosts."""
    contact = [each.status.state == HostState.UP for each in (before, after) if isinstance(each, Host)]
    return isinstance(after, Template) or len(set(contact)) > 1


def _under_way(after: Any, ready: Condition) -> bool:
    if ready.reason in _PROGRESS or ready.reason == getattr(after.status, "state", None):
        return True
    job: Job | None = getattr(after.status, "job", None)
    return job is not None and jobs.running(job) and ready.message == f"{job.command} is under way"


def _joined(*texts: str | None, sign: str = ", ") -> str:
    return sign.join(text for text in texts if text)
