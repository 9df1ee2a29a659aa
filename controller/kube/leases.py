"""The runtime's LeasePort on a coordination.k8s.io/v1 Lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controller.kube.http import Http
from controller.runtime.lease import LeaseRecord

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_SHARDS, _WANTED_BY, _ENDING = "vireo.dev/shards", "vireo.dev/wanted-by", "vireo.dev/ending"
_MICROTIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class KubeLease:
    """One Lease."""

    def __init__(self, http: Http, namespace: str, name: str) -> None:
        self._http = http
        self._namespace = namespace
        self._name = name

    async def get(self) -> LeaseRecord:
        """Return the lease.  Raises ApiError."""
        return _record(await self._http.get(f"{_LEASES}/{{name}}", self._values))

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Create the lease.  Raises ApiError."""
        return _record(await self._http.post(_LEASES, {"namespace": self._namespace}, self._body(record)))

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        """Replace the lease.  Raises ApiError."""
        return _record(await self._http.put(f"{_LEASES}/{{name}}", self._values, self._body(record)))

    @property
    def _values(self) -> dict[str, str]:
        return {"namespace": self._namespace, "name": self._name}

    def _body(self, record: LeaseRecord) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if notes := _annotations(record):
            metadata["annotations"] = notes
        if record.resource_version:
            metadata["resourceVersion"] = record.resource_version
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.duration,
            "acquireTime": _written(record.acquired_at),
            "renewTime": _written(record.renewed_at),
            "leaseTransitions": record.transitions,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _record(raw: Mapping[str, Any]) -> LeaseRecord:
    spec, notes = raw.get("spec") or {}, raw["metadata"].get("annotations") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration=int(spec.get("leaseDurationSeconds") or 1),
        acquired_at=_read(spec.get("acquireTime")),
        renewed_at=_read(spec.get("renewTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        resource_version=raw["metadata"]["resourceVersion"],
        shards=_number(notes.get(_SHARDS)),
        wanted_by=str(notes.get(_WANTED_BY) or ""),
        ending=notes.get(_ENDING) == "true",
    )


def _annotations(record: LeaseRecord) -> dict[str, str]:
    """What a Lease says beside its spec; nothing while the work is not divided."""
    notes = {_SHARDS: str(record.shards)} if record.shards != 1 else {}
    notes |= {_WANTED_BY: record.wanted_by} if record.wanted_by else {}
    return notes | ({_ENDING: "true"} if record.ending else {})


def _number(text: str | None) -> int:
    """The number of shards on record; what is no number was written by nobody who divides the work."""
    try:
        return int(text or 1) or 1
    except ValueError:
        return 1


def _written(when: datetime | None) -> str | None:
    return when.astimezone(UTC).strftime(_MICROTIME) if when else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
