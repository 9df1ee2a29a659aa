"""Secrets, read when somebody needs them and looked at now and then afterwards.

Only Secrets that were asked for are ever read, and only their metadata when nothing changed: a watch would need the right to
list all of them.
"""

from __future__ import annotations

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from controller.kube.http import Http
from controller.runtime.ports import ApiError, Gone

_PATH = "/api/v1/namespaces/{namespace}/secrets/{name}"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_PERIOD = 30.0  # seconds between two looks at each Secret
_GAP = 0.1  # seconds between two requests: at most ten per second
_KNOWN = 10_000
_DIVERSE = "?"  # no version of any Secret: those who read it have different ones, and the next look tells them all


class Secrets:
    """Reads Secrets and tells when one of those that were read has changed, appeared or gone."""

    def __init__(self, http: Http, clock: Callable[[], float], log: FilteringBoundLogger) -> None:
        self._http = http
        self._clock = clock
        self._log = log
        self._seen: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """Return the Secret's data, decoded, or None when there is no such Secret.  Nothing of it is kept.  Raises ApiError."""
        try:
            raw = await self._http.get(_PATH, {"namespace": namespace, "name": name})
        except Gone:
            self._remember(namespace, name, "")
            return None
        self._remember(namespace, name, raw["metadata"]["resourceVersion"])
        return {key: base64.b64decode(value) for key, value in (raw.get("data") or {}).items()}

    async def watch(self, on_change: Callable[[str, str], None]) -> None:
        """Call `on_change(namespace, name)` whenever a Secret differs from what `read` has returned to anybody; until cancelled."""
        while True:
            started = self._clock()
            for namespace, name in list(self._seen):
                await self._look(namespace, name, on_change)
                await asyncio.sleep(_GAP)
            await asyncio.sleep(max(_GAP, started + _PERIOD - self._clock()))

    def _remember(self, namespace: str, name: str, version: str) -> None:
        known = self._seen.get((namespace, name), version)
        self._seen[namespace, name] = version if version == known else _DIVERSE
        self._seen.move_to_end((namespace, name))
        if len(self._seen) > _KNOWN:
            self._seen.popitem(last=False)

    async def _look(self, namespace: str, name: str, on_change: Callable[[str, str], None]) -> None:
        known = self._seen.get((namespace, name))
        try:
            raw = await self._http.get(_PATH, {"namespace": namespace, "name": name}, accept=_METADATA)
            version = str(raw["metadata"]["resourceVersion"])
        except Gone:
            version = ""
        except ApiError as error:
            self._log.info("secret not looked at", namespace=namespace, name=name, error=str(error))
            return
        if known is not None and version != known and self._seen.get((namespace, name)) == known:
            self._seen[namespace, name] = version
            on_change(namespace, name)
