"""Leader election over a coordination.k8s.io Lease: at most one process writes at a time, as client-go's leaderelection does
it.

Safety needs no synchronised clocks: a candidate waits until it has seen the same lease unchanged for `duration` on its own
monotonic clock, and a leader counts itself out `deadline` after the start of its last successful renewal, `deadline` being
shorter than `duration`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.ports import ApiError, Conflict, Gone, NotLeader


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The spec of a Lease, with the resourceVersion that an update is conditional on ("" for one to be created).

    `shards`: into how many shards the work is divided, negative while that is being changed (see `shards`). `wanted_by`: the
    candidate that would like to have the lease from a holder of several. `ending`: the holder will give it back soon.
    """

    holder: str
    duration: int
    acquired_at: datetime | None
    renewed_at: datetime | None
    transitions: int
    resource_version: str
    shards: int = 1
    wanted_by: str = ""
    ending: bool = False


class LeasePort(Protocol):
    """Reads and writes one Lease."""

    async def get(self) -> LeaseRecord:
        """Return the lease.  Raises Gone when there is none, Unavailable, Throttled, Rejected."""
        ...

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Create the lease.  Raises Conflict when there is one by now."""
        ...

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        """Replace the lease that has `record.resource_version`.  Raises Conflict when it changed."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds: `duration` after which others may take an unrenewed lease, `deadline` after which its holder gives up, `period`
    between tries.
    """

    duration: int = 15
    deadline: float = 10.0
    period: float = 2.0


class Restored(Exception):
    """The lease is older than it was: the API server's data was replaced by a backup, and whatever is known of it is wrong."""


