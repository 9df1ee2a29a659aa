"""Kubernetes Events as events.k8s.io/v1 wants them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.kube.kinds import ApiKind
from controller.runtime.ports import EventRecord

PATH = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"

_COMPONENT = "vireo.dev/controller"
_LONGEST_NAME = 200  # of an object in an Event's name; with the random part at most 253
_LONGEST_INSTANCE = 128  # reportingInstance, and action and reason too


@dataclass(frozen=True, slots=True)
class Told:
    """What an Event says, when it happened last (RFC 3339 UTC), and how often in all."""

    reason: str
    message: str
    at: str
    count: int


def namespace(event: EventRecord) -> str:
    """Where an Event lies: beside its object, and in `default` where that is cluster-scoped."""
    return event.key.namespace or "default"


def created(event: EventRecord, kind: ApiKind, identity: str) -> dict[str, Any]:
    """Return a new Event with a name of its own; `identity` names the process that reports it."""
    regarding = {"apiVersion": kind.api_version, "kind": kind.kind, "name": event.key.name, "uid": event.uid}
    name = f"{event.key.name[:_LONGEST_NAME].rstrip('.-')}.{uuid.uuid4().hex[:16]}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace(event)},
        "eventTime": _micro(event.at),
        "reportingController": _COMPONENT,
        "reportingInstance": identity[:_LONGEST_INSTANCE],
        "action": event.reason,
        "reason": event.reason,
        "note": event.message,
        "type": event.type,
        "regarding": {**regarding, "namespace": event.key.namespace} if event.key.namespace else regarding,
    }


def repeated(event: EventRecord, count: int) -> dict[str, Any]:
    """Return the merge patch that says how often it has happened, and when last."""
    return {"series": {"count": count, "lastObservedTime": _micro(event.at)}}


def told(raw: Mapping[str, Any]) -> Told:
    """Read an Event as the API has it, whoever wrote it and in whichever version."""
    series = raw.get("series") or {}
    times = (series.get("lastObservedTime"), raw.get("deprecatedLastTimestamp"), raw.get("eventTime"))
    at = next(filter(None, times), raw["metadata"]["creationTimestamp"])
    count = series.get("count") or raw.get("deprecatedCount") or 1
    return Told(raw.get("reason", ""), raw.get("note", ""), f"{at[:19]}Z", count)


def _micro(at: datetime) -> str:
    """metav1.MicroTime."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
