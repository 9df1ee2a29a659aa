"""A controller for the infrastructure kinds over an API server and hypervisors in memory, in virtual time.

Objects are given as YAML, as a user writes them. `settle` lets time pass; histories are kept by the API server.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import structlog
import yaml
from prometheus_client import CollectorRegistry

from controller.cluster import ClusterReconciler
from controller.host import HostReconciler, declared
from controller.inventory import Inventory, PoolRegistry
from controller.inventory.secrets import SecretCache
from controller.ipam import AddressAllocator
from controller.offering import ServiceOfferingReconciler
from controller.placing.left import LeftNICs
from controller.placing.placement import Placements
from controller.placing.refusals import Refusals
from controller.pod import PodReconciler
from controller.pool import StoragePoolReconciler
from controller.runtime.attempt import Options
from controller.runtime.keys import Key
from controller.runtime.manager import Manager
from controller.runtime.metrics import Metrics
from controller.runtime.resync import Resync
from controller.runtime.store import Store
from controller.scheduler import HostIndex
from controller.shared.library import Library
from controller.shared.lookups import SETTLE, register_all, users_of_secret
from controller.shared.namespace import SYSTEM, Namespace
from controller.zone import ZoneReconciler
from crds.status import Condition
from crds.v1alpha1 import KINDS
from tests.support import kstatus
from tests.support.hypervisors import Hypervisors, inline_lanes
from tests.unit.runtime.fakes import FakeApi, Watcher
from tests.unit.runtime.virtual import LoopClock, run

FINALIZER = "vireo.dev/finalizer"
_NAMESPACED = {kind.KIND for kind in KINDS if kind.DEFINITION.scope == "Namespaced"}


class StillLibrary:
    """The Library as far as pools use it: what was lost."""

    def __init__(self) -> None:
        self.gone: list[tuple[str, str]] = []

    def lost(self, template: Any, pool: str) -> None:
        self.gone.append((template.metadata.name, pool))


class Controller:
    """One controller process: everything in it is lost when it is killed."""

    def __init__(self, cloud: Cloud) -> None:
        clock, ids = LoopClock(), itertools.count(1)
        log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
        self.store = Store()
        register_all(self.store)
        self.store.register(Namespace)
        self.inventory = Inventory(
            cloud.hypervisors.load, inline_lanes, self.enqueue, log, owned=lambda vm: declared(vm, self.store)
        )
        self.registry = PoolRegistry(self.inventory.link, self.enqueue, clock.monotonic, log)
        self.addresses = AddressAllocator()
        self.placements = Placements(self.store, HostIndex(self.recount))
        self.secrets = SecretCache(cloud, clock.monotonic)
        self.manager = Manager(
            self.store,
            cloud.api,
            [
                ZoneReconciler(),
                PodReconciler(),
                ClusterReconciler(),
                HostReconciler(self.inventory, self.secrets, LeftNICs(self.store, self.addresses), self.placements, self.registry),
                StoragePoolReconciler(
                    self.inventory,
                    self.registry,
                    cast("Library", cloud.library),
                    self.secrets,
                    Refusals(self.enqueue, clock.monotonic),
                ),
                ServiceOfferingReconciler(),
            ],
            options=Options(FINALIZER, "vireo.dev/paused"),
            make_condition=cast("Any", Condition),
            clock=clock,
            random=random.Random(cloud.seed).random,
            new_id=lambda: f"r{next(ids)}",
            fence=lambda: None,
            metrics=Metrics(CollectorRegistry()),
            log=log,
            observers=[self.placements.take],
        )
        self.watcher = Watcher(cloud.api, self.manager.intake)
        self.resync = Resync(
            cloud.api, self.manager.intake, [*(kind.KIND for kind in KINDS), Namespace.KIND], random.Random(0).random, log
        )
        self.tasks: list[asyncio.Task[None]] = []

    def enqueue(self, key: Key) -> None:
        self.manager.enqueue(key)

    def recount(self, host: str) -> None:
        self.manager.enqueue_after(Key("Host", "", host), SETTLE)

    async def start(self) -> None:
        self.tasks = [asyncio.create_task(self.resync.run())]
        await self.resync.synced()
        self.tasks.append(asyncio.create_task(self.manager.run()))

    async def kill(self) -> None:
        """Die without a goodbye; the dead don't die again."""
        if not self.tasks:
            return
        self.watcher.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.registry.close()
        await self.inventory.close()


