"""What the runtime needs of the Kubernetes API, and the ways in which it can fail.

```
ApiError
├── Conflict      the object changed since it was read (409): read again, decide again
├── Gone          there is no such object, or another one under its name (404, other uid), or its namespace goes
├── Throttled     the server asks to come back later (429, 503 with Retry-After)
├── Unavailable   no answer, or a broken one: a write may or may not have happened
└── Rejected      the server refuses this write and will refuse it again (400, 403, 422)
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from controller.runtime.keys import Key

EventType = Literal["Normal", "Warning"]


class ApiError(Exception):
    """A call of the Kubernetes API failed."""


class Conflict(ApiError):
    """The object changed since it was read."""


class Gone(ApiError):
    """The object no longer exists under this uid."""


class Throttled(ApiError):
    """The server asks for a pause of `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ApiError):
    """No usable answer: whether a write happened is unknown."""


class Rejected(ApiError):
    """The server refuses the request for good."""


class NotLeader(Exception):
    """Another process leads: nothing may be changed any more."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A Kubernetes Event to be written."""

    key: Key
    uid: str
    type: EventType
    reason: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One chunk of a LIST: raw objects, and the resourceVersion of the whole list."""

    items: Sequence[Mapping[str, Any]]
    resource_version: str


class Writer(Protocol):
    """Writes to one object.  Each returns the object as the server stored it; each may raise any `ApiError`.

    `uid` and `resource_version` are preconditions: another object of that name raises Gone, a newer version Conflict.
    `patch` is a JSON merge patch (RFC 7386) of the status, or of the metadata, alone.
    """

    async def patch_status(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge `patch` into `status`, through the status subresource."""
        ...

    async def patch_metadata(self, key: Key, uid: str, resource_version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge `patch` into `metadata`."""
        ...

    async def create_event(self, event: EventRecord) -> str:
        """Create a Kubernetes Event about an object; return its name."""
        ...

    async def repeat_event(self, event: EventRecord, name: str, count: int) -> None:
        """Note on the Event of that name that it has now happened `count` times, the last time at `event.at`."""
        ...


class Reader(Protocol):
    """Reads that go to the API server, past the Store."""

    async def get(self, key: Key) -> Mapping[str, Any]:
        """Return the object as it is now.  Raises Gone, Throttled, Unavailable, Rejected."""
        ...

    def list(self, kind: str) -> AsyncIterator[Page]:
        """Yield all objects of a kind in chunks of one consistent list.

        Raises Conflict when the list expired midway (410), Throttled, Unavailable.
        """
        ...


class Api(Reader, Writer, Protocol):
    """Everything the manager asks of the API server."""
