"""Storage pools on hosts: made ready and let go in the background, once for each connection, and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from structlog.typing import FilteringBoundLogger

from controller.inventory.link import HostLink
from controller.inventory.outcomes import is_refusal
from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader
from drivers.errors import Conflict, DriverError
from drivers.types import ObservedPool, PoolSpec

CONCURRENCY = 16
RETRY = 30.0
REFUSED_RETRY = 300.0
LONGEST = 600.0
"""Seconds after which nothing is waited for any more: longer than any call takes."""


@dataclass(frozen=True, slots=True)
class PoolFailure:
    """Why a pool is not usable on a host, or still there. `definite`: it will be refused again until something changes there."""

    host: str
    reason: str
    message: str
    definite: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a host said about a pool, and when; it holds for one epoch of one link. A failure is retried after `pause` seconds.

    `released`: it was asked to let the pool go; None as the answer says that it has.
    """

    link: HostLink
    epoch: int
    spec: PoolSpec
    given: float
    answer: ObservedPool | PoolFailure | None
    pause: float = 0.0
    released: bool = False

    def holds(self, link: HostLink, spec: PoolSpec) -> bool:
        return self.link is link and self.epoch == link.epoch and self.spec == spec


class PoolRegistry:
    """Which pool is ready on which host. Nothing of it is durable: it is asked for again after a restart.

    `link` gives the link of a Host, `wake` puts a key on the queue, `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        link: Callable[[str], HostLink | None],
        wake: Callable[[Key], None],
        clock: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._link = link
        self._wake = wake
        self._clock = clock
        self._log = log
        self._answers: dict[str, dict[str, _Answer]] = {}
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._leaving: WeakSet[HostLink] = WeakSet()
        self._looks: set[asyncio.Task[list[PoolFailure]]] = set()
        self._slots: dict[str, asyncio.Semaphore] = {}

    def ready(self, pool: str, host: str) -> ObservedPool | None:
        """The pool as the host reported it; None while it is not usable there."""
        known = self._known(pool, host)
        return known if isinstance(known, ObservedPool) else None

    def failure(self, pool: str, host: str) -> PoolFailure | None:
        """Why the pool is not usable on a host that is up, as last tried; None if it is, or was not tried yet."""
        known = self._known(pool, host)
        return known if isinstance(known, PoolFailure) else None

    async def ensure(self, spec: PoolSpec, hosts: Iterable[str], *, older_than: float, patience: float) -> None:
        """Make the pool ready on these hosts where that was not done for the present connection.

        An answer older than `older_than` seconds is asked for again. Returns after `patience` seconds at the latest; what takes
        longer goes on in the background and wakes the pool when it ends.
        """
        await self._wait(spec.name, [self._start(spec, host, older_than) for host in hosts], patience)

    async def look(self, spec: PoolSpec, host: str, *, older_than: float, patience: float) -> ObservedPool | None:
        """The pool as the host reports it; None while it is not usable there, or has not answered within `patience` seconds.

        An answer older than `older_than` seconds is asked for again; those who look at the same time share one.
        """
        begun = self._clock()
        await self.ensure(spec, [host], older_than=older_than, patience=patience)
        known = self._answers.get(spec.name, {}).get(host)
        recent = known is not None and known.spec == spec and begun - known.given <= older_than
        return self.ready(spec.name, host) if recent else None

    async def release(self, spec: PoolSpec, hosts: Collection[str], *, patience: float) -> list[PoolFailure]:
        """Have those of these hosts that are up let a pool go, where it is just being made ready as soon as that has ended.

        Returns where it still is, and why. What takes longer than about `patience` seconds goes on and wakes the pool when it ends.
        """
        await self._wait(spec.name, [self._running.get((spec.name, host)) for host in hosts], patience)
        await self._wait(spec.name, [self._start_release(spec, host) for host in hosts], patience)
        return [left for host in hosts if (left := self._left(spec, host))]

    def releasing(self, pool: str) -> bool:
        """Whether hosts have been asked to let a pool go."""
        return any(known.released for known in self._answers.get(pool, {}).values())

    def tidy(self, link: HostLink, declared: Callable[[PoolSpec], bool]) -> asyncio.Task[list[PoolFailure]]:
        """Have a host let go of all pools that it has of ours but those `declared`; the task returns what stays, and why."""
        task = asyncio.get_running_loop().create_task(self._tidy(link, declared))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        return task

    def leave(self, link: HostLink) -> asyncio.Task[list[PoolFailure]]:
        """Have a host let go of all pools that it has of ours, and make none ready there any more; see `tidy`."""
        self._leaving.add(link)
        return self.tidy(link, lambda _: False)

    def next_try(self, pool: str) -> float | None:
        """In how many seconds a failure on a host that is up is to be tried again; None if there is none."""
        answers = self._answers.get(pool, {})
        due = [known.given + known.pause for host, known in answers.items() if self.failure(pool, host)]
        return max(0.0, min(due) - self._clock()) if due else None

    def forget(self, pool: str) -> None:
        """The pool is gone."""
        self._answers.pop(pool, None)
        self._slots.pop(pool, None)
        for (name, _), task in list(self._running.items()):
            if name == pool:
                task.cancel()

    async def close(self) -> None:
        """End what still runs."""
        tasks: list[asyncio.Task[Any]] = [*self._running.values(), *self._looks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, pool: str, host: str) -> ObservedPool | PoolFailure | None:
        known = self._answers.get(pool, {}).get(host)
        link = self._link(host)
        return known.answer if known and link and link.up and known.holds(link, known.spec) else None

    async def _wait(self, pool: str, begun: Iterable[asyncio.Task[None] | None], patience: float) -> None:
        """Wait for tasks of a pool, which is woken when one that takes longer ends."""
        tasks = [task for task in begun if task]
        if not tasks:
            return
        _, slow = await asyncio.wait(tasks, timeout=patience)
        for task in slow:
            task.add_done_callback(lambda _: self._wake(_key(pool)))

    def _start(self, spec: PoolSpec, host: str, older_than: float) -> asyncio.Task[None] | None:
        link = self._link(host)
        if link is None or not link.up or link in self._leaving:
            return None
        known = self._answers.get(spec.name, {}).get(host)
        if known and not known.released and known.holds(link, spec) and self._recent(known, older_than):
            return self._running.get((spec.name, host))
        return self._run(spec, link, release=False)

    def _start_release(self, spec: PoolSpec, host: str) -> asyncio.Task[None] | None:
        link = self._link(host)
        if link is None or not link.up:
            return None
        known = self._answers.get(spec.name, {}).get(host)
        if known and known.released and known.holds(link, spec) and (known.answer is None or self._recent(known, 0.0)):
            return self._running.get((spec.name, host))
        return self._run(spec, link, release=True)

    def _run(self, spec: PoolSpec, link: HostLink, *, release: bool) -> asyncio.Task[None]:
        """What is under way for a pool on a host, or this."""
        place = (spec.name, link.name)
        if place not in self._running:
            task = self._running[place] = asyncio.get_running_loop().create_task(self._ask(spec, link, release=release))
            task.add_done_callback(lambda _: self._running.pop(place, None))
        return self._running[place]

    def _recent(self, known: _Answer, older_than: float) -> bool:
        return self._clock() - known.given < (older_than if isinstance(known.answer, ObservedPool) else known.pause)

    def _left(self, spec: PoolSpec, host: str) -> PoolFailure | None:
        """Why a host that is up has not let a pool go."""
        link = self._link(host)
        if link is None or not link.up:
            return None
        known = self._answers.get(spec.name, {}).get(host)
        if (spec.name, host) in self._running or known is None or not (known.released and known.holds(link, spec)):
            return PoolFailure(host, "Releasing", "it is being let go")
        return known.answer if isinstance(known.answer, PoolFailure) else None

    async def _tidy(self, link: HostLink, declared: Callable[[PoolSpec], bool]) -> list[PoolFailure]:
        left: list[PoolFailure] = []
        begun = [task for (_, host), task in self._running.items() if host == link.name] if link in self._leaving else []
        try:
            if begun:
                await asyncio.wait(begun, timeout=LONGEST)
            for spec in await link.list_pools():
                if not declared(spec) and (spec.name, link.name) not in self._running:  # something is done about one that is
                    left += await self.release(spec, [link.name], patience=LONGEST)
                    self._answers.get(spec.name, {}).pop(link.name, None)
                    self._wake(_key(spec.name))  # one of that name may have waited for its place
        except (DriverError, NotLeader) as error:
            left.append(PoolFailure(link.name, getattr(error, "reason", "NotLeader"), str(error)))
        except Exception as error:
            self._log.error("unexpected failure in a driver", host=link.name, exc_info=error)
            left.append(PoolFailure(link.name, "InternalError", f"unexpected {type(error).__name__}"))
        for failure in left:
            self._log.info("pools not let go", host=link.name, reason=failure.reason, error=failure.message)
        return left

    async def _ask(self, spec: PoolSpec, link: HostLink, *, release: bool) -> None:
        async with self._slots.setdefault(spec.name, asyncio.Semaphore(CONCURRENCY)):
            epoch, pause = link.epoch, 0.0
            answer: ObservedPool | PoolFailure | None = None
            try:
                if release:
                    await link.release_pool(spec)
                else:
                    answer = await link.ensure_pool(spec)
            except DriverError as error:
                definite = is_refusal(error) or (release and isinstance(error, Conflict))
                answer = PoolFailure(link.name, error.reason, str(error), definite)
                pause = REFUSED_RETRY if is_refusal(error) else RETRY
            except NotLeader as error:
                answer, pause = PoolFailure(link.name, "NotLeader", str(error)), RETRY
            except Exception as error:
                self._log.error("unexpected failure in a driver", host=link.name, exc_info=error)
                answer, pause = PoolFailure(link.name, "InternalError", f"unexpected {type(error).__name__}"), RETRY
        self._answers.setdefault(spec.name, {})[link.name] = _Answer(link, epoch, spec, self._clock(), answer, pause, release)


def _key(pool: str) -> Key:
    return Key("StoragePool", "", pool)
