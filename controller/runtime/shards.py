"""The work divided into shards, each with a Lease of its own: at most one process works on a shard at a time.

Shard 0 has the Lease of an undivided control plane, which records the number of shards: so a process that divides the work and one
that doesn't, or divides it otherwise, exclude each other.  The others are taken only while that number is ours.  To change it,
the holder of shard 0 first records that it is being changed, which lets nobody take another shard, then waits until it has had
each of the old ones, and then records the new number.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.lease import LeaderElector, LeasePort, LeaseTimes
from controller.runtime.ports import ApiError, NotLeader
from controller.runtime.scope import current

LOOKS = 4
"""How often in a `LeaseTimes.period` one looks who has which Lease: one given back is taken up soon, and a look is no write."""

PATIENCE = 0.7
"""Seconds for which a Lease that was given back must stay free before somebody who has shards takes it as well: longer than anybody
takes from one look to the next. Once for those who may have none, and once more for each sort of those known to have fewer."""

SOON = 5
"""How many times as often one looks while somebody who has a Lease is about to end."""

HASTE = 0.25
"""Seconds that take the place of `PATIENCE`, from when the Lease is given back, if that was foreseen for so long."""

ASK_AGAIN = 10.0
"""Seconds between two requests for a shard, and for which one that was given away on request is not taken back."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the holder of shards does about each.

    `prepare` learns all that former holders have written; `begin` starts the work; `finish` ends it and tells whether nothing of
    it is under way any more.
    """

    prepare: Callable[[int], Awaitable[None]]
    begin: Callable[[int], None]
    finish: Callable[[int], Awaitable[bool]]


class Shards:
    """The Leases of all shards, as one process sees them, for one term: once one of them is lost, nothing is done any more."""

    def __init__(
        self,
        ports: Sequence[LeasePort],
        extra: Callable[[int], LeasePort],
        identity: str,
        times: LeaseTimes,
        clock: Clock,
        random: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        """One port for each shard; `extra(number)` is the port of a shard of another division."""
        count = len(ports)
        make = partial(LeaderElector, identity=identity, times=times, clock=clock, random=random)
        self._rival: Callable[[int], LeaderElector] = lambda number: make(port=extra(number), log=log)
        self._electors = [make(port=ports[0], log=log, shards=count)]
        self._electors += [make(port=port, log=log, permit=self._undisputed) for port in ports[1:]]
        self._main = ports[0]
        self._identity = identity
        self._times = times
        self._clock = clock
        self._random = random
        self._log = log
        self._active: set[int] = set()
        self._holding: dict[int, asyncio.Task[None]] = {}
        self._lost = asyncio.Event()
        self._retiring = False
        self._free_since: dict[int, float] = {}
        self._foreseen_since: dict[int, float] = {}
        self._given: dict[int, float] = {}
        self._asked_at = clock.monotonic() - ASK_AGAIN

    @property
    def count(self) -> int:
        """How many shards there are."""
        return len(self._electors)

    @property
    def is_leader(self) -> bool:
        """Whether this process holds any shard now."""
        return any(each.is_leader for each in self._electors)

    def holds(self, shard: int) -> bool:
        """Whether this process holds the Lease of a shard now."""
        return self._electors[shard].is_leader

    def works_on(self, shard: int) -> bool:
        """Whether this process may work on the objects of a shard: it holds the Lease, and knows what others did before."""
        return shard in self._active and self._electors[shard].is_leader

    def check(self) -> None:
        """Raise NotLeader unless this process holds the shard of what is being reconciled here; any shard, if nothing is.

        The fence before each write and each call of a hypervisor.  Thread-safe.
        """
        scope = current()
        if scope is not None:
            self._electors[scope.shard].check()
        elif not self.is_leader:
            raise NotLeader(f"{self._identity} holds no lease")

    async def acquire(self) -> None:
        """Return once this process holds a shard.  Raises Restored."""
        while not await self._take_any():
            await self._ask_for_one()
            await asyncio.sleep(self._pause())

    async def hold(self, hooks: Hooks) -> None:
        """Keep what is held, take what stays free, give away what others ask for; return once any of it is lost.

        Raises Restored.
        """
        extending = asyncio.create_task(self._extend(hooks))
        losing = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait([extending, losing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._active.clear()
            for task in (extending, losing):
                task.cancel()
            await asyncio.gather(extending, losing, return_exceptions=True)
        for task in (extending, *self._holding.values()):
            if task.done() and not task.cancelled():
                task.result()

    def retire(self) -> None:
        """Keep what is held, and take and give away nothing any more: this process is about to end."""
        self._retiring = True
        for number in self._holding:
            self._electors[number].end()

    async def release(self) -> None:
        """Give all back; best effort."""
        self._active.clear()
        tasks = list(self._holding.values())
        self._holding.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.release() for each in self._electors))

    # Taking

    async def _take_any(self) -> bool:
        for number, elector in enumerate(self._electors):
            if await elector.attempt():
                if number == 0 and not await self._agreed():
                    return False
                self._keep(number)
                return True
        return False

    def _keep(self, number: int) -> None:
        """Renew the Lease of a shard from now on."""
        self._forget(number)
        task = self._holding[number] = asyncio.create_task(self._electors[number].hold())
        task.add_done_callback(lambda ended: self._lost.set() if self._holding.get(number) is ended else None)

    async def _agreed(self) -> bool:
        """Have our number of shards recorded, once nobody works on a shard of another division.  Raises Restored."""
        main = self._electors[0]
        if main.shards == self.count:
            return True
        before = abs(main.shards)
        if before == self.count:  # somebody began to change it and never came to its end: those at work have our number
            return await main.declare(self.count)
        self._log.warning("the number of shards changes", before=before, after=self.count)
        if before > 1 and not (await main.declare(-before) and await self._had(range(1, before))):
            return False
        return await main.declare(self.count)

    async def _had(self, numbers: Sequence[int]) -> bool:
        """Take each of these shards once, however long others hold it, while shard 0 is ours."""
        renewing = asyncio.create_task(self._electors[0].hold())
        try:
            for number in numbers:
                rival = self._rival(number)
                taking = asyncio.create_task(rival.acquire())
                try:
                    await asyncio.wait([taking, renewing], return_when=asyncio.FIRST_COMPLETED)
                    if renewing.done():
                        return False
                    taking.result()
                finally:
                    taking.cancel()
                    await asyncio.gather(taking, return_exceptions=True)
                    await rival.release()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        return await self._electors[0].attempt()  # a renewal that was cut short may have been written

    async def _undisputed(self) -> bool:
        """Whether the number of shards on record is ours."""
        try:
            return (await self._main.get()).shards == self.count
        except ApiError:
            return False

    # Holding several

    async def _extend(self, hooks: Hooks) -> None:
        while not self._retiring:
            for number in sorted(self._holding.keys() - self._active):
                await self._begin(number, hooks)
            await self._give_away(hooks)
            wait = await self._take_what_stays_free()
            await self._ask_for_one()
            if not self._holding.keys() - self._active:
                await asyncio.sleep(min(wait, self._pause()))
        await self._lost.wait()

    async def _begin(self, number: int, hooks: Hooks) -> None:
        await hooks.prepare(number)
        if not self._retiring:
            self._active.add(number)
            self._log.info("shard taken over", shard=number)
            hooks.begin(number)

    async def _give_away(self, hooks: Hooks) -> None:
        """Let another process have a shard that it asks for, if this one has more than one; never shard 0."""
        for number in sorted(self._active, reverse=True):
            wanted_by, self._electors[number].wanted_by = self._electors[number].wanted_by, ""
            if not wanted_by or number == 0 or len(self._holding) < 2:
                continue
            self._log.info("shard given away", shard=number, to=wanted_by)
            self._active.discard(number)
            if not await hooks.finish(number):
                self._lost.set()
                return
            task = self._holding.pop(number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._electors[number].release()
            self._given[number] = self._clock.monotonic()

    async def _take_what_stays_free(self) -> float:
        """Take a shard that nobody else took while it was free; return in how many seconds another may be taken."""
        wait = math.inf
        for number, elector in enumerate(self._electors):
            if self._retiring or number in self._holding or not await elector.look():
                continue
            left = self._left_to_others(number, elector)
            if left > 0:
                wait = min(wait, left)
            elif number == 0 and elector.shards not in (self.count, 1):
                self._lost.set()  # its number can be changed only while nobody holds any shard
                break
            elif await elector.attempt():
                if number == 0 and not await self._agreed():
                    self._lost.set()
                    break
                self._keep(number)
                break
        return wait

    def _left_to_others(self, number: int, elector: LeaderElector) -> float:
        """For how many more seconds others, who have less, may take a shard before this process does."""
        if elector.holder == self._identity:
            return 0.0  # of this name's former process
        now = self._clock.monotonic()
        if elector.ending:
            self._foreseen_since.setdefault(number, now)
            return math.inf
        if elector.holder:
            self._forget(number)
            return math.inf
        since = self._free_since.setdefault(number, now)
        given = self._given.get(number, -math.inf)
        turns = self._sorts_with_fewer() - elector.abandoned  # one that died has let everybody wait already
        foreseen = max(self._foreseen_since.get(number, math.inf) + PATIENCE * turns, since + HASTE * turns)
        return max(min(since + PATIENCE * turns, foreseen), given + ASK_AGAIN) - now

    def _forget(self, number: int) -> None:
        """Forget that a shard was free."""
        self._free_since.pop(number, None)
        self._foreseen_since.pop(number, None)

    def _sorts_with_fewer(self) -> int:
        """How many different numbers of shards, below this process's own, others have, as last seen; none at all is one of them."""
        theirs = Counter(each.holder for number, each in enumerate(self._electors) if number not in self._holding)
        fewer = {count for holder, count in theirs.items() if holder not in ("", self._identity)}
        return 1 + sum(count < len(self._holding) for count in fewer)

    async def _ask_for_one(self) -> None:
        """Ask whoever has at least two shards more than this process for one of them."""
        now = self._clock.monotonic()
        if now - self._asked_at < ASK_AGAIN:
            return
        theirs: dict[str, list[int]] = {}
        for number, elector in enumerate(self._electors):
            if number not in self._holding and elector.holder not in ("", self._identity):
                theirs.setdefault(elector.holder, []).append(number)
        most = max(theirs.values(), key=len, default=[])
        if len(most) >= len(self._holding) + 2:
            self._asked_at = now
            await self._electors[max(most)].ask()

    def _pause(self) -> float:
        pace = LOOKS * SOON if any(each.ending for each in self._electors) else LOOKS
        return self._times.period / pace * (0.8 + 0.4 * self._random())
