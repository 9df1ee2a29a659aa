"""The writes of one reconcile to its own object: conditional on what was read, and read back at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from pydantic_core import to_json

from controller.runtime.keys import Key
from controller.runtime.objects import Resource
from controller.runtime.patches import merge_patch
from controller.runtime.ports import Gone

T = TypeVar("T", bound=Resource)


class ObjectWrites(Protocol):
    """Carries out a write and has the reply in the Store before it returns it."""

    async def status(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the status.  Raises ApiError."""
        ...

    async def metadata(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Patch the metadata.  Raises ApiError."""
        ...


class Session(Generic[T]):
    """One object through one reconcile: the draft, the version that writes are conditional on, and whether it is still
    there.
    """

    def __init__(self, obj: T, raw_status: Mapping[str, Any], writes: ObjectWrites, finalizer: str) -> None:
        self.object = obj
        self.key = Key.of(obj)
        self.uid = obj.metadata.uid
        self.gone = False
        self._version = obj.metadata.resource_version
        self._finalizers = list(obj.metadata.finalizers)
        self._raw_status = raw_status
        self._known: Mapping[str, Any] | None = None
        self._writes = writes
        self._finalizer = finalizer

    @property
    def has_finalizer(self) -> bool:
        """Whether our finalizer is on the object."""
        return self._finalizer in self._finalizers

    async def write_status(self, *, observed: bool = True) -> bool:
        """Write what the draft has and the API hasn't; tell whether there was anything.

        `observed`: the draft reflects the spec that was read, so `observedGeneration` says so.  Raises ApiError.
        """
        if self.gone:
            return False
        if observed:
            self.object.status.observed_generation = self.object.metadata.generation
        draft = self.object.status.to_json()
        if draft == self._raw_status:
            return False
        known = self._through_model()
        patch = merge_patch(self._raw_status, known, draft)
        if "conditions" in patch:
            _keep_times(known.get("conditions", ()), draft.get("conditions", ()))
            patch = merge_patch(self._raw_status, known, draft)
        if not patch:
            return False
        raw = await self._writes.status(self.key, self.uid, self._version, patch)
        self._raw_status, self._known = raw.get("status") or {}, draft
        self._read_back(raw)
        return True

    async def add_finalizer(self) -> None:
        """Add our finalizer unless it is there.  Raises ApiError."""
        if not self.has_finalizer:
            await self._write_finalizers([*self._finalizers, self._finalizer])

    async def remove_finalizer(self) -> None:
        """Remove our finalizer if it is there; an object that is gone already counts as done.  Raises ApiError."""
        if not self.has_finalizer:
            return
        try:
            await self._write_finalizers([name for name in self._finalizers if name != self._finalizer])
        except Gone:
            self.gone = True

    async def _write_finalizers(self, finalizers: list[str]) -> None:
        raw = await self._writes.metadata(self.key, self.uid, self._version, {"finalizers": finalizers or None})
        self._finalizers = list(raw["metadata"].get("finalizers") or ())
        self._read_back(raw)
        self.gone = bool(raw["metadata"].get("deletionTimestamp")) and not self._finalizers

    def _through_model(self) -> Mapping[str, Any]:
        """What the API has, as the model writes it; asked for by those only that have something to write."""
        if self._known is None:
            self._known = self.object.status.model_validate_json(to_json(self._raw_status)).to_json()
        return self._known

    def _read_back(self, raw: Mapping[str, Any]) -> None:
        self._version = str(raw["metadata"]["resourceVersion"])


def _keep_times(known: Iterable[Mapping[str, Any]], draft: Iterable[dict[str, Any]]) -> None:
    """A condition that went to and fro between two writes has made no transition for whoever reads the object."""
    since = {(each["type"], each["status"]): each["lastTransitionTime"] for each in known}
    for each in draft:
        each["lastTransitionTime"] = since.get((each["type"], each["status"]), each["lastTransitionTime"])