class LeaderElector:
    """One candidate for one lease, for as long as nothing it knows goes back in time."""

    def __init__(
        self,
        port: LeasePort,
        identity: str,
        times: LeaseTimes,
        clock: Clock,
        random: Callable[[], float],
        log: FilteringBoundLogger,
        *,
        shards: int = 1,
        permit: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`identity` is unique to this process; `random` gives floats in [0, 1) and spreads the tries.

        `shards` is recorded on a lease that is created; one that exists keeps what it has. `permit()` is asked after the lease
        was read and before it is taken: whether this candidate may have it at all.
        """
        self.wanted_by = ""
        self._shards = shards
        self._permit = permit
        self._port = port
        self._identity = identity
        self._times = times
        self._clock = clock
        self._random = random
        self._log = log
        self._seen: LeaseRecord | None = None
        self._seen_at = clock.monotonic()
        self._held_until: float | None = None
        self._newest = 0
        self._ending = False
        self._woken = asyncio.Event()

    @property
    def is_leader(self) -> bool:
        """Whether this process may act now; turns false by the clock alone when renewals fail or the process was paused."""
        return self._held_until is not None and self._clock.monotonic() < self._held_until

    def check(self) -> None:
        """Raise NotLeader unless this process may act now: the fence before each write and each call of a hypervisor.

        Thread-safe.
        """
        if not self.is_leader:
            raise NotLeader(f"{self._identity} does not hold the lease")

    @property
    def shards(self) -> int:
        """What the lease, as last read or written, records as the number of shards."""
        return self._seen.shards if self._seen else self._shards

    @property
    def holder(self) -> str:
        """Who had the lease when it was last looked at, "" if nobody, or somebody who has not renewed it in time."""
        return "" if self._seen is None or self._expired(self._seen) else self._seen.holder

    @property
    def abandoned(self) -> bool:
        """Whether somebody has the lease, as last looked at, who has not renewed it in time."""
        return self._seen is not None and bool(self._seen.holder) and self._expired(self._seen)

    @property
    def ending(self) -> bool:
        """Whether somebody else has the lease, as last looked at, and is about to give it back."""
        return self.holder not in ("", self._identity) and self._seen is not None and self._seen.ending

    async def acquire(self) -> None:
        """Return once this process leads.  Raises Restored."""
        led = await self.attempt()
        while not led:
            await asyncio.sleep(self._pause() / 2)  # a lease given back is taken up soon; a look costs no write
            led = await self.attempt()

    async def look(self) -> bool:
        """See who has the lease, without taking it; False if that can't be found out now.  Raises Restored."""
        try:
            found = await self._port.get()
        except Gone:
            self._seen = None
            return True
        except ApiError as error:
            self._log.info("lease not read", error=str(error))
            return False
        self._check_order(found)
        self._look_at(found)
        return True

    async def ask(self) -> None:
        """Ask the holder for the lease; best effort."""
        try:
            found = await self._port.get()
            self._look_at(await self._port.update(replace(found, wanted_by=self._identity)))
        except ApiError as error:
            self._log.info("lease not asked for", error=str(error))

    async def declare(self, shards: int) -> bool:
        """Record another number of shards on the lease, which this process holds and is not renewing meanwhile; tell whether
        that worked.
        """
        asked_at = self._clock.monotonic()
        if self._seen is None or not self.is_leader:
            return False
        try:
            written = await self._port.update(replace(self._seen, shards=shards, renewed_at=self._clock.now()))
        except ApiError as error:
            self._log.warning("number of shards not written", error=str(error))
            return False
        self._newest = int(written.resource_version)
        self._seen, self._held_until = written, asked_at + self._times.deadline
        return True

    def end(self) -> None:
        """Tell the others, with a renewal at once, that this process will soon give the lease back."""
        self._ending = True
        self._woken.set()

    async def hold(self) -> None:
        """Renew; return once the lease is lost, also if a renewal came too late.  Raises Restored, when it is lost too.

        What the fence has refused since is not tried again: whoever holds the lease begins anew.
        """
        while self.is_leader:
            await self._rest(min(self._pause(), self._left()))
            until = self._held_until or 0.0
            try:
                async with asyncio.timeout(self._left()):
                    await self.attempt()
            except TimeoutError:
                break
            if self._clock.monotonic() >= until:  # the process stood still, and heard of the renewal before its own alarm
                break
        self._held_until = None
        self._log.warning("lease lost", identity=self._identity)

    async def release(self) -> None:
        """Give the lease back, so that another candidate needn't wait for it to expire; best effort, nothing when it isn't
        held.
        """
        if not self.is_leader or self._seen is None:
            return
        self._held_until = None
        try:
            self._look_at(await self._port.update(self._freed(self._seen)))
        except Conflict:  # asked for meanwhile, or a renewal was cut short and is written
            await self._release_anew()
        except ApiError as error:
            self._log.info("lease not given back, it will expire", error=str(error))

    async def _release_anew(self) -> None:
        try:
            found = await self._port.get()
            if found.holder == self._identity:
                self._look_at(await self._port.update(self._freed(found)))
        except ApiError as error:
            self._log.info("lease not given back, it will expire", error=str(error))

    def _freed(self, record: LeaseRecord) -> LeaseRecord:
        now = self._clock.now()
        return replace(record, holder="", duration=1, acquired_at=now, renewed_at=now, wanted_by="", ending=False)

    async def attempt(self) -> bool:
        """Take the lease, or renew it; tell whether that worked.  Raises Restored."""
        asked_at = self._clock.monotonic()
        try:
            written = await self._renew() if self.is_leader else None
            written = written or await self._take()
        except ApiError as error:
            self._log.warning("lease not written", error=str(error))
            return False
        if written is None:
            self._held_until = None
            return False
        self._check_order(written)
        if not self.is_leader:
            self._log.info("lease acquired", identity=self._identity, transitions=written.transitions)
        self._seen, self._held_until = written, asked_at + self._times.deadline
        return True

    async def _renew(self) -> LeaseRecord | None:
        """Renew on what was last written, without reading; None when it is no longer that.  Raises ApiError."""
        assert self._seen is not None
        try:
            return await self._port.update(replace(self._seen, renewed_at=self._clock.now(), ending=self._ending))
        except (Conflict, Gone):
            return None

    async def _take(self) -> LeaseRecord | None:
        """Write ourselves as the holder if the lease is free, ours or expired, else None.  Raises ApiError."""
        now = self._clock.now()
        mine = LeaseRecord(self._identity, self._times.duration, now, now, 0, "", self._shards, ending=self._ending)
        try:
            found = await self._port.get()
        except Gone:
            return await self._port.create(mine) if await self._permitted() else None
        self._check_order(found)
        self._look_at(found)
        if found.holder not in ("", self._identity) and not self._expired(found):
            return None
        changed = found.holder != self._identity
        if not self.is_leader and not await self._permitted():
            return None
        self.wanted_by = "" if changed else found.wanted_by
        counted = found.transitions + changed
        return await self._port.update(
            replace(mine, transitions=counted, resource_version=found.resource_version, shards=found.shards)
        )

    async def _permitted(self) -> bool:
        return self._permit is None or await self._permit()

    def _look_at(self, found: LeaseRecord) -> None:
        if self._seen is None or self._seen.resource_version != found.resource_version:
            self._seen, self._seen_at = found, self._clock.monotonic()

    def _check_order(self, record: LeaseRecord) -> None:
        """Versions of one API server's objects only grow, and reads of single objects are never stale.  Raises Restored."""
        version = int(record.resource_version)
        if version < self._newest:
            self._held_until = None
            text = f"the lease has resourceVersion {version}, and had {self._newest} before: the API server's data was restored"
            self._log.error("everything is begun anew", reason=text)
            raise Restored(text)
        self._newest = version

    def _expired(self, found: LeaseRecord) -> bool:
        return self._clock.monotonic() >= self._seen_at + found.duration

    async def _rest(self, seconds: float) -> None:
        """Wait for so long, or until there is something to tell."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def _pause(self) -> float:
        return self._times.period * (0.8 + 0.4 * self._random())

    def _left(self) -> float:
        return max(0.0, (self._held_until or 0.0) - self._clock.monotonic())
