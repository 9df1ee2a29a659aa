"""One controller process against one API server: feed, lists, leadership, workers, probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kopf
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from controller.kube import credentials, probes
from controller.kube.api import KubeApi
from controller.kube.feed import Feed
from controller.kube.http import Http
from controller.kube.kinds import Kinds
from controller.kube.leases import KubeLease
from controller.kube.metrics import ApiMetrics
from controller.kube.secrets import Secrets
from controller.runtime.clock import Clock
from controller.runtime.lease import LeaseTimes, Restored
from controller.runtime.manager import Manager
from controller.runtime.resync import Resync
from controller.runtime.shards import Hooks, Shards


class Crashed(Exception):
    """A part of a term failed as nobody expected, which is the cause; the term was ended in order, its lease given back."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a process reaches its API server, which lease it holds, and where it answers probes.

    `kubeconfig` None means the pod's service account, else kubectl's usual places.  `identity` is unique to this process.
    Shard 0 has the lease of `lease_name`, the others have names made from it.
    """

    kubeconfig: Path | None
    identity: str
    lease_namespace: str
    lease_name: str
    probe_host: str
    probe_port: int
    lease_times: LeaseTimes = field(default_factory=LeaseTimes)
    shards: int = 1

    def lease_of(self, shard: int) -> str:
        """The name of a shard's lease."""
        return f"{self.lease_name}-shard-{shard}" if shard else self.lease_name


@dataclass(frozen=True, slots=True)
class Connection:
    """What is open towards one API server."""

    api: KubeApi
    secrets: Secrets
    elector: Shards
    kinds: Kinds
    metrics: ApiMetrics


@asynccontextmanager
async def connect(
    kinds: Kinds,
    settings: Settings,
    *,
    clock: Clock,
    random: Callable[[], float],
    registry: CollectorRegistry,
    log: FilteringBoundLogger,
) -> AsyncIterator[Connection]:
    """Open the way to the API server; nothing is sent yet.  Raises credentials.CredentialsError."""
    configuration = await credentials.load(settings.kubeconfig)
    metrics = ApiMetrics(registry)
    # renewals wait neither behind everything else nor behind each other: one for each shard, and one to look at others' Leases
    apart = Http(configuration, metrics, connections=settings.shards + 1)

    def lease(shard: int) -> KubeLease:
        return KubeLease(apart, settings.lease_namespace, settings.lease_of(shard))

    leases = [lease(shard) for shard in range(settings.shards)]
    elector = Shards(leases, lease, settings.identity, settings.lease_times, clock, random, log)
    for shard in range(settings.shards):
        metrics.leader.labels(settings.lease_of(shard)).set_function(partial(_held, elector, shard))
    http = Http(configuration, metrics, fence=elector.check)
    try:
        yield Connection(
            api=KubeApi(http, kinds, settings.identity),
            secrets=Secrets(http, clock.monotonic, log),
            elector=elector,
            kinds=kinds,
            metrics=metrics,
        )
    finally:
        await http.close()
        await apart.close()


def _held(elector: Shards, shard: int) -> float:
    return float(elector.holds(shard))


async def run(
    manager: Manager,
    connection: Connection,
    settings: Settings,
    *,
    on_lead: Callable[[int], Awaitable[None]],
    on_secret: Callable[[str, str], None],
    stop: asyncio.Event,
    random: Callable[[], float],
    registry: CollectorRegistry,
    log: FilteringBoundLogger,
) -> None:
    """Reconcile for one term of leadership: until `stop` is set, which finishes what runs and gives the lease back, or it is lost,
    or the API server's data turns out to have been restored from a backup.

    Nothing that was known in a lost term may be used in the next: call it again with everything made anew.  `on_lead(shard)` is
    called when this process holds a shard and the Store holds everything, and the work on it begins afterwards;
    `on_secret(namespace, name)` when a Secret that was read has changed.  Raises OSError when the probe port is taken, Crashed when
    the feed, the lists, or anything else that goes on beside the reconciling has ended: without them nothing is reconciled.
    """
    names = [kind.kind for kind in connection.kinds]
    resync = Resync(connection.api, manager.intake, names, random, log)
    feed = Feed(
        connection.kinds, partial(_login, settings), manager.intake, resync.request, connection.metrics, log, resync.version
    )
    ending = asyncio.Event()
    async with probes.serve(settings.probe_host, settings.probe_port, registry, lambda: resync.missing):
        leading = _task(_lead(manager, connection.elector, resync, on_lead, ending))
        beside = [_task(resync.run()), _task(_watch(resync, feed)), _task(connection.secrets.watch(on_secret))]
        await _accompany(leading, beside, stop, ending)


