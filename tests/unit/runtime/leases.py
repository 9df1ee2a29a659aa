"""A Lease in memory, and ways to it that fail at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from controller.runtime.lease import LeaseRecord
from controller.runtime.ports import Conflict, Gone, Unavailable


class Server:
    """One lease with optimistic concurrency."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.version = 0
        self.writes = 0

    def store(self, record: LeaseRecord) -> LeaseRecord:
        self.version += 1
        self.writes += 1
        self.record = replace(record, resource_version=str(self.version))
        return self.record


class Line:
    """One candidate's way to the server: `trouble()` says what happens to the next request."""

    def __init__(self, server: Server, trouble: Callable[[], str] = lambda: "") -> None:
        self.server = server
        self.trouble = trouble
        self.requests = 0

    async def _deliver(self) -> bool:
        self.requests += 1
        trouble = self.trouble()
        await asyncio.sleep(40 if trouble == "hang" else 0.01)
        if trouble in ("down", "hang"):
            raise Unavailable("no answer")
        return trouble == "lost"

    async def get(self) -> LeaseRecord:
        await self._deliver()
        if self.server.record is None:
            raise Gone("no lease")
        return self.server.record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        lost = await self._deliver()
        if self.server.record is not None:
            raise Conflict("exists")
        return self._reply(self.server.store(record), lost)

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        lost = await self._deliver()
        if self.server.record is None or self.server.record.resource_version != record.resource_version:
            raise Conflict("changed")
        return self._reply(self.server.store(record), lost)

    def _reply(self, record: LeaseRecord, lost: bool) -> LeaseRecord:
        if lost:
            raise Unavailable("reply lost")
        return record
