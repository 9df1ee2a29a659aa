"""Calls to hypervisors that may take an hour, where a reconcile may not: they go on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from controller.inventory import HostLink
from controller.runtime.keys import Key
from controller.shared.patience import Patience
from drivers.types import Done, Started

MOMENT = 5.0
"""Seconds for which a reconcile waits: most calls are through by then."""

Outcome = Done | Started


@dataclass(frozen=True, slots=True)
class _Call:
    task: asyncio.Task[Outcome]
    link: HostLink
    epoch: int
    certain: bool


class Calls:
    """Calls under way and their outcomes, by the uid of the object that they are made for, one at a time for each.

    All of it is lost with the process. The next one makes the call again, which drivers take as the same one.
    """

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self.patience = Patience()
        self._wake = wake
        self._calls: dict[str, _Call] = {}
        self._left: set[asyncio.Task[Outcome]] = set()

    async def make(
        self, key: Key, uid: str, link: HostLink, call: Callable[[], Awaitable[Outcome]], *, certain: bool = False
    ) -> Outcome | None:
        """Make a call through `link`, and wait for it a moment.

        None: it goes on, `key` is woken at its end, and `take` has the outcome then. `certain` is kept for who asks then.

        Raises what the call raises.
        """
        task = asyncio.ensure_future(_awaited(call))
        self._calls[uid] = _Call(task, link, link.epoch, certain)
        try:
            await asyncio.wait({task}, timeout=MOMENT)
        finally:
            if not task.done():
                task.add_done_callback(lambda _: self._wake(key))
        return self.take(uid)

    def under_way(self, uid: str) -> bool:
        """Whether a call goes on."""
        return uid in self._calls and not self._calls[uid].task.done()

    def certain(self, uid: str) -> bool:
        """What `make` was told of the call whose outcome was not taken yet."""
        return uid in self._calls and self._calls[uid].certain

    def leave(self, uid: str, link: HostLink) -> bool:
        """Wait no more for a call if it was made through anything but `link` as it is connected now: no answer can come.

        Whether there was one: the hypervisor may still be at work on it.
        """
        known = self._calls.get(uid)
        if known is None or (known.link is link and known.epoch == link.epoch):
            return False
        self._drop(uid)
        return True

    def take(self, uid: str) -> Outcome | None:
        """The outcome of a call that has ended, once; None if there is none. Raises what the call raised."""
        if uid not in self._calls or self.under_way(uid):
            return None
        return self._calls.pop(uid).task.result()

    def forget(self, uid: str) -> None:
        """The object is gone, and nobody asks any more how its call ends."""
        self.patience.forget(uid)
        self._drop(uid)

    async def close(self) -> None:
        """Wait for no call any more."""
        tasks = [*(call.task for call in self._calls.values()), *self._left]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _drop(self, uid: str) -> None:
        call = self._calls.pop(uid, None)
        if call is not None:
            self._left.add(call.task)
            call.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that nobody reports it as lost


async def _awaited(call: Callable[[], Awaitable[Outcome]]) -> Outcome:
    return await call()
