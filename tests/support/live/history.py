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
    """Records from its start on, in a thread, until closed. `versions` are whole objects in order; deletions are in `deleted`."""

    def __init__(self, api: Api, kind: str) -> None:
        self._api = api
        self._kind = kind
        self._since = api.version(kind)
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
        try:
            for event in self._api.watch(self._kind, self._since):
                self._take(event)
            self._failure = "the API server ended the watch"
        except Exception as error:
            self._failure = f"the watch broke: {error!r}"

    def _take(self, event: Manifest) -> None:
        if event["type"] == "ERROR":
            raise RuntimeError(str(event["object"]))
        if event["type"] == "DELETED":
            self.deleted.append(event["object"]["metadata"]["name"])
        self.seen_at.append(time.monotonic())
        self.versions.append(event["object"])


def _marks(version: Manifest) -> tuple[str, int]:
    return version["metadata"]["uid"], version["metadata"]["generation"]
