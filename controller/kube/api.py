"""The runtime's Api port on a real API server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from controller.kube.http import Http
from controller.kube.kinds import Kinds
from controller.runtime.keys import Key
from controller.runtime.ports import EventRecord, Gone, Page

_CHUNK = "500"
_COMPONENT = "vireo.dev/controller"
_LONGEST_NAME = 200  # of an object in an Event's name; with the random part at most 253


class KubeApi:
    """Reads and writes objects of the given kinds."""

    def __init__(self, http: Http, kinds: Kinds, identity: str) -> None:
        """`identity` names this process in the Events it writes."""
        self._http = http
        self._kinds = kinds
        self._identity = identity

    async def get(self, key: Key) -> Mapping[str, Any]:
        """Return the object as it is now.  Raises ApiError."""
        kind = self._kinds[key.kind]
        path, values = kind.path_of(key)
        raw: Mapping[str, Any] = await self._http.get(path, values)
        return raw

    async def list(self, kind: str) -> AsyncIterator[Page]:
        """Yield all objects of a kind, chunk by chunk of one consistent list.  Raises ApiError."""
        known = self._kinds[kind]
        proceed = ""
        while True:
            query = [("limit", _CHUNK)] + ([("continue", proceed)] if proceed else [])
            found = await self._http.get(known.path, query=query)
            for raw in found["items"]:  # the items of a built-in kind don't repeat it
                raw.setdefault("kind", known.kind)
                raw.setdefault("apiVersion", known.api_version)
            yield Page(found["items"], found["metadata"]["resourceVersion"])
            proceed = found["metadata"].get("continue", "")
            if not proceed:
                return

    async def patch_status(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge `patch` into the status.  Raises ApiError."""
        path, values = self._kinds[key.kind].path_of(key)
        precondition = {"uid": uid, "resourceVersion": resource_version}
        return await self._patch(f"{path}/status", values, uid, {"metadata": precondition, "status": patch})

    async def patch_metadata(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge `patch` into the metadata.  Raises ApiError."""
        path, values = self._kinds[key.kind].path_of(key)
        precondition = {"uid": uid, "resourceVersion": resource_version}
        return await self._patch(path, values, uid, {"metadata": {**patch, **precondition}})

    async def _patch(self, path: str, values: Mapping[str, str], uid: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        raw: Mapping[str, Any] = await self._http.merge_patch(path, values, patch)
        if raw["metadata"]["uid"] != uid:
            raise Gone(f"{path}: another object of that name")
        return raw

    async def create_event(self, event: EventRecord) -> None:
        """Create an events.k8s.io/v1 Event; one about a cluster-scoped object goes to namespace `default`.  Raises ApiError."""
        kind = self._kinds[event.key.kind]
        namespace = event.key.namespace or "default"
        regarding = {"apiVersion": kind.api_version, "kind": kind.kind, "name": event.key.name, "uid": event.uid}
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{event.key.name[:_LONGEST_NAME].rstrip('.-')}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "eventTime": event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": _COMPONENT,
            "reportingInstance": self._identity[:128],
            "action": event.reason,
            "reason": event.reason,
            "note": event.message,
            "type": event.type,
            "regarding": {**regarding, "namespace": event.key.namespace} if event.key.namespace else regarding,
        }
        path = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        await self._http.post(path, {"namespace": namespace}, body)
