"""A cloud whose hosts are simulated ones in this process: VMs are made, stopped and lost in virtual time.

The controller is put together by `controller.app.make_reconcilers`, as the real one is. Every API write, every call to a hypervisor
is a `point`, before it and after it, where a test can stop the world.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from prometheus_client import CollectorRegistry

from controller.app import API_KINDS, Parts, make_reconcilers
from controller.host import declared
from controller.images import ImageCache
from controller.inventory import Inventory, Lanes, PoolRegistry
from controller.inventory.contents import ContentsReader
from controller.inventory.secrets import SecretCache
from controller.ipam import AddressAllocator, SegmentAllocator
from controller.placing.attachments import Attachments, left_with
from controller.placing.left import recorded_of
from controller.placing.placement import Placements
from controller.placing.recovery import Recovery
from controller.placing.refusals import Refusals
from controller.placing.rooms import Rooms
from controller.placing.sharding import Sharding
from controller.runtime.attempt import Options
from controller.runtime.keys import Key
from controller.runtime.lanes import Lane
from controller.runtime.manager import Manager
from controller.runtime.metrics import Metrics
from controller.runtime.resync import Resync
from controller.runtime.store import Store
from controller.scheduler import HostIndex
from controller.shared.calls import Calls
from controller.shared.library import Library
from controller.shared.lookups import register_all
from controller.shared.namespace import Namespace
from crds.status import Condition
from drivers.base import Driver
from drivers.simulator.engine.settings import Settings
from tests.support import cloud as base
from tests.support.datacentre import Datacentre
from tests.support.hypervisors import InlineLane
from tests.support.images import FakeImages
from tests.unit.runtime.fakes import FakeApi, Watcher
from tests.unit.runtime.virtual import LoopClock

GIB = 2**30
BACKGROUND = frozenset({"connect", "close", "list_hosts", "observe_all", "ensure_pool", "list_pools"})
"""Calls that sessions make by themselves, at any time: no steps of a VM's life."""
AROUND = frozenset({"Zone", "Pod", "Cluster", "Host", "StoragePool", "ServiceOffering"})
"""Kinds that only count VMs."""


