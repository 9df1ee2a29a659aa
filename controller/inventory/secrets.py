"""Where secret material comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

KEPT = 300.0


class Secrets(Protocol):
    """Reads Kubernetes Secrets when they are needed."""

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The decoded data of a Secret, None if there is no such Secret. Raises `controller.runtime.ports.ApiError`."""


@dataclass(frozen=True, slots=True)
class _Copy:
    read_at: float
    data: Mapping[str, bytes] = field(repr=False)


class SecretCache:
    """Secrets that were read lately, so that a reconcile costs no call; `changed` drops what is out of date.

    A Secret that does not exist is asked for each time. `clock` gives monotonic seconds. What was being read while some Secret
    changed is not kept: it may be what the Secret was before.
    """

    def __init__(self, source: Secrets, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._copies: dict[tuple[str, str], _Copy] = {}
        self._changes = 0

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """See `Secrets.read`; what was read less than `KEPT` seconds ago is answered from memory."""
        now = self._clock()
        known = self._copies.get((namespace, name))
        if known and now - known.read_at < KEPT:
            return known.data
        self._copies = {key: copy for key, copy in self._copies.items() if now - copy.read_at < KEPT}
        changes = self._changes
        data = await self._source.read(namespace, name)
        if data is not None and changes == self._changes:
            self._copies[namespace, name] = _Copy(now, data)
        return data

    def changed(self, namespace: str, name: str) -> None:
        """The Secret is another one now, or gone."""
        self._changes += 1
        self._copies.pop((namespace, name), None)
