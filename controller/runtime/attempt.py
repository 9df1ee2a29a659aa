"""One reconcile of one object, from the copy taken out of the Store to the status written back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from structlog.typing import FilteringBoundLogger

from controller.runtime.clock import Clock
from controller.runtime.conditions import PAUSED, RECONCILING
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.lanes import CallTimeout, LaneBusy, LaneOpen
from controller.runtime.objects import ConditionFactory
from controller.runtime.ports import ApiError, EventType, NotLeader
from controller.runtime.queue import Priority
from controller.runtime.reconciler import Reconciler
from controller.runtime.results import Result, failed, requeue, waiting
from controller.runtime.scope import Scope, entered
from controller.runtime.session import ObjectWrites, Session
from controller.runtime.store import Store

_BUSY_DELAY = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the application decides.

    `timeout` and `drain` are seconds: the longest reconcile, and how long a stop waits for those that run. `settled_after` are
    seconds by kind: at the start, objects that are as declared are left until a change wakes them or `calm` says that what comes
    first is done, no longer than that.
    """

    finalizer: str
    paused_annotation: str
    workers: int = 32
    timeout: float = 300.0
    drain: float = 20.0
    settled_after: Mapping[str, float] = field(default_factory=dict)
    calm: Callable[[], bool] = lambda: False


class Attempt:
    """Runs reconcilers: builds the context, bounds the time, turns exceptions into results, and writes the status once."""

    def __init__(
        self,
        store: Store,
        writes: ObjectWrites,
        options: Options,
        clock: Clock,
        log: FilteringBoundLogger,
        new_id: Callable[[], str],
        make_condition: ConditionFactory,
        record: Callable[[Key, str, EventType, str, str], None],
        enqueue: Callable[[Key, Priority], None],
    ) -> None:
        self._store = store
        self._writes = writes
        self._options = options
        self._clock = clock
        self._log = log
        self._new_id = new_id
        self._make_condition = make_condition
        self._record = record
        self._enqueue = enqueue
        self._reported: dict[Key, str] = {}

    async def run(self, reconciler: Reconciler[Any], key: Key, shard: int = 0) -> tuple[Result | None, bool]:
        """Reconcile one object, as work of a shard; return its result (None: nothing more to do) and whether it is gone from the
        API.

        Raises ApiError when a write failed, NotLeader, and Unparsable.
        """
        name = self._new_id()
        ctx, session = self._open(key, name)
        if ctx is None or session is None:
            self._reported.pop(key, None)
            return None, False
        with entered(Scope(key, name, ctx.object, shard)):
            return await self._run(reconciler, ctx, session, name)

    async def _run(
        self, reconciler: Reconciler[Any], ctx: Context[Any], session: Session[Any], name: str
    ) -> tuple[Result | None, bool]:
        opened: tuple[Context[Any], Session[Any]] | tuple[None, None] = ctx, session
        if ctx.object.metadata.annotations.get(self._options.paused_annotation) == "true":
            await self._pause(ctx, session)
            return None, False
        ctx.conditions.remove(PAUSED)
        try:
            async with asyncio.timeout(self._options.timeout):
                result = await reconciler.reconcile(ctx)
        except (ApiError, NotLeader):
            raise
        except Exception as error:
            result = self._explain(ctx, error)
            opened = self._open(ctx.key, name)  # what the draft got before the exception is not to be trusted
        else:
            self._reported.pop(ctx.key, None)
        return result, await self._conclude(result, *opened)

    async def _conclude(self, result: Result, ctx: Context[Any] | None, session: Session[Any] | None) -> bool:
        """Write how it ended; return whether the object is gone."""
        if ctx is None or session is None:
            return False
        ctx.conditions.apply(result)
        await session.write_status()
        return session.gone

    def _open(self, key: Key, name: str) -> tuple[Context[Any], Session[Any]] | tuple[None, None]:
        found = self._store.checkout(key)
        if found is None:
            return None, None
        session: Session[Any] = Session(*found, self._writes, self._options.finalizer)
        log = self._log.bind(kind=key.kind, namespace=key.namespace, name=key.name, reconcile=name)
        context: Context[Any] = Context(session, self._store, self._clock, log, self._make_condition, self._record, self._enqueue)
        return context, session

    async def _pause(self, ctx: Context[Any], session: Session[Any]) -> None:
        """Say that nothing is done, and do nothing.

        Ready stays as it was and observedGeneration isn't moved: a spec changed during the pause has not been processed, and
        kstatus goes on to say InProgress.
        """
        ctx.conditions.set(PAUSED, True, "PausedByAnnotation", f"{self._options.paused_annotation} is set: nothing is done")
        ctx.conditions.remove(RECONCILING)
        await session.write_status(observed=False)

    def _explain(self, ctx: Context[Any], error: Exception) -> Result:
        match error:
            case LaneBusy():
                return requeue(_BUSY_DELAY, "EndpointBusy", str(error))
            case LaneOpen():
                return waiting("EndpointUnavailable", str(error), retry_after=error.retry_after)
            case CallTimeout():
                return failed("EndpointTimeout", str(error))
            case TimeoutError():
                return failed("ReconcileTimeout", f"not finished within {self._options.timeout:g} s")
        self._report(ctx, error)
        return failed("InternalError", f"unexpected {type(error).__name__}: the controller's log has the details")

    def _report(self, ctx: Context[Any], error: Exception) -> None:
        """Log an unexpected exception: the first of its sort with its traceback, repeats in one line."""
        sort = _where(error)
        if self._reported.get(ctx.key) == sort:
            ctx.log.error("reconcile failed again", error=sort)
        else:
            self._reported[ctx.key] = sort
            ctx.log.error("reconcile failed", error=sort, exc_info=error)


def _where(error: Exception) -> str:
    """Return the exception's type and the line that raised it; not its text, which may quote what is secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{line}"