class PointedLane(InlineLane):
    """Stops at a point before and after each call."""

    def __init__(self, point: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self._point = point

    async def call(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        name = getattr(function, "__name__", "")
        await self._point(f"before {name}")
        result = await super().call(function, *args, timeout=timeout)
        await self._point(f"after {name}")
        return result


class PointedApi(FakeApi):
    """Stops at a point before and after each write."""

    def __init__(self, point: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self._point = point

    async def _patch(self, part: str, key: Key, uid: str, version: str, patch: Any) -> Any:
        await self._point(f"before {part} of {key.kind}")
        reply = await super()._patch(part, key, uid, version, patch)
        await self._point(f"after {part} of {key.kind}")
        return reply


class VMController(base.Controller):
    """A whole controller process over the simulated datacentre."""

    def __init__(self, cloud: VMCloud) -> None:
        clock, ids = LoopClock(), itertools.count(1)
        self.log = structlog.testing.CapturingLogger()
        log = structlog.wrap_logger(self.log, processors=[])
        store = self.store = Store()
        register_all(store)
        store.register(Namespace)
        self.inventory = Inventory(
            lambda _: cast("Driver", cloud.datacentre),
            cloud.lanes,
            self.enqueue,
            log,
            owned=lambda vm: declared(vm, self.store),
            kept=lambda vm: [*left_with(vm, self.store), *recorded_of(vm, self.store)],
        )
        self.registry = PoolRegistry(self.inventory.link, self.enqueue, clock.monotonic, log)
        self.secrets = SecretCache(cloud, clock.monotonic)
        addresses, segments, index = AddressAllocator(), SegmentAllocator(), HostIndex(self.recount)
        self.parts = Parts(
            store=store,
            inventory=self.inventory,
            pools=self.registry,
            library=Library(cast("ImageCache", cloud.images), 1 << 40, self.enqueue, clock, log),
            addresses=addresses,
            segments=segments,
            placements=(placements := Placements(store, index)),
            recovery=Recovery(store, self.inventory, addresses, segments, placements, clock),
            rooms=Rooms(store, index, Refusals(self.enqueue, clock.monotonic)),
            attachments=Attachments(store, self.inventory),
            contents=ContentsReader(clock.monotonic),
            calls=Calls(self.enqueue),
            sharding=Sharding(store, self.inventory, 1, lambda _: True),
        )
        self.manager = Manager(
            store,
            cloud.api,
            make_reconcilers(self.parts, self.secrets),
            options=Options(base.FINALIZER, "vireo.dev/paused"),
            make_condition=cast("Any", Condition),
            clock=clock,
            random=random.Random(cloud.seed).random,
            new_id=lambda: f"r{next(ids)}",
            fence=self.fence,
            metrics=Metrics(CollectorRegistry()),
            log=log,
            observers=[self.parts.placements.take, self.parts.rooms.take, self.parts.recovery.take],
        )
        self.watcher = Watcher(cloud.api, self.manager.intake)
        self.resync = Resync(cloud.api, self.manager.intake, [kind.kind for kind in API_KINDS], random.Random(0).random, log)
        self.tasks: list[asyncio.Task[None]] = []

    def fence(self) -> None:
        """Asked before each write. It leads alone: nobody is to be kept out."""

    async def start(self) -> None:
        self.tasks = [asyncio.create_task(self.resync.run())]
        await self.resync.synced()
        await self.parts.recovery.from_statuses()
        self.tasks.append(asyncio.create_task(self.manager.run()))

    async def kill(self) -> None:
        await self.parts.library.close()
        await self.parts.contents.close()
        await self.parts.calls.close()
        await super().kill()

    @property
    def errors(self) -> list[str]:
        """Unexpected exceptions that were logged."""
        return [str(call.kwargs) for call in self.log.calls if call.method_name == "error"]


@dataclass
class Stop:
    """Where the world stops: at the `number`-th point from now on (counted from 1), which then has this `name`."""

    number: int
    name: str = ""


class VMCloud(base.Cloud):
    """Users, an API server, a simulated datacentre, and one controller at a time."""

    controller: VMController

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        asyncio.get_running_loop().set_default_executor(_Inline())
        self.datacentre = Datacentre(settings or Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5))
        self.images = FakeImages()
        self.points: Counter[str] = Counter()
        self.path: list[str] = []
        self.passed_over = BACKGROUND | AROUND
        self.stop: Stop | None = None
        self.stopped = asyncio.Event()
        super().__init__(seed)
        self.api = base.furnished(self.make_api())
        self.controller = self.make_controller()

    def make_api(self) -> PointedApi:
        """An API server without objects."""
        return PointedApi(self.point)

    def make_controller(self) -> VMController:
        return VMController(self)

    def lanes(self, name: str = "") -> Lanes:
        control, state, work, transfer, events = (cast("Lane", PointedLane(self.point)) for _ in range(5))
        events = cast("Lane", InlineLane())
        return Lanes(control, state, work, transfer, events)

    async def point(self, name: str) -> None:
        """A step of the controller, unless it is `passed_over`. If it is the one to stop at, it ends in `halt`."""
        if {name.split()[1], name.rpartition(" of ")[2]} & self.passed_over:
            return
        self.points[name] += 1
        self.path.append(name)
        if self.stop is None:
            return
        self.stop.number -= 1
        if self.stop.number == 0:
            self.stop.name = name
            self.stopped.set()
            await self.halt()

    async def halt(self) -> None:
        """What becomes of whoever takes the step at which the world stops."""
        await asyncio.Event().wait()

    async def settle(self, seconds: float = 90.0) -> None:
        await super().settle(seconds)
        assert not self.controller.errors, self.controller.errors

    def _create(self, key: Key, document: dict[str, Any]) -> None:
        """In one step: who is older decides who gets a pinned number, so nobody may see an object without its age."""
        self.api.uids += 1
        created = f"2026-11-20T10:{self.api.uids // 60:02}:{self.api.uids % 60:02}Z"
        metadata = {"name": key.name, "namespace": key.namespace, "uid": f"uid-{self.api.uids}", "generation": 1}
        raw = {"kind": key.kind, "metadata": {**metadata, "creationTimestamp": created}, "spec": document["spec"]}
        self.api._store(key, raw, "ADDED")

    def namespace(self, name: str, **labels: str) -> None:
        key = Key("Namespace", "", name)
        raw = {
            "kind": "Namespace",
            "metadata": {"name": name, "namespace": "", "uid": f"ns-{name}", "generation": 1, "labels": labels},
        }
        self.api._store(key, raw, "MODIFIED" if key in self.api.objects else "ADDED")

    def edit(self, name: str = "web", **spec: Any) -> None:
        """Change the spec of a VM."""
        self.api.edit(Key("VirtualMachine", "shop", name), **spec)

    def vm(self, name: str = "web") -> dict[str, Any]:
        """Status of a VM."""
        return self.status("VirtualMachine", f"shop/{name}")

    def reason(self, name: str = "web", type: str = "Ready") -> tuple[str, str] | None:
        return self.condition("VirtualMachine", f"shop/{name}", type)

    def text(self, name: str = "web", type: str = "Ready") -> str:
        return self.message("VirtualMachine", f"shop/{name}", type)

    def job(self, name: str = "web") -> tuple[str, str]:
        """Command and status of the running or last job."""
        return self.vm(name)["job"]["command"], self.vm(name)["job"]["status"]

    def jobs(self, name: str = "web") -> list[tuple[str, str]]:
        """Every job that an object ever had, with the last status that was written of it."""
        seen: dict[str, tuple[str, str]] = {}
        for raw in self.api.history:
            job = raw.get("status", {}).get("job")
            if job and raw["metadata"]["name"] == name:
                seen[job["id"]] = (job["command"], job["status"])
        return list(seen.values())


class _Inline(concurrent.futures.ThreadPoolExecutor):
    """Runs at once what goes to a thread: virtual time does not pass while threads work."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def play(story: Callable[[VMCloud], Awaitable[None]], *, settings: Settings | None = None, seed: int = 0) -> VMCloud:
    """Run a story in virtual time, with a controller that is started before it and killed after it."""
    return base.play_in(lambda: VMCloud(settings, seed), story)


def hosts(count: int) -> str:
    """Hosts h1 and on, each with an endpoint of its own."""
    return "\n---\n".join(
        f'kind: Host\nmetadata: {{name: h{n}}}\nspec: {{cluster: c1, endpoint: {{url: "simulator://dc/host-{n:05d}"}}}}'
        for n in range(1, count + 1)
    )


TEMPLATE = """
kind: Template
metadata: {name: debian, namespace: shop}
spec: {source: {url: "https://images.example/debian.qcow2"}}
"""
NETWORK = """
kind: Network
metadata: {name: front, namespace: shop}
spec: {zone: z1, type: Shared, subnet: {cidr: 10.1.0.0/24, gateway: 10.1.0.1}}
"""
LARGE = """
kind: ServiceOffering
metadata: {name: large}
spec: {cpus: 4, memory: 8Gi}
"""


def site(count: int = 1) -> str:
    """Everything that VMs need, with so many hosts."""
    return "\n---\n".join([base.ZONE, base.POD, base.CLUSTER, hosts(count), base.POOL, base.OFFERING, LARGE, TEMPLATE, NETWORK])


def vm(name: str = "web", extra: str = "", networks: Iterable[str] = ("{name: front, network: front}",)) -> str:
    """A VM as a user writes it; `extra` goes into its spec."""
    return f"""
kind: VirtualMachine
metadata: {{name: {name}, namespace: shop}}
spec: {{zone: z1, offering: small, template: {{name: debian}}, networks: [{", ".join(networks)}]{", " if extra else ""}{extra}}}
"""
