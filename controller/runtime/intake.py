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

Call = Callable[[], Awaitable[Mapping[str, Any]]]


class Intake:
    """Feeds the Store from events, lists and replies, and tells `on_change(change, own)` what changed."""

    def __init__(self, store: Store, on_change: Callable[[Change, bool], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._held: dict[Key, list[Callable[[], None]]] = {}

    def upsert(self, raw: Mapping[str, Any]) -> None:
        """Take in a version from an event or a list; the older of two is ignored, whatever order they come in."""
        metadata = raw["metadata"]
        key = Key(raw["kind"], metadata.get("namespace") or "", metadata["name"])
        self._defer(key, lambda: self._accept(self._store.upsert(raw), own=False))

    def delete(self, key: Key, resource_version: str | None = None) -> None:
        """Take in a deletion; `resource_version` is that of the deletion itself where it is known."""
        self._defer(key, lambda: self._accept(self._store.delete(key, resource_version), own=False))

    def prune(self, kind: str, seen: set[Key], resource_version: str) -> None:
        """Take in that a complete list of a kind had only `seen`."""
        changes: Iterable[Change] = self._store.prune(kind, seen, resource_version)
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

    def __init__(self, writer: Writer, intake: Intake, fence: Callable[[], None], metrics: Metrics) -> None:
        self._writer = writer
        self._intake = intake
        self._fence = fence
        self._metrics = metrics

    async def status(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the status.  Raises ApiError, and what the fence raises."""
        self._fence()
        self._metrics.writes.labels(key.kind, "status").inc()
        return await self._intake.write(key, lambda: self._writer.patch_status(key, uid, version, patch))

    async def metadata(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the metadata.  Raises ApiError, and what the fence raises."""
        self._fence()
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
