"""Storage pools on hosts: made ready in the background, once for each connection, and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from controller.inventory.link import HostLink
from controller.inventory.outcomes import is_refusal
from controller.runtime.keys import Key
from controller.runtime.ports import NotLeader
from drivers.errors import DriverError
from drivers.types import ObservedPool, PoolSpec

CONCURRENCY = 16
RETRY = 30.0
REFUSED_RETRY = 300.0


@dataclass(frozen=True, slots=True)
class PoolFailure:
    """Why a pool is not usable on a host."""

    host: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a host said about a pool, and when; it holds for one epoch of one link. A failure is retried after `pause` seconds."""

    link: HostLink
    epoch: int
    spec: PoolSpec
    given: float
    answer: ObservedPool | PoolFailure
    pause: float = 0.0

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
        tasks = [task for host in hosts if (task := self._start(spec, host, older_than))]
        if not tasks:
            return
        _, slow = await asyncio.wait(tasks, timeout=patience)
        for task in slow:
            task.add_done_callback(lambda _: self._wake(Key("StoragePool", "", spec.name)))

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
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, pool: str, host: str) -> ObservedPool | PoolFailure | None:
        known = self._answers.get(pool, {}).get(host)
        link = self._link(host)
        return known.answer if known and link and link.up and known.holds(link, known.spec) else None

    def _start(self, spec: PoolSpec, host: str, older_than: float) -> asyncio.Task[None] | None:
        link = self._link(host)
        if link is None or not link.up:
            return None
        place = (spec.name, host)
        known = self._answers.get(spec.name, {}).get(host)
        settled = known is not None and known.holds(link, spec) and self._recent(known, older_than)
        if place not in self._running and not settled:
            task = self._running[place] = asyncio.get_running_loop().create_task(self._ensure(spec, link))
            task.add_done_callback(lambda _: self._running.pop(place, None))
        return self._running.get(place)

    def _recent(self, known: _Answer, older_than: float) -> bool:
        return self._clock() - known.given < (older_than if isinstance(known.answer, ObservedPool) else known.pause)

    async def _ensure(self, spec: PoolSpec, link: HostLink) -> None:
        async with self._slots.setdefault(spec.name, asyncio.Semaphore(CONCURRENCY)):
            epoch, pause = link.epoch, 0.0
            try:
                answer: ObservedPool | PoolFailure = await link.ensure_pool(spec)
            except DriverError as error:
                answer = PoolFailure(link.name, error.reason, str(error))
                pause = REFUSED_RETRY if is_refusal(error) else RETRY
            except NotLeader as error:
                answer, pause = PoolFailure(link.name, "NotLeader", str(error)), RETRY
            except Exception as error:
                self._log.error("unexpected failure in a driver", host=link.name, exc_info=error)
                answer, pause = PoolFailure(link.name, "InternalError", f"unexpected {type(error).__name__}"), RETRY
        self._answers.setdefault(spec.name, {})[link.name] = _Answer(link, epoch, spec, self._clock(), answer, pause)