CLOUD = "uid-of-kube-system"
GIVEN = Key(Namespace.KIND, "", SYSTEM)
AnyApi = TypeVar("AnyApi", bound=FakeApi)


def furnished(api: AnyApi) -> AnyApi:
    """With GIVEN, which a Kubernetes cluster has from its beginning."""
    api.chunk = 500
    metadata = {"name": GIVEN.name, "namespace": "", "uid": CLOUD, "generation": 1}
    api._store(GIVEN, {"kind": GIVEN.kind, "metadata": metadata}, "ADDED")
    return api


class Cloud:
    """Users, an API server, hypervisors, Secrets, and one controller at a time."""

    def __init__(self, seed: int = 0) -> None:
        self.api = furnished(FakeApi())
        self.hypervisors = Hypervisors()
        self.library = StillLibrary()
        self.data: dict[tuple[str, str], Mapping[str, bytes]] = {}
        self.reads = 0
        self.seed = seed
        self.controller = self.make_controller()

    def make_controller(self) -> Controller:
        """A controller that knows nothing yet."""
        return Controller(self)

    # Users

    def apply(self, text: str) -> None:
        """`kubectl apply`: create each object of the YAML documents, or change the spec of one that is there."""
        for document in yaml.safe_load_all(text):
            self._apply(document)

    def delete(self, kind: str, name: str) -> None:
        self.api.delete(_key(kind, name))

    def annotate(self, kind: str, name: str, annotation: str, value: str) -> None:
        self.api.annotate(_key(kind, name), annotation, value)

    def set_status(self, kind: str, name: str, **status: Any) -> None:
        """What another controller writes."""
        raw = copy.deepcopy(self.api.objects[_key(kind, name)])
        raw["status"] = {**raw.get("status", {}), **status}
        self.api._store(_key(kind, name), raw, "MODIFIED")

    def wipe_status(self) -> None:
        """As after a restore of etcd without status."""
        for key in list(self.api.objects):
            self.api.wipe_status(key)

    def set_secret(self, namespace: str, name: str, **data: str | None) -> None:
        """Create or change a Secret (`tls_crt` stands for tls.crt), and tell the controller, as its watch on Secrets does."""
        self.data[namespace, name] = {key.replace("_", "."): value.encode() for key, value in data.items() if value is not None}
        self._secret_changed(namespace, name)

    def remove_secret(self, namespace: str, name: str) -> None:
        del self.data[namespace, name]
        self._secret_changed(namespace, name)

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The `Secrets` port."""
        self.reads += 1
        await asyncio.sleep(0.001)
        return self.data.get((namespace, name))

    # Time

    async def settle(self, seconds: float = 90.0) -> None:
        """Let so much time pass, and check that no version of any object contradicted itself meanwhile."""
        seen = len(self.api.history)
        await asyncio.sleep(seconds)
        for raw in self.api.history[seen:]:
            assert not kstatus.contradictions(raw), (kstatus.contradictions(raw), raw)

    async def restart(self) -> None:
        """Kill the controller and start another."""
        await self.controller.kill()
        self.controller = self.make_controller()
        await self.controller.start()

    # Looking

    def raw(self, kind: str, name: str) -> dict[str, Any]:
        return self.api.objects[_key(kind, name)]

    def exists(self, kind: str, name: str) -> bool:
        return _key(kind, name) in self.api.objects

    def status(self, kind: str, name: str) -> dict[str, Any]:
        return self.raw(kind, name).get("status", {})

    def condition(self, kind: str, name: str, type: str) -> tuple[str, str] | None:
        """Status and reason of a condition, None if it is not there."""
        found = [each for each in self.status(kind, name).get("conditions", ()) if each["type"] == type]
        return (found[0]["status"], found[0]["reason"]) if found else None

    def message(self, kind: str, name: str, type: str = "Ready") -> str:
        return next(each.get("message", "") for each in self.status(kind, name)["conditions"] if each["type"] == type)

    def kstatus(self, kind: str, name: str) -> str:
        return kstatus.compute(self.raw(kind, name))

    def events(self, name: str) -> list[str]:
        """Reasons of the Events about an object, in order."""
        return [event.reason for event in self.api.events if event.key.name == name]

    @property
    def writes(self) -> int:
        return sum(self.api.writes.values())

    def _apply(self, document: dict[str, Any]) -> None:
        kind, name = document["kind"], document["metadata"]["name"]
        key = _key(kind, name if kind not in _NAMESPACED else f"{document['metadata'].get('namespace', 'shop')}/{name}")
        if key in self.api.objects:
            self.api.edit(key, **document["spec"])
            return
        self._create(key, document)

    def _create(self, key: Key, document: dict[str, Any]) -> None:
        self.api.create(key.kind, key.name, key.namespace, **document["spec"])
        raw = copy.deepcopy(self.api.objects[key])
        raw["metadata"]["creationTimestamp"] = f"2026-11-20T10:{self.api.uids // 60:02}:{self.api.uids % 60:02}Z"
        if "status" in document:
            raw["status"] = document["status"]
        self.api._store(key, raw, "MODIFIED")

    def _secret_changed(self, namespace: str, name: str) -> None:
        self.controller.secrets.changed(namespace, name)
        for key in users_of_secret(self.controller.store, namespace, name):
            self.controller.enqueue(key)


def _key(kind: str, name: str) -> Key:
    namespace, _, short = name.rpartition("/")
    return Key(kind, namespace, short)


AnyCloud = TypeVar("AnyCloud", bound=Cloud)


def play(story: Callable[[Cloud], Awaitable[None]], *, seed: int = 0) -> Cloud:
    """Run a story in virtual time, with a controller that is started before it and killed after it."""
    return play_in(lambda: Cloud(seed), story)


def play_in(make: Callable[[], AnyCloud], story: Callable[[AnyCloud], Awaitable[None]]) -> AnyCloud:
    """The same in a cloud of one's own make, which is made in the loop."""

    async def told() -> AnyCloud:
        cloud = make()
        await cloud.controller.start()
        try:
            await story(cloud)
        finally:
            await cloud.controller.kill()
        return cloud

    return run(told())


