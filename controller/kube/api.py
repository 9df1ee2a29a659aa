"""The runtime's Api port on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from controller.kube import events
from controller.kube.http import Http
from controller.kube.kinds import ApiKind, Kinds
from controller.runtime.keys import Key
from controller.runtime.ports import EventRecord, Gone, Page

_CHUNK = "50"  # objects of a list in memory at once, 50 KB each before they are taken in


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

    async def list(self, kind: str) -> AsyncGenerator[Page, None]:
        """Yield all objects of a kind, chunk by chunk of one consistent list; the next is on its way while one is worked on.

        Raises ApiError.
        """
        known = self._kinds[kind]
        coming: asyncio.Task[Any] | None = asyncio.create_task(self._chunk(known, ""))
        try:
            while coming:
                found = await coming
                proceed = found["metadata"].get("continue", "")
                coming = asyncio.create_task(self._chunk(known, proceed)) if proceed else None
                yield Page(found["items"], found["metadata"]["resourceVersion"])
        finally:
            if coming:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _chunk(self, kind: ApiKind, proceed: str) -> Any:
        query = [("limit", _CHUNK)] + ([("continue", proceed)] if proceed else [])
        found = await self._http.get(kind.path, query=query)
        for raw in found["items"]:  # the items of a built-in kind don't repeat it
            raw.setdefault("kind", kind.kind)
            raw.setdefault("apiVersion", kind.api_version)
        return found

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

    async def create_event(self, event: EventRecord) -> str:
        """Create an events.k8s.io/v1 Event and return its name; one about a cluster-scoped object goes to `default`.

        Raises ApiError.
        """
        body = events.created(event, self._kinds[event.key.kind], self._identity)
        await self._http.post(events.PATH, {"namespace": events.namespace(event)}, body)
        return str(body["metadata"]["name"])

    async def repeat_event(self, event: EventRecord, name: str, count: int) -> None:
        """Note how often an Event has happened, and when last.  Raises ApiError: Gone when it has expired."""
        values = {"namespace": events.namespace(event), "name": name}
        await self._http.merge_patch(f"{events.PATH}/{{name}}", values, events.repeated(event, count))

    async def last_warning(self, key: Key, uid: str) -> events.Told | None:
        """Return what the last Event of type Warning about an object says, None if none is kept.  Raises ApiError."""
        namespace = key.namespace or "default"
        query = [("fieldSelector", f"regarding.uid={uid},type=Warning"), ("limit", _CHUNK)]
        found = await self._http.get(events.PATH, {"namespace": namespace}, query=query)
        return max((events.told(raw) for raw in found["items"]), key=lambda each: each.at, default=None)
