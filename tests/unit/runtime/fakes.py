"""An API server in memory: versions, preconditions, finalizers, a watch that can lose and delay, and faults at will."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import enum
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from controller.runtime.intake import Intake
from controller.runtime.keys import Key
from controller.runtime.ports import Conflict, EventRecord, Gone, Page, Rejected, Throttled, Unavailable

Raw = dict[str, Any]


class Fault(enum.Enum):
    """What goes wrong with one request."""

    CONFLICT = "conflict"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable before anything happened"
    LOST = "done, but the reply is lost"
    REJECTED = "rejected"
    SLOW = "slow"


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386, written from its pseudocode."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class FakeApi:
    """Implements the runtime's `Api`; users of the cloud act through the plain methods."""

    def __init__(self) -> None:
        self.version = 0
        self.uids = 0
        self.objects: dict[Key, Raw] = {}
        self.history: list[Raw] = []
        self.events: list[EventRecord] = []
        self.repeats: list[tuple[str, int]] = []
        self.expired: set[str] = set()
        self.writes: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.fault: Callable[[str, Key | None], Fault | None] = lambda verb, key: None
        self.watchers: list[Watcher] = []
        self.chunk = 2
        self.reply_delay = 0.004

    # What users do.

    def create(self, kind: str, name: str, namespace: str = "ns", **spec: Any) -> Key:
        key = Key(kind, namespace, name)
        assert key not in self.objects
        self.uids += 1
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{self.uids}", "generation": 1}
        self._store(key, {"kind": kind, "metadata": metadata, "spec": spec}, "ADDED")
        return key

    def edit(self, key: Key, **spec: Any) -> None:
        raw = copy.deepcopy(self.objects[key])
        if raw["spec"] != {**raw["spec"], **spec}:
            raw["spec"].update(spec)
            raw["metadata"]["generation"] += 1
            self._store(key, raw, "MODIFIED")

    def annotate(self, key: Key, name: str, value: str | None) -> None:
        raw = copy.deepcopy(self.objects[key])
        raw["metadata"] = merged(raw["metadata"], {"annotations": {name: value}})
        if raw["metadata"] != self.objects[key]["metadata"]:
            self._store(key, raw, "MODIFIED")

    def wipe_status(self, key: Key) -> None:
        raw = copy.deepcopy(self.objects[key])
        if raw.pop("status", None):
            self._store(key, raw, "MODIFIED")

    def delete(self, key: Key) -> None:
        raw = copy.deepcopy(self.objects[key])
        if not raw["metadata"].get("finalizers"):
            self._remove(key, raw)
        elif not raw["metadata"].get("deletionTimestamp"):
            raw["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
            raw["metadata"]["generation"] += 1
            self._store(key, raw, "MODIFIED")

    def delete_unseeing(self, key: Key) -> None:
        """A deletion that had read the object before its finalizer was written."""
        self._remove(key, copy.deepcopy(self.objects[key]))

    # What the runtime does.

    async def patch_status(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Raw:
        return await self._patch("status", key, uid, resource_version, patch)

    async def patch_metadata(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Raw:
        return await self._patch("metadata", key, uid, resource_version, patch)

    async def create_event(self, event: EventRecord) -> str:
        lost = await self._meet_fault("event", event.key)
        self.events.append(event)
        if lost:
            raise Unavailable("reply lost")
        return f"event-{len(self.events)}"

    async def repeat_event(self, event: EventRecord, name: str, count: int) -> None:
        await self._meet_fault("repeat", event.key)
        if name in self.expired:
            raise Gone(name)
        self.repeats.append((name, count))

    async def get(self, key: Key) -> Raw:
        await self._meet_fault("get", key)
        if key not in self.objects:
            raise Gone(str(key))
        return copy.deepcopy(self.objects[key])

    async def list(self, kind: str) -> AsyncIterator[Page]:
        version = str(self.version)
        raws = [copy.deepcopy(raw) for key, raw in sorted(self.objects.items()) if key.kind == kind]
        for start in range(0, max(len(raws), 1), self.chunk):
            await self._meet_fault("list", None)
            yield Page(raws[start : start + self.chunk], version)

    async def _patch(self, part: str, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Raw:
        lost = await self._meet_fault(part, key)
        raw = copy.deepcopy(self.objects.get(key))
        if raw is None or raw["metadata"]["uid"] != uid:
            raise Gone(str(key))
        if raw["metadata"]["resourceVersion"] != version:
            raise Conflict(f"{key} is at {raw['metadata']['resourceVersion']}, not {version}")
        raw[part] = merged(raw.get(part), patch)
        if raw != self.objects[key]:
            self.writes[part] += 1
            self._put(key, raw)
        reply = copy.deepcopy(raw)
        await asyncio.sleep(self.reply_delay)
        if lost:
            raise Unavailable("reply lost")
        return reply

    def _put(self, key: Key, raw: Raw) -> None:
        if raw["metadata"].get("deletionTimestamp") and not raw["metadata"].get("finalizers"):
            self._remove(key, raw)
        else:
            self._store(key, raw, "MODIFIED")

    def _store(self, key: Key, raw: Raw, type: str) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = raw
        self.history.append(copy.deepcopy(raw))
        self._send(type, raw)

    def _remove(self, key: Key, raw: Raw) -> None:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        del self.objects[key]
        self._send("DELETED", raw)

    def _send(self, type: str, raw: Raw) -> None:
        for watcher in self.watchers:
            watcher.send(type, copy.deepcopy(raw))

    async def _meet_fault(self, verb: str, key: Key | None) -> bool:
        """Let the chosen fault happen; return whether the reply is to be lost after the work is done."""
        self.requests[verb] += 1
        await asyncio.sleep(0.001)
        match self.fault(verb, key):
            case Fault.CONFLICT:
                raise Conflict("somebody was faster")
            case Fault.THROTTLED:
                raise Throttled("too many requests", 1.0)
            case Fault.UNAVAILABLE:
                raise Unavailable("connection refused")
            case Fault.REJECTED:
                raise Rejected("invalid")
            case Fault.SLOW:
                await asyncio.sleep(2.0)
            case Fault.LOST:
                return True
            case None:
                pass
        return False


class Watcher:
    """One watch: events arrive in order after `delay`, in the context of who watches; while `broken`, they are lost for good."""

    def __init__(self, api: FakeApi, intake: Intake, delay: Callable[[], float] = lambda: 0.002) -> None:
        self.broken = False
        self._intake = intake
        self._delay = delay
        self._last = 0.0
        self._closed = False
        self._context = contextvars.copy_context()
        api.watchers.append(self)
        self._api = api

    def send(self, type: str, raw: Raw) -> None:
        if not self.broken:
            loop = asyncio.get_running_loop()
            self._last = max(self._last, loop.time() + self._delay())
            loop.call_at(self._last, self._arrive, type, raw, context=self._context)

    def _arrive(self, type: str, raw: Raw) -> None:
        if self._closed:
            return
        if type == "DELETED":
            self._intake.deleted(raw)
        else:
            self._intake.upsert(raw)

    def close(self) -> None:
        self._closed = True
        self._api.watchers.remove(self)
