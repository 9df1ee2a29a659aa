"""Several controllers that share one API server and one datacentre, each a whole process that can die or lose its way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from prometheus_client import CollectorRegistry

from controller.app import API_KINDS, make_reconcilers
from controller.host.spectator import HostSpectator
from controller.inventory import Inventory, Lanes
from controller.ipam import instance_id
from controller.kube.run import _lead
from controller.placing.sharding import Sharding
from controller.runtime.attempt import Options
from controller.runtime.keys import Key
from controller.runtime.lanes import Lane
from controller.runtime.lease import LeaseRecord, LeaseTimes
from controller.runtime.manager import Manager
from controller.runtime.metrics import Metrics
from controller.runtime.ports import Page, Unavailable
from controller.runtime.resync import Resync
from controller.runtime.scope import current
from controller.runtime.shards import Shards
from crds.status import Condition
from crds.v1alpha1 import Host
from drivers.base import Driver
from drivers.simulator.engine.settings import Settings
from tests.support import cloud as base
from tests.support.hypervisors import InlineLane
from tests.support.vms import LARGE, NETWORK, TEMPLATE, PointedApi, VMCloud, VMController
from tests.unit.runtime.fakes import Watcher
from tests.unit.runtime.leases import Line, Server
from tests.unit.runtime.virtual import LoopClock, run

TIMES = LeaseTimes(duration=15, deadline=10.0, period=2.0)
CLUSTERS = 4


@dataclass(frozen=True)
class Call:
    """A changing call of a hypervisor as it began: who made it, as which shard's work, and on which object's behalf."""

    replica: str
    shard: int
    key: Key | None
    method: str


class Way:
    """A replica's way to the API server, which may be cut, while that to the hypervisors is not.

    `late` tells for how many seconds a write is on its way: one that was `sent` so gets there, whatever becomes of its sender.
    """

    def __init__(self, api: PointedApi) -> None:
        self.api = api
        self.cut = False
        self.late: Callable[[str, Key], float] = lambda part, key: 0.0
        self.sent: list[asyncio.Task[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.api, name)

    async def get(self, key: Key) -> Any:
        self._pass()
        return await self.api.get(key)

    async def list(self, kind: str) -> AsyncIterator[Page]:
        async for page in self.api.list(kind):
            self._pass()
            yield page

    async def patch_status(self, key: Key, *args: Any) -> Any:
        return await self._send("status", self.api.patch_status, key, *args)

    async def patch_metadata(self, key: Key, *args: Any) -> Any:
        return await self._send("metadata", self.api.patch_metadata, key, *args)

    async def _send(self, part: str, write: Callable[..., Awaitable[Any]], key: Key, *args: Any) -> Any:
        self._pass()
        if not (late := self.late(part, key)):
            return await write(key, *args)

        async def arrive() -> Any:
            await asyncio.sleep(late)
            return await write(key, *args)

        request = asyncio.create_task(arrive())
        self.sent.append(request)
        request.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(request)

    def _pass(self) -> None:
        if self.cut:
            raise Unavailable("no way to the API server")


class WatchedLane(InlineLane):
    """Asks the fence, then has the world look at each changing call while it goes on.

    As threads do, a call may stand still before it asks, for as long as the world says; meanwhile it goes on to be made even if
    nobody awaits it any more, as long as its process lives.
    """

    def __init__(self, term: Term) -> None:
        super().__init__()
        self._term = term

    async def call(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        still = self._term.cloud.stands_still(self._term.replica)
        if not still:
            return await self._make(function, *args, timeout=timeout)
        thread = asyncio.create_task(self._wake_up(still, function, *args, timeout=timeout))
        self._term.threads.add(thread)
        thread.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(thread)

    async def _wake_up(self, still: float, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        await asyncio.sleep(still)
        return await self._make(function, *args, timeout=timeout)

    async def _make(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        self._term.shards.check()
        with self._term.cloud.looking(self._term, getattr(function, "__name__", "")):
            return await super().call(function, *args, timeout=timeout)


class Term(VMController):
    """One term of one process: everything is made anew for the next."""

    def __init__(self, cloud: ShardedCloud, replica: Replica) -> None:
        self.cloud, self.replica = cloud, replica
        super().__init__(cloud)
        clock, log = LoopClock(), self.manager._log
        source = random.Random(f"{cloud.seed} {replica.name}")

        def port(number: int) -> Line:
            return Line(cloud.lease(number), lambda: "down" if replica.way.cut else "")

        self.shards = Shards([port(n) for n in range(replica.count)], port, replica.name, TIMES, clock, source.random, log)
        self.inventory = Inventory(lambda _: cast("Driver", cloud.datacentre), lambda _: self._lanes(), self.enqueue, log)
        sharding = Sharding(self.store, self.inventory, replica.count, self.shards.works_on)
        old = self.parts
        self.parts = replace(old, inventory=self.inventory, sharding=sharding)
        self._rewire(old.inventory)
        spectator = HostSpectator(self.store, self.inventory, self.secrets, sharding, self.enqueue)
        self.manager = Manager(
            self.store,
            cast("Any", replica.way),
            make_reconcilers(self.parts, self.secrets),
            options=Options(base.FINALIZER, "vireo.dev/paused"),
            make_condition=cast("Any", Condition),
            clock=clock,
            random=source.random,
            new_id=lambda: f"r{source.random()}",
            fence=self.shards.check,
            metrics=Metrics(CollectorRegistry()),
            log=log,
            observers=[self.parts.placements.take, self.parts.rooms.take, self.parts.recovery.take, sharding.take],
            division=sharding if replica.count > 1 else None,
            spectators={Host.KIND: spectator},
        )
        self.watcher.close()
        self.watcher = Watcher(cloud.api, self.manager.intake, lambda: 0.002 + 0.05 * source.random())
        kinds = [kind.kind for kind in API_KINDS]
        self.resync = Resync(cast("Any", replica.way), self.manager.intake, kinds, source.random, log)
        self.stopping = asyncio.Event()
        self.threads: set[asyncio.Task[Any]] = set()

    def die(self) -> None:
        """Nothing that stood still is made any more: the process is gone."""
        for thread in self.threads:
            thread.cancel()

    def _rewire(self, old: Inventory) -> None:
        """What was made with the other inventory looks at this one."""
        self.registry._link = self.inventory.link
        for part in (self.parts.recovery, self.parts.attachments):
            assert part._inventory is old
            part._inventory = self.inventory

    def _lanes(self) -> Lanes:
        control, state, events = (cast("Lane", InlineLane()) for _ in range(3))
        work, transfer = (cast("Lane", WatchedLane(self)) for _ in range(2))
        return Lanes(control, state, work, transfer, events)

    async def serve(self) -> None:
        """Until the term ends, or `stopping` is set."""
        resyncing = asyncio.create_task(self.resync.run())
        try:
            await _lead(self.manager, self.shards, self.resync, self.parts.lead, self.stopping)
        finally:
            resyncing.cancel()
            self.watcher.close() if not self.watcher._closed else None
            await asyncio.gather(resyncing, return_exceptions=True)
            for part in (self.parts.library, self.parts.contents, self.registry, self.inventory):
                await part.close()


class Replica:
    """A process; `count` is the number of shards that it is told."""

    def __init__(self, cloud: ShardedCloud, name: str, count: int) -> None:
        self.cloud, self.name, self.count = cloud, name, count
        self.way = Way(cloud.api)
        self.term: Term | None = None
        self.terms: list[Term] = []
        self.task = asyncio.create_task(self._live())
        self._ends = False

    @property
    def shards(self) -> set[int]:
        """What it works on."""
        term = self.term
        return {n for n in range(self.count) if term is not None and term.shards.works_on(n)}

    async def _live(self) -> None:
        while True:
            self.term = Term(self.cloud, self)
            self.terms.append(self.term)
            await self.term.serve()
            self.cloud.problems += self.term.errors
            if self._ends:
                self._die()
                return

    def _die(self) -> None:
        for term in self.terms:
            term.die()

    def cut(self) -> None:
        """Lose the way to the API server: nothing is read, written or heard any more."""
        self.way.cut = True
        if self.term is not None:
            self.term.watcher.broken = True

    def mend(self) -> None:
        """Have it back; what was missed is found by lists."""
        self.way.cut = False
        if self.term is not None:
            self.term.watcher.broken = False
            for kind in API_KINDS:
                self.term.resync.request(kind.kind)

    async def stop(self) -> None:
        """As by SIGTERM."""
        self._ends = True
        if self.term is not None:
            self.term.stopping.set()
        await self.task

    async def kill(self) -> None:
        """As by SIGKILL: nothing is given back."""
        term, self.term = self.term, None
        self._die()
        if term is not None:
            for renewing in term.shards._holding.values():
                renewing.cancel()
            for elector in term.shards._electors:
                elector._held_until = None
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


class ShardedCloud(VMCloud):
    """A cloud of several replicas; who makes which call is looked at as it happens."""

    def __init__(self, seed: int = 0, count: int = 3) -> None:
        self.count = count
        self.leases: dict[int, Server] = {}
        self.replicas: dict[str, Replica] = {}
        self.calls: list[Call] = []
        self.problems: list[str] = []
        self.under_way: dict[Key, str] = {}
        self.stands_still: Callable[[Replica], float] = lambda _: 0.0
        super().__init__(Settings(hosts=CLUSTERS, cpus=8, memory=32 << 30, boot=3, shutdown=5), seed)

    def lease(self, number: int) -> Server:
        return self.leases.setdefault(number, Server())

    def add(self, name: str, count: int = 0) -> Replica:
        """Start a replica."""
        self.replicas[name] = Replica(self, name, count or self.count)
        return self.replicas[name]

    def looking(self, term: Term, method: str) -> Any:
        return _Look(self, term, method)

    async def settled(self, seconds: float = 120.0) -> None:
        """Let so much time pass; nothing unexpected was logged by anybody."""
        await asyncio.sleep(seconds)
        found = [*self.problems, *(error for each in self.replicas.values() if each.term for error in each.term.errors)]
        assert not found, found

    def owner(self, key: Key) -> int:
        """The shard that the API server's version of an object names."""
        return int(self.api.objects.get(key, {}).get("status", {}).get("shard") or 0)

    def holders(self, shard: int) -> list[str]:
        """The replicas that take themselves for the holder of a shard."""
        return [name for name, each in self.replicas.items() if each.term and shard < each.count and each.term.shards.holds(shard)]


