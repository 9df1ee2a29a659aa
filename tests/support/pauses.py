"""Two controllers over one API server and one datacentre, of which the one that leads may fall asleep at any point of its work.

Each is put together as in `controller.app`, with the Lease, the fence and the way of leading that are the product's own. Its calls
to hypervisors are made as threads make them: the fence is asked right before each that changes something, and who waits for a
call may cease to, but the call is made all the same.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import CollectorRegistry

from controller.inventory import Lanes
from controller.inventory.lanes import endpoint_lanes
from controller.kube.run import _lead
from controller.runtime.keys import Key
from controller.runtime.lanes import CallTimeout, Lane, LaneMetrics
from controller.runtime.lease import LeaseTimes
from controller.runtime.ports import Conflict, Gone
from controller.runtime.shards import Shards
from controller.runtime.threads import Threads
from drivers.simulator.engine.settings import Settings
from drivers.simulator.methods import METHODS
from tests.support.hypervisors import InlineLane
from tests.support.matrix import MatrixCloud
from tests.support.processes import Process, current, run
from tests.support.vms import PointedApi, VMController
from tests.unit.runtime.leases import Line, Server
from tests.unit.runtime.virtual import LoopClock

TIMES = LeaseTimes(duration=15, deadline=10.0, period=2.0)


@dataclass(frozen=True)
class Deed:
    """What a process did to the world, and when: a changing call that a hypervisor got, or a write that the API server accepted."""

    process: str
    at: float
    call: str = ""
    write: str = ""


class ThreadLane(InlineLane):
    """Makes each call in a task of its own, which goes on when nobody awaits it any more; `guard` is asked right before it.

    A thread waits for no turn of the loop: after a sleep the guard is asked before the loop has noticed that it is late.
    """

    def __init__(self, point: Callable[[str], Awaitable[None]], guard: Callable[[], None]) -> None:
        super().__init__()
        self._point, self._guard = point, guard

    async def call(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        thread = asyncio.create_task(self._make(function, *args))
        thread.add_done_callback(_seen)
        await asyncio.wait([thread], timeout=timeout)
        if not thread.done():
            raise CallTimeout("no answer")
        return thread.result()

    async def _make(self, function: Callable[..., Any], *args: Any) -> Any:
        self._guard()
        name = getattr(function, "__name__", "")
        await self._point(f"before {name}")
        result = function(*args)
        await asyncio.sleep(0.001)
        await self._point(f"after {name}")
        return result


class WitnessedApi(PointedApi):
    """Remembers who wrote what. A write that was sent arrives, whatever becomes of its sender."""

    def __init__(self, point: Callable[[str], Awaitable[None]], deeds: list[Deed]) -> None:
        super().__init__(point)
        self._deeds = deeds
        self.refused: Counter[str] = Counter()

    async def _patch(self, part: str, key: Key, uid: str, version: str, patch: Any) -> Any:
        sent = asyncio.create_task(self._arrive(super()._patch(part, key, uid, version, patch)))
        sent.add_done_callback(_seen)
        return await asyncio.shield(sent)

    async def _arrive(self, write: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await write
        except (Conflict, Gone):
            self.refused[_name()] += 1
            raise

    def _put(self, key: Key, raw: Any) -> None:
        self._deeds.append(Deed(_name(), LoopClock().monotonic(), write=str(key)))
        super()._put(key, raw)


def _seen(task: asyncio.Task[Any]) -> None:
    """Nobody may await it any more: what it raised was raised all the same."""
    if not task.cancelled():
        task.exception()


def _name() -> str:
    process = current()
    return process.name if process else ""


class Leader(VMController):
    """A controller process that leads while it holds the Lease, for one term: then all of it ends."""

    def __init__(self, cloud: PauseCloud, process: Process) -> None:
        self.process = process
        super().__init__(cloud)
        source = random.Random(process.name)
        ports = [Line(cloud.lease)]
        self.shards = Shards(ports, lambda _: Line(Server()), process.name, TIMES, LoopClock(), source.random, self.manager._log)
        self.refused = 0
        self.term: asyncio.Task[None] | None = None

    def fence(self) -> None:
        """As the product's: of its writes and of its calls."""
        try:
            self.shards.check()
        except Exception:
            self.refused += 1
            raise

    def lanes(self, point: Callable[[str], Awaitable[None]]) -> Lanes:
        """Each asks what the product's asks."""
        made = endpoint_lanes("", self.fence, LoopClock().monotonic, LaneMetrics(CollectorRegistry()), Threads())
        control, state, work, transfer = (
            cast("Lane", ThreadLane(point, lane._guard)) for lane in (made.control, made.state, made.work, made.transfer)
        )
        return Lanes(control, state, work, transfer, cast("Lane", InlineLane()))

    async def start(self) -> None:
        """Begin the term; it leads when it gets the Lease."""
        self.term = self.process.begin(self._serve())
        self.tasks = [self.term]

    async def _serve(self) -> None:
        resyncing = asyncio.create_task(self.resync.run())
        try:
            await _lead(self.manager, self.shards, self.resync, self.parts.lead, asyncio.Event())
        finally:
            resyncing.cancel()
            await asyncio.gather(resyncing, return_exceptions=True)
            for part in (self.parts.library, self.parts.contents, self.parts.calls, self.registry, self.inventory):
                await part.close()