async def _login(settings: Settings) -> kopf.ConnectionInfo:
    return await credentials.for_kopf(await credentials.load(settings.kubeconfig))


async def _accompany(
    leading: asyncio.Task[None], beside: Sequence[asyncio.Task[None]], stop: asyncio.Event, ending: asyncio.Event
) -> None:
    """Lead while everything beside it goes on and `stop` is not set; then set `ending` and wait for the end.  Raises Crashed."""
    stopping = _task(stop.wait())
    try:
        await asyncio.wait([leading, stopping, *beside], return_when=asyncio.FIRST_COMPLETED)
        over = [task for task in beside if task.done()]
        ending.set()
        await asyncio.wait([leading])
    finally:
        await _end([leading, stopping, *beside])
    for task in (*over, leading):
        if error := task.exception():
            raise Crashed(f"unexpected {type(error).__name__}") from error
    if over:
        raise Crashed("what should go on all the time has ended")


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_first(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Return when one of the tasks ends, with the others cancelled; raise what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    for task in done:
        task.result()


async def _watch(resync: Resync, feed: Feed) -> None:
    """Watch once the lists are there: a kind whose CRD is missing can't be watched, and the list says so and waits for it."""
    await resync.synced()
    await feed.run()


async def _lead(
    manager: Manager, elector: Shards, resync: Resync, on_lead: Callable[[int], Awaitable[None]], ending: asyncio.Event
) -> None:
    """Wait for the lease and reconcile while it is held, or until `ending` is set, or the API server has older data than before.

    However it ends, the lease is given back.
    """
    try:
        with suppress(Restored):
            await _until_first([_task(_ready_to_lead(elector, resync)), _task(ending.wait())])
            if not ending.is_set():
                if elector.count == 1:  # it is the whole work: what the manager starts with
                    await on_lead(0)
                await _reconcile(manager, elector, _hooks(manager, elector, resync, on_lead), ending)
    finally:
        await elector.release()


def _hooks(manager: Manager, elector: Shards, resync: Resync, on_lead: Callable[[int], Awaitable[None]]) -> Hooks:
    """What is done about each shard of several."""

    async def prepare(shard: int) -> None:
        if elector.count > 1:
            await resync.anew()  # who had it may have given an object away that the watch still shows as being in it
            await on_lead(shard)

    def begin(_shard: int) -> None:
        if elector.count > 1:
            manager.enqueue_all()

    return Hooks(prepare, begin, manager.finished)


async def _ready_to_lead(elector: Shards, resync: Resync) -> None:
    await resync.synced()
    await elector.acquire()


async def _reconcile(manager: Manager, elector: Shards, hooks: Hooks, ending: asyncio.Event) -> None:
    """Run the manager until the lease is lost, which ends it at once, or `ending` is set, which lets it finish what runs."""
    await _until_first([_task(_work(manager, elector, ending)), _task(elector.hold(hooks))])


async def _work(manager: Manager, elector: Shards, ending: asyncio.Event) -> None:
    working, stopping = _task(manager.run()), _task(ending.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        elector.retire()
        await manager.stop(working)
    finally:
        await _end([working, stopping])


def _task(awaitable: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
    return asyncio.create_task(awaitable)
