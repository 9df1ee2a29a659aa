"""A controller over the fake API server, its reconciler, and the world outside that it is to keep as declared."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from controller.runtime.attempt import Options
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.manager import Division, Manager, Spectator, Witness
from controller.runtime.metrics import Metrics
from controller.runtime.reconciler import Reconciler, Watch
from controller.runtime.results import Result, done, requeue, waiting
from controller.runtime.resync import Resync
from controller.runtime.store import Change, Store

from .fakes import FakeApi, Watcher
from .models import Condition, Parent, Widget
from .virtual import LoopClock

FINALIZER = "test.dev/finalizer"
PAUSED = "test.dev/paused"


class Outside:
    """What exists outside, by uid, and who is at work on it right now."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.made: Counter[str] = Counter()
        self.busy: Counter[Key] = Counter()
        self.overlaps = 0
        self.runs: Counter[Key] = Counter()
        self.forgotten: list[tuple[Key, str]] = []

    async def put(self, uid: str, size: int) -> None:
        await asyncio.sleep(0.005)
        if uid not in self.sizes:
            self.made[uid] += 1
        self.sizes[uid] = size

    async def drop(self, uid: str) -> None:
        await asyncio.sleep(0.005)
        self.sizes.pop(uid, None)


class WidgetReconciler:
    """Keeps one thing outside of the size that the widget says, under the parent that it names."""

    kind = Widget

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.watches: Sequence[Watch] = [
            Watch(Parent, lambda parent, store: store.keys_by_index(Widget, "parent", parent.metadata.name))
        ]

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        self.outside.runs[ctx.key] += 1
        self.outside.busy[ctx.key] += 1
        self.outside.overlaps += self.outside.busy[ctx.key] > 1
        try:
            return await self._reconcile(ctx)
        finally:
            self.outside.busy[ctx.key] -= 1

    async def _reconcile(self, ctx: Context[Widget]) -> Result:
        spec, status = ctx.object.spec, ctx.object.status
        if ctx.deleting:
            await self.outside.drop(ctx.uid)
            await ctx.remove_finalizer()
            return done("Deleted")
        await ctx.add_finalizer()
        if spec.parent and ctx.store.get(Parent, spec.parent, "ns") is None:
            return waiting("ParentNotFound", spec.parent)
        if self.outside.sizes.get(ctx.uid) != spec.size:
            status.intent = spec.size
            await ctx.save("Resizing")
            await self.outside.put(ctx.uid, spec.size)
            return requeue(0.05, "Resizing")
        status.intent = None
        status.size = spec.size
        return done("Sized")

    def forget(self, key: Key, uid: str) -> None:
        self.outside.forgotten.append((key, uid))


class Process:
    """One controller process: everything in it is lost when it is killed."""

    def __init__(
        self,
        api: FakeApi,
        reconcilers: Sequence[Reconciler[Any]],
        *,
        seed: int = 0,
        fence: Callable[[], None] = lambda: None,
        delay: Callable[[], float] = lambda: 0.002,
        workers: int = 4,
        timeout: float = 60.0,
        observers: Sequence[Callable[[Change], None]] = (),
        witnesses: Sequence[Witness] = (),
        division: Division | None = None,
        spectators: Mapping[str, Spectator] | None = None,
        settled_after: Mapping[str, float] | None = None,
        calm: Callable[[], bool] = lambda: False,
    ) -> None:
        source = random.Random(seed)
        ids = itertools.count(1)
        self.registry = CollectorRegistry()
        self.store = Store()
        self.store.register(Widget, {"parent": lambda widget: [widget.spec.parent]})
        self.store.register(Parent)
        self.log = structlog.testing.CapturingLogger()
        log = structlog.wrap_logger(self.log, processors=[])
        self.manager = Manager(
            self.store,
            api,
            reconcilers,
            options=Options(FINALIZER, PAUSED, workers=workers, timeout=timeout, settled_after=settled_after or {}, calm=calm),
            make_condition=Condition,
            clock=LoopClock(),
            random=source.random,
            new_id=lambda: f"r{next(ids)}",
            fence=fence,
            metrics=Metrics(self.registry),
            log=log,
            observers=observers,
            witnesses=witnesses,
            division=division,
            spectators=spectators,
        )
        self.watcher = Watcher(api, self.manager.intake, delay)
        self.resync = Resync(api, self.manager.intake, ["Widget", "Parent"], source.random, log)
        self.tasks: list[asyncio.Task[None]] = []
        self.working: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.tasks.append(asyncio.create_task(self.resync.run()))
        await self.resync.synced()
        self.reconcile()

    def reconcile(self) -> None:
        self.working = asyncio.create_task(self.manager.run())
        self.tasks.append(self.working)

    async def kill(self) -> None:
        """Die without a goodbye."""
        self.watcher.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def metric(self, name: str, /, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0