class PauseCloud(MatrixCloud):
    """At the point where the world would stop, the leader `old` falls asleep; only its points count. `controller` is who leads."""

    controller: Leader

    def __init__(self, settings: Settings) -> None:
        self.lease = Server()
        self.deeds: list[Deed] = []
        self.names = iter(("", "old", "new"))
        super().__init__(settings)
        self.old = self.controller
        self._witness()

    def make_api(self) -> PointedApi:
        return WitnessedApi(self.point, self.deeds)

    def make_controller(self) -> Leader:
        process = Process(next(self.names))
        return process.run(lambda: Leader(self, process))

    def lanes(self, name: str = "") -> Lanes:
        process = current()
        leader = next(each for each in (self.controller, self.old) if each.process is process)
        return leader.lanes(self.point)

    async def point(self, name: str) -> None:
        if current() is self.old.process:
            await super().point(name)

    async def halt(self) -> None:
        await self.old.process.sleep()

    async def take_over(self) -> None:
        """Another controller begins, and waits for the Lease."""
        self.controller = self.make_controller()
        await self.controller.start()

    @property
    def leader(self) -> str:
        """Who has the Lease."""
        return self.lease.record.holder if self.lease.record else ""

    def versions(self) -> dict[str, str]:
        """The resourceVersion of each object."""
        return {str(key): raw["metadata"]["resourceVersion"] for key, raw in self.api.objects.items()}

    def called(self, process: str, since: float = 0.0) -> list[str]:
        """Methods of a hypervisor by which a process has changed something, or tried to, from a moment on."""
        return [deed.call for deed in self.deeds if deed.process == process and deed.at >= since and deed.call]

    def written(self, process: str, since: float = 0.0) -> list[str]:
        """What a process has written from a moment on."""
        return [deed.write for deed in self.deeds if deed.process == process and deed.at >= since and deed.write]

    def _witness(self) -> None:
        """Have the hypervisor remember who called what."""
        service = self.datacentre.service
        execute = service.execute

        def witnessed(token: str, method: str, args: tuple[Any, ...], faults: Any) -> Any:
            if METHODS[method].mutates:
                self.deeds.append(Deed(_name(), LoopClock().monotonic(), call=method))
            return execute(token, method, args, faults)

        service.execute = witnessed  # type: ignore[method-assign]


def play(story: Callable[[PauseCloud], Awaitable[None]], settings: Settings) -> PauseCloud:
    """Run a story in virtual time, with a leader from the beginning; whoever is there at its end is killed."""

    async def told() -> PauseCloud:
        cloud = PauseCloud(settings)
        await cloud.controller.start()
        try:
            await story(cloud)
        finally:
            cloud.stop = None
            for each in {cloud.old, cloud.controller}:
                each.process.asleep = False
                await each.kill()
        return cloud

    return run(told())
