"""Every version that the objects of a kind ever had."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

from tests.support.live.api import Api

Manifest = dict[str, Any]


PATIENCE = 120.0
"""Seconds that news may take on a busy machine."""


class History:
    """Records from its start on, in a thread, until its API is closed. `versions` are whole objects in order, `deleted` names."""

    def __init__(self, api: Api, kind: str) -> None:
        self._api = api
        self._kind = kind
        self._since = self._newest = api.version(kind)
        self.versions: list[Manifest] = []
        self.deleted: list[str] = []
        self.seen_at: list[float] = []
        self._failure = ""
        threading.Thread(target=self._record, daemon=True).start()

    def of(self, name: str) -> list[Manifest]:
        """Versions of one object in order, up to now."""
        self._catch_up(name)
        self.check()
        return [version for version in self.versions if version["metadata"]["name"] == name]

    def writes(self, name: str) -> int:
        """Versions of an object that the controller wrote up to now: it never writes spec, so that generation stays."""
        versions = self.of(name)
        return sum(_marks(one) == _marks(next) for one, next in pairwise(versions))

    def said(self, name: str, reason: str, fragment: str, type: str = "Ready") -> bool:
        """Whether an object ever had a condition of this reason whose message holds the fragment, however short it lasted."""
        self.check()
        conditions = [
            each
            for version in list(self.versions)
            if version["metadata"]["name"] == name
            for each in version.get("status", {}).get("conditions", ())
        ]
        return any((each["type"], each["reason"]) == (type, reason) and fragment in each.get("message", "") for each in conditions)

    def check(self) -> None:
        """Raise AssertionError if something may have been missed."""
        assert not self._failure, self._failure

    def _catch_up(self, name: str) -> None:
        """Wait until the watch has told of the object as it is now, or that it is gone."""
        found, end = self._api.get(self._kind, name), time.monotonic() + PATIENCE
        while not self._knows(name, found and found["metadata"]["resourceVersion"]):
            self.check()
            assert time.monotonic() < end, f"the watch does not tell of {name}"
            time.sleep(0.02)

    def _knows(self, name: str, version: str | None) -> bool:
        if version is None:
            return name in self.deleted
        own = [each["metadata"]["resourceVersion"] for each in self.versions if each["metadata"]["name"] == name]
        return int(version) <= max(map(int, [self._since, *own]))

    def _record(self) -> None:
        """A watch that the API server ends, as it does to one that is slow, is taken up again where it ended: nothing is missed."""
        try:
            while not self._api.closed:
                for event in self._api.watch(self._kind, self._newest):
                    self._take(event)
        except Exception as error:
            self._failure = f"the watch broke: {error!r}"

    def _take(self, event: Manifest) -> None:
        if event["type"] == "ERROR":
            raise RuntimeError(str(event["object"]))
        self._newest = str(event["object"]["metadata"]["resourceVersion"])
        self.seen_at.append(time.monotonic())
        self.versions.append(event["object"])
        if event["type"] == "DELETED":  # last: who waits for it then finds all that was before
            self.deleted.append(event["object"]["metadata"]["name"])


def _marks(version: Manifest) -> tuple[str, int]:
    return version["metadata"]["uid"], version["metadata"]["generation"]