class _Look:
    """One changing call: nobody else makes one about the same VM meanwhile, and its shard is the one that the API names."""

    def __init__(self, cloud: ShardedCloud, term: Term, method: str) -> None:
        scope = current()
        self.cloud = cloud
        self.call = Call(term.replica.name, scope.shard if scope else 0, scope.key if scope else None, method)

    def __enter__(self) -> None:
        cloud, call = self.cloud, self.call
        cloud.calls.append(call)
        if call.key is None or call.key.kind != "VirtualMachine":
            return
        if cloud.owner(call.key) != call.shard:
            cloud.problems.append(f"{call} while the object is in shard {cloud.owner(call.key)}")
        if cloud.holders(call.shard) != [call.replica]:
            cloud.problems.append(f"{call} while shard {call.shard} is held by {cloud.holders(call.shard)}")
        if call.key in cloud.under_way:
            cloud.problems.append(f"{call} while {cloud.under_way[call.key]} is at it")
        cloud.under_way[call.key] = call.replica

    def __exit__(self, *_: object) -> None:
        if self.call.key is not None:
            self.cloud.under_way.pop(self.call.key, None)


def clusters() -> str:
    """So many clusters, each with one host, and what VMs need.

    They come in this order since their uids, made by counting, put them into shards: 1, 1, 0, 0 of two, and 0, 0, 1, 2 of three.
    """
    numbers = range(1, CLUSTERS + 1)
    made = [base.CLUSTER.replace("c1", f"c{n}") for n in numbers]
    name = "host-{0:05d}".format
    host = 'kind: Host\nmetadata: {{name: {0}}}\nspec: {{cluster: c{1}, endpoint: {{url: "simulator://dc/{0}"}}}}\n'
    hosts = [host.format(name(n), n) for n in numbers]
    return "\n---\n".join([base.ZONE, base.POD, base.POOL, base.OFFERING, LARGE, TEMPLATE, NETWORK, *made, *hosts])


def record(cloud: ShardedCloud, shard: int = 0) -> LeaseRecord | None:
    """A Lease as it is."""
    return cloud.lease(shard).record


def play(story: Callable[[ShardedCloud], Awaitable[None]], *, seed: int = 0, count: int = 3) -> ShardedCloud:
    """Tell a story in virtual time; all replicas end with it."""

    async def told() -> ShardedCloud:
        cloud = ShardedCloud(seed, count)
        try:
            await story(cloud)
        finally:
            for each in cloud.replicas.values():
                await each.kill()
        return cloud

    return run(told())


def instances(cloud: ShardedCloud) -> dict[str, str]:
    """Names of declared VMs by instance."""
    return {instance_id(raw["metadata"]["uid"]): key.name for key, raw in cloud.api.objects.items() if key.kind == "VirtualMachine"}
