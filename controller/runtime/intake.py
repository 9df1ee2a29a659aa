"""The way of every object version into the Store, and of every write out of it.

An event about an object whose write is under way is held back until the reply is there: then what the reply contains is known
to be our own, and whatever else the events bring was done by somebody else.  So own writes never wake their own object, and no
foreign change is mistaken for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from controller.runtime.keys import Key
from controller.runtime.metrics import Metrics
from controller.runtime.ports import Gone, Reader, Writer
from controller.runtime.store import Change, Store
from controller.runtime.unfinished import Unfinished

Call = Callable[[], Awaitable[Mapping[str, Any]]]


class Intake:
    """Feeds the Store from events, lists and replies, and tells `on_change(change, own)` what changed."""

    def __init__(self, store: Store, on_change: Callable[[Change, bool], None], unfinished: Unfinished) -> None:
        self._store = store
        self._on_change = on_change
        self._unfinished = unfinished
        self._held: dict[Key, list[Callable[[], None]]] = {}

    def upsert(self, raw: Mapping[str, Any]) -> None:
        """Take in a version from an event or a list; the older of two is ignored, whatever order they come in."""
        metadata = raw["metadata"]
        key = Key(raw["kind"], metadata.get("namespace") or "", metadata["name"])
        self._defer(key, lambda: self._upsert(key, raw))

    def deleted(self, raw: Mapping[str, Any]) -> None:
        """Take in the event of a deletion, with the object as it was last and the version of the deletion itself."""
        metadata = raw["metadata"]
        key = Key(raw["kind"], metadata.get("namespace") or "", metadata["name"])
        self._defer(key, lambda: self._deleted(key, raw))

    def delete(self, key: Key) -> None:
        """Take in that an object is not there, unless it is kept as `Unfinished`."""
        self._defer(key, lambda: self._delete(key, None))

    def prune(self, kind: str, seen: set[Key], resource_version: str) -> None:
        """Take in that a complete list of a kind had only `seen`."""
        changes: Iterable[Change] = self._store.prune(kind, seen | self._unfinished.keys(kind), resource_version)
        for change in changes:
            self._accept(change, own=False)

    async def write(self, key: Key, call: Call) -> Mapping[str, Any]:
        """Carry out a write of one object and take in its reply as our own, before anything else about it."""
        held = self._held.setdefault(key, [])
        try:
            raw = await call()
            self._accept(self._store.upsert(raw), own=True)
            return raw
        finally:
            del self._held[key]
            for accept in held:
                accept()

    def write_unfinished(self, key: Key, part: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out a write of an object that the API server has let go already."""
        raw = self._unfinished.write(key, part, patch)
        self._accept(self._store.upsert(raw, unversioned=True), own=True)
        return raw

    def _upsert(self, key: Key, raw: Mapping[str, Any]) -> None:
        if self._unfinished.has(key) and not self._unfinished.has(key, raw["metadata"]["uid"]):
            self._unfinished.drop(key)
        self._accept(self._store.upsert(raw), own=False)

    def _deleted(self, key: Key, raw: Mapping[str, Any]) -> None:
        if kept := self._unfinished.keep(key, raw):
            self._accept(self._store.upsert(kept), own=False)
        else:
            self._delete(key, raw["metadata"]["resourceVersion"])

    def _delete(self, key: Key, resource_version: str | None) -> None:
        if not self._unfinished.has(key):
            self._accept(self._store.delete(key, resource_version), own=False)

    def _defer(self, key: Key, accept: Callable[[], None]) -> None:
        if key in self._held:
            self._held[key].append(accept)
        else:
            accept()

    def _accept(self, change: Change | None, *, own: bool) -> None:
        if change is not None:
            self._on_change(change, own)


class Writes:
    """`session.ObjectWrites` over the API: each write only while `fence` allows it."""

    def __init__(self, writer: Writer, intake: Intake, fence: Callable[[], None], metrics: Metrics, unfinished: Unfinished) -> None:
        self._writer = writer
        self._intake = intake
        self._unfinished = unfinished
        self._fence = fence
        self._metrics = metrics

    async def status(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the status.  Raises ApiError, and what the fence raises."""
        self._fence()
        if self._unfinished.has(key, uid):
            return self._intake.write_unfinished(key, "status", patch)
        self._metrics.writes.labels(key.kind, "status").inc()
        return await self._intake.write(key, lambda: self._writer.patch_status(key, uid, version, patch))

    async def metadata(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the metadata.  Raises ApiError, and what the fence raises."""
        self._fence()
        if self._unfinished.has(key, uid):
            return self._intake.write_unfinished(key, "metadata", patch)
        self._unfinished.note(uid, patch)
        self._metrics.writes.labels(key.kind, "metadata").inc()
        return await self._intake.write(key, lambda: self._writer.patch_metadata(key, uid, version, patch))


async def refresh(reader: Reader, intake: Intake, key: Key) -> None:
    """Read an object anew, past the watch: after a conflict, or when it seems to be gone.  Raises ApiError other than Gone."""
    try:
        raw = await reader.get(key)
    except Gone:
        intake.delete(key)
    else:
        intake.upsert(raw)
