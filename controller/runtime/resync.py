"""Lists every kind whole: at the start, now and then, and after a gap in the watch.

A watch can miss a deletion (nothing is ever sent for an object that vanished while the connection was down), so the list
decides what exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from structlog.typing import FilteringBoundLogger

from controller.runtime.intake import Intake
from controller.runtime.keys import Key
from controller.runtime.ports import ApiError, Reader, Throttled

_SHORTEST, _LONGEST = 600.0, 900.0  # seconds between two lists of a kind
_SETTLE, _LONGEST_SETTLE = 1.0, 15.0  # a gap shows as many events: one list, after the last of them
_RETRY, _LONGEST_RETRY = 0.5, 8.0  # a server that comes back is found soon; a dozen kinds ask
_BATCH = 20  # objects between which others get their turn


class Resync:
    """Keeps the Store complete for some kinds."""

    def __init__(
        self, reader: Reader, intake: Intake, kinds: Sequence[str], random: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._kinds = kinds
        self._random = random
        self._log = log
        self._wanted = {kind: asyncio.Event() for kind in kinds}
        self._listed = {kind: asyncio.Event() for kind in kinds}
        self._versions: dict[str, str] = {}

    def request(self, kind: str) -> None:
        """Have a kind listed soon: its watch had a gap."""
        self._wanted[kind].set()

    def version(self, kind: str) -> str:
        """The version at which a kind was last listed whole, "" before the first time: a watch goes on from there."""
        return self._versions.get(kind, "")

    async def synced(self) -> None:
        """Return once every kind was listed whole."""
        for listed in self._listed.values():
            await listed.wait()

    @property
    def missing(self) -> Sequence[str]:
        """The kinds that have not been listed yet: the process isn't ready."""
        return [kind for kind, listed in self._listed.items() if not listed.is_set()]

    async def anew(self) -> None:
        """List every kind once more: the Store then holds all that was written before this was called."""
        await asyncio.gather(*(self._list_patiently(kind) for kind in self._kinds))

    async def run(self) -> None:
        """List until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._keep(kind))

    async def _keep(self, kind: str) -> None:
        while True:
            await self._list_patiently(kind)
            self._listed[kind].set()
            if await self._asked(kind, within=_SHORTEST + (_LONGEST - _SHORTEST) * self._random()):
                waited = _SETTLE
                while await self._asked(kind, within=_SETTLE) and waited < _LONGEST_SETTLE:
                    await asyncio.sleep(_SETTLE)
                    waited += _SETTLE

    async def _asked(self, kind: str, *, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._wanted[kind].wait()
        except TimeoutError:
            return False
        self._wanted[kind].clear()
        return True

    async def _list_patiently(self, kind: str) -> None:
        pause = _RETRY
        while True:
            try:
                await self._list(kind)
                return
            except ApiError as error:
                wait = max(pause, error.retry_after) if isinstance(error, Throttled) else pause
                self._log.warning("kind not listed", kind=kind, error=str(error), retry_after=wait)
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_RETRY)

    async def _list(self, kind: str) -> None:
        """Take in all objects of a kind, chunk by chunk, then drop what wasn't among them.  Raises ApiError."""
        seen: set[Key] = set()
        version = ""
        async for page in self._reader.list(kind):
            for number, raw in enumerate(page.items):
                metadata = raw["metadata"]
                seen.add(Key(kind, metadata.get("namespace") or "", metadata["name"]))
                self._intake.upsert(raw)
                if number % _BATCH == 0:
                    await asyncio.sleep(0)
            version = version or page.resource_version
        if version:
            self._intake.prune(kind, seen, version)
            self._versions[kind] = version
