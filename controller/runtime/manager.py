"""Runs the reconcilers: changes in, keys queued, workers, results, and the next look at each object."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from controller.runtime.attempt import Attempt, Options
from controller.runtime.clock import Clock
from controller.runtime.intake import Intake, Writes, refresh
from controller.runtime.keys import Key
from controller.runtime.metrics import Metrics
from controller.runtime.objects import ConditionFactory
from controller.runtime.ports import Api, ApiError, Conflict, Gone, NotLeader, Rejected, Throttled
from controller.runtime.queue import Closed, Priority, Queue
from controller.runtime.reconciler import Reconciler
from controller.runtime.recorder import Record, Recorder
from controller.runtime.results import Done, Failed, Requeue, Result, Waiting, done
from controller.runtime.store import Change, Part, Store, Unparsable
from controller.runtime.triggers import Triggers
from controller.runtime.unfinished import Unfinished

_LOOK = 0.02
_CALM_LOOKS = 0.25
_LAST_EVENTS = 0.3  # seconds given to Events that still wait at a stop: whoever takes over waits too

Spectator = Callable[[Key], Awaitable[float | None]]
"""Takes note of an object that another process works on; returns in how many seconds to do so again, None for after a change.
May raise anything: it is called again later."""

Witness = Callable[[Change, Record], None]
"""Told of each change that this process wrote itself, and of each object that goes while it reconciles; and by what to have
Kubernetes Events written about it."""


class Division(Protocol):
    """Who works on what, when several processes share the work."""

    def shard(self, key: Key) -> int:
        """The shard that an object is in, by what is known of it now; 0 for one that is gone."""
        ...

    def works_on(self, shard: int) -> bool:
        """Whether this process may work on it now."""
        ...


class Undivided:
    """One process works on everything."""

    def shard(self, key: Key) -> int:
        """The one shard."""
        return 0

    def works_on(self, shard: int) -> bool:
        """It is always ours."""
        return True


class Manager:
    """Reconciles every object of the given kinds, each by one worker at a time.

    Feed it through `intake` at any time; `run` reconciles, and may be called again after it ended (a lease lost and won again).
    """

    def __init__(
        self,
        store: Store,
        api: Api,
        reconcilers: Sequence[Reconciler[Any]],
        *,
        options: Options,
        make_condition: ConditionFactory,
        clock: Clock,
        random: Callable[[], float],
        new_id: Callable[[], str],
        fence: Callable[[], None],
        metrics: Metrics,
        log: FilteringBoundLogger,
        observers: Sequence[Callable[[Change], None]] = (),
        witnesses: Sequence[Witness] = (),
        division: Division | None = None,
        spectators: Mapping[str, Spectator] | None = None,
    ) -> None:
        """Nothing happens yet.

        `observers` are told of every change before anything is woken by it, `witnesses` see `Witness`.
        `random` gives floats in [0, 1), `new_id` names
        reconciles in the log, `fence` raises NotLeader when this process may no longer write. `division` says who works on
        what, None that this process works on everything; `spectators` by kind take note of what others work on.
        """
        self._store = store
        self._api = api
        self._reconcilers = {reconciler.kind.KIND: reconciler for reconciler in reconcilers}
        self._triggers = Triggers(store, reconcilers, log)
        self._options = options
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._log = log
        self._observers = observers
        self._witnesses = witnesses
        self._division = division or Undivided()
        self._spectators = dict(spectators or {})
        self._busy: dict[Key, float] = {}
        self._turns: dict[Key, int] = {}
        self._queue: Queue | None = None
        self._held: dict[Key, None] = {}
        self._gone: dict[Key, list[str]] = {}
        unfinished = Unfinished(options.finalizer, clock)
        self.intake = Intake(store, self._on_change, unfinished)
        writes = Writes(api, self.intake, fence, metrics, unfinished)
        self._recorder = Recorder(api, clock, metrics, log)
        self._attempt = Attempt(store, writes, options, clock, log, new_id, make_condition, self._recorder.record, self.enqueue)

    def enqueue(self, key: Key, priority: Priority = Priority.DEPENDENCY) -> None:
        """Have an object reconciled soon; before `run` there is no need, it starts with all of them."""
        self._enqueue_after(key, 0, priority)

    def enqueue_after(self, key: Key, delay: float) -> None:
        """Have an object reconciled in `delay` seconds, unless it is to be earlier already."""
        self._enqueue_after(key, delay, Priority.DEPENDENCY)

    def look_at(self, key: Key) -> None:
        """Have an object reconciled: soon if somebody waits for it, else when nothing that has changed is left."""
        self._enqueue_after(key, 0, Priority.RESYNC if self._store.settled(key) else Priority.DEPENDENCY)

    def enqueue_all(self) -> None:
        """Have every object reconciled soon, as at the start: this process works on more of them than before."""
        for kind in self._reconcilers:
            for key in self._store.keys(kind):
                self._enqueue_after(key, 0, Priority.RESYNC)

    async def finished(self, shard: int) -> bool:
        """Wait until nothing that was begun as work of a shard is under way, `options.drain` seconds at most; tell whether."""
        deadline = self._clock.monotonic() + self._options.drain
        while shard in self._turns.values() and self._clock.monotonic() < deadline:  # noqa: ASYNC110 - rare, and short
            await asyncio.sleep(_LOOK)
        return shard not in self._turns.values()

    def _enqueue_after(self, key: Key, delay: float, priority: Priority) -> None:
        if self._queue is None or key.kind not in self._reconcilers:
            return
        if priority is Priority.RESYNC and key in self._held:  # it comes by itself: beside those that were met with it
            self._held[key] = self._held.pop(key)
        else:
            self._queue.add_after(key, delay, priority)

    async def run(self) -> None:
        """Reconcile until cancelled or `stop`ped.  The Store must hold everything: a missing object would read as deleted."""
        queue = self._queue = Queue(self._clock.monotonic, self._random, added=self._metrics.added)
        for kind in self._reconcilers:
            settled = {key: self._store.settled(key) for key in self._store.keys(kind)}
            held = self._options.settled_after.get(kind, 0.0)
            for key in sorted(settled, key=lambda each: settled[each]):  # first those that somebody waits for
                queue.add_after(key, held if settled[key] else 0.0, Priority.RESYNC)
            if held:
                self._held.update(dict.fromkeys(key for key in settled if settled[key]))
        for key in self._gone:
            queue.add(key, Priority.RESYNC)
        self._metrics.workers.set(self._options.workers)
        self._metrics.look_at(self._reconcilers, queue.ready, self._working_for)
        beside = [asyncio.create_task(self._recorder.run()), asyncio.create_task(self._release(queue))]
        workers = [asyncio.create_task(self._work(queue)) for _ in range(self._options.workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            queue.close()
            self._queue = None
            self._held.clear()
            for task in (*workers, *beside):
                task.cancel()
            await asyncio.gather(*workers, *beside, return_exceptions=True)

    async def _release(self, queue: Queue) -> None:
        """Let those have their turn that were held at the start: they would only keep others from what somebody waits for."""
        end = self._clock.monotonic() + max(self._options.settled_after.values(), default=0.0)
        while self._held and not self._options.calm() and self._clock.monotonic() < end:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(_CALM_LOOKS)
        held, self._held = self._held, {}
        for key in held:
            queue.hasten(key)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Stop the task that is in `run`: no new reconciles, those under way get `options.drain` seconds, then they are
        cancelled.
        """
        if self._queue is not None:
            self._queue.close()
        await asyncio.wait([running], timeout=self._options.drain)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_EVENTS):
                await self._recorder.flush()

    async def _work(self, queue: Queue) -> None:
        while True:
            try:
                key, waited = await queue.get()
            except Closed:
                return
            self._metrics.waited.labels(key.kind).observe(waited)
            self._busy[key] = self._clock.monotonic()
            try:
                await self._turn(queue, key)
            finally:
                del self._busy[key]
                queue.done(key)
            await asyncio.sleep(0)  # a run that waits for nothing must not keep the lease, the feed and the probes waiting

    async def _turn(self, queue: Queue, key: Key) -> None:
        """Give one key its turn; whatever goes wrong with it, the worker goes on."""
        reconciler = self._reconcilers[key.kind]
        started, version = self._clock.monotonic(), self._store.version(key)
        self._held.pop(key, None)
        try:
            for uid in self._gone.pop(key, ()):
                reconciler.forget(key, uid)
            result, gone = await self._run(reconciler, key)
        except NotLeader:
            outcome = "not_leader"
        except (ApiError, Unparsable) as error:
            outcome = "error"
            if self._store.version(key) != version:  # some of it was written: tries that each get further are no failures in a row
                queue.ease(key)
            await self._recover(queue, key, error)
        except Exception as error:
            outcome = "error"
            self._log.error("reconcile could not be concluded", object=str(key), exc_info=error)
            self._retry(queue, key, None)
        else:
            outcome = self._schedule(queue, key, result)
            if gone:
                self.intake.delete(key)
        self._metrics.reconciled(key.kind, outcome, self._clock.monotonic() - started)

    async def _run(self, reconciler: Reconciler[Any], key: Key) -> tuple[Result | None, bool]:
        """Reconcile an object if that is for this process to do; else only take note of it."""
        shard = self._division.shard(key)
        if not self._division.works_on(shard):
            spectator = self._spectators.get(key.kind)
            again = await spectator(key) if spectator else None
            return (done("WorkedOnElsewhere", recheck_after=again) if again else None), False
        self._turns[key] = shard
        try:
            return await self._attempt.run(reconciler, key, shard)
        finally:
            del self._turns[key]

    def _working_for(self, kind: str) -> list[float]:
        """Seconds that each reconcile of the kind has been under way."""
        begun = [since for key, since in self._busy.items() if key.kind == kind]
        return [self._clock.monotonic() - since for since in begun]

    def _schedule(self, queue: Queue, key: Key, result: Result | None) -> str:
        """Set the next look at the object as its result says; return the name that the metric has for it."""
        if isinstance(result, Failed) and not result.terminal:
            self._metrics.errors.labels(key.kind).inc()
            self._retry(queue, key, result.retry_after)
            return "error"
        queue.forget(key)
        match result:
            case Requeue():
                queue.add_after(key, result.after)
                return "requeue_after"
            case Waiting(retry_after=float() | int() as delay) | Done(recheck_after=float() | int() as delay):
                queue.add_after(key, delay)
                return "requeue_after"
            case None | Done() | Waiting() | Failed():
                return "success"

    def _retry(self, queue: Queue, key: Key, after: float | None) -> None:
        if after is None:
            self._metrics.retries.labels(key.kind).inc()
            queue.retry(key)
        else:
            queue.add_after(key, after)

    async def _recover(self, queue: Queue, key: Key, error: ApiError | Unparsable) -> None:
        """Try again later; when the object isn't as the Store had it, with what the server has now."""
        self._retry(queue, key, error.retry_after if isinstance(error, Throttled) else None)
        if isinstance(error, Rejected | Unparsable):
            self._metrics.errors.labels(key.kind).inc()
            self._log.error("reconcile failed", object=str(key), error=str(error))
        if isinstance(error, Conflict | Gone):
            try:
                await refresh(self._api, self.intake, key)
            except ApiError as again:
                self._log.info("object not read anew", object=str(key), error=str(again))

    def _on_change(self, change: Change, own: bool) -> None:
        if change.parts & (Part.CREATED | Part.DELETED):
            self._metrics.objects.labels(change.key.kind).set(self._store.size(change.key.kind))
        if change.gone and change.key.kind in self._reconcilers:
            self._note_gone(change.key, change.gone)
        for observe in self._observers:
            try:
                observe(change)
            except Exception as error:
                self._log.error("observer failed", changed=str(change.key), exc_info=error)
        if own or (change.gone and self._queue is not None and self._division.works_on(0)):
            self._witness(change)
        if self._queue is None:
            return  # `run` starts with everything
        for wake in self._triggers.of(change, own=own):
            self._enqueue_after(wake.key, wake.delay, wake.priority)

    def _witness(self, change: Change) -> None:
        for witness in self._witnesses:
            try:
                witness(change, self._recorder.record)
            except Exception as error:
                self._log.error("witness failed", changed=str(change.key), exc_info=error)

    def _note_gone(self, key: Key, uid: str) -> None:
        """Have what is held for a uid forgotten: in the key's next turn, or at once while there are no turns.

        A process that waits for the lease takes in changes too, and what its observers hold for an object must not outlive it.
        """
        if self._queue is not None:
            self._gone.setdefault(key, []).append(uid)
            return
        try:
            self._reconcilers[key.kind].forget(key, uid)
        except Exception as error:
            self._log.error("forgetting failed", object=str(key), exc_info=error)