ZONE = """
kind: Zone
metadata: {name: z1}
spec: {guestVlans: [{start: 100, end: 109}]}
"""
POD = """
kind: Pod
metadata: {name: p1}
spec: {zone: z1, managementCIDR: 10.0.0.0/24}
"""
CLUSTER = """
kind: Cluster
metadata: {name: c1}
spec: {zone: z1, pod: p1, hypervisor: Simulator, overcommit: {cpu: "2", memory: "1.5"}}
"""
HOST = """
kind: Host
metadata: {name: h1}
spec: {cluster: c1, endpoint: {url: "fake://h1"}}
"""
POOL = """
kind: StoragePool
metadata: {name: s1}
spec: {zone: z1, scope: Zone, type: Directory, path: /srv/vms}
"""
OFFERING = """
kind: ServiceOffering
metadata: {name: small}
spec: {cpus: 2, memory: 4Gi}
"""
BASE = "\n---\n".join([ZONE, POD, CLUSTER, HOST, POOL, OFFERING])
"""One host at fake://h1 and all that it needs."""


def vm(name: str = "web", *, host: str = "h1", offering: str = "small", pool: str = "s1", size: str = "10Gi") -> str:
    """A placed VM, as its own reconciler leaves it."""
    return f"""
kind: VirtualMachine
metadata: {{name: {name}, namespace: shop}}
spec: {{zone: z1, offering: {offering}, template: {{name: debian}}}}
status: {{host: {host}, cluster: c1, disks: [{{name: root, pool: {pool}, size: {size}}}]}}
"""
