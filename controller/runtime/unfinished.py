"""Objects that the API server let go although our finalizer was on them.

A deletion reads an object, sees that nobody holds it, and removes it; a finalizer that is written in between is not seen, for
only uid and resourceVersion of the request are compared again (the generic registry's Store.Delete). What was made meanwhile
for such an object would stay behind. So it is kept here as one that is being deleted, until its reconciler has finished with it;
the API has nothing of it any more, and is asked for nothing.

Only objects whose finalizer this process wrote a moment ago are kept. One that disappears later was let go by somebody who went
past the API, as in an etcd that was restored: that is no order to destroy anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from controller.runtime.clock import Clock
from controller.runtime.keys import Key
from controller.runtime.patches import apply_patch

__all__ = ["Unfinished"]

REQUEST = 60.0
"""Seconds that a deletion which saw no finalizer can still be under way: kube-apiserver's --request-timeout."""


class Unfinished:
    """What is kept by key: at most one object, since the API server may have taken in another of the name by then."""

    def __init__(self, finalizer: str, clock: Clock) -> None:
        self._finalizer = finalizer
        self._clock = clock
        self._written: OrderedDict[str, float] = OrderedDict()
        self._kept: dict[Key, dict[str, Any]] = {}

    def note(self, uid: str, patch: Mapping[str, Any]) -> None:
        """A patch of an object's metadata is about to be written."""
        now = self._clock.monotonic()
        while self._written and next(iter(self._written.values())) < now - REQUEST:
            self._written.popitem(last=False)
        if self._finalizer in (patch.get("finalizers") or ()):
            self._written[uid] = now
            self._written.move_to_end(uid)

    def keep(self, key: Key, raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object that is gone by an event, as one that is being deleted; None if it is rightly gone."""
        metadata = raw["metadata"]
        held = self._finalizer in (metadata.get("finalizers") or ()) and not metadata.get("deletionTimestamp")
        if not held or self._clock.monotonic() - self._written.get(metadata["uid"], -REQUEST) >= REQUEST:
            return None
        now = self._clock.now().replace(microsecond=0, tzinfo=None).isoformat() + "Z"
        # nobody else will take a finalizer of theirs off it
        kept = {**raw, "metadata": {**metadata, "deletionTimestamp": now, "finalizers": [self._finalizer]}}
        self._kept[key] = kept
        return kept

    def has(self, key: Key, uid: str | None = None) -> bool:
        """Whether an object of this name is kept, the one with `uid` where that is given."""
        kept = self._kept.get(key)
        return kept is not None and uid in (None, kept["metadata"]["uid"])

    def keys(self, kind: str) -> set[Key]:
        """Those of one kind."""
        return {key for key in self._kept if key.kind == kind}

    def write(self, key: Key, part: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Write to what is kept, as the API server would have; `part` is status or metadata. It goes with its finalizer."""
        kept = self._kept[key] = {**self._kept[key], part: apply_patch(self._kept[key].get(part), patch)}
        if not kept["metadata"].get("finalizers"):
            del self._kept[key]
        return kept

    def drop(self, key: Key) -> None:
        """Another object has this name: what it was made under is not known any more by its name."""
        self._kept.pop(key, None)
