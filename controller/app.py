"""The composition root: every part made once and put together. Nothing imports this but the command line."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from structlog.typing import FilteringBoundLogger

from controller.cluster import ClusterReconciler
from controller.host import HostReconciler, declared
from controller.host.spectator import HostSpectator
from controller.images import ImageCache, Limits, http_client
from controller.inventory import Inventory, PoolRegistry, endpoint_lanes
from controller.inventory.contents import ContentsReader
from controller.inventory.secrets import SecretCache
from controller.inventory.secrets import Secrets as SecretReader
from controller.ipam import AddressAllocator, SegmentAllocator
from controller.kube import run as kube
from controller.kube.kinds import ApiKind, Kinds
from controller.network import NetworkReconciler
from controller.offering import ServiceOfferingReconciler
from controller.placing.attachments import Attachments, left_with
from controller.placing.left import LeftNICs, recorded_of
from controller.placing.placement import Placements
from controller.placing.recovery import Recovery
from controller.placing.refusals import Refusals
from controller.placing.rooms import Rooms
from controller.placing.sharding import Sharding
from controller.pod import PodReconciler
from controller.pool import StoragePoolReconciler
from controller.runtime.attempt import Options
from controller.runtime.clock import SystemClock
from controller.runtime.keys import Key
from controller.runtime.lanes import LaneMetrics
from controller.runtime.manager import Manager
from controller.runtime.metrics import Metrics
from controller.runtime.reconciler import Reconciler
from controller.runtime.shards import Shards
from controller.runtime.store import Store
from controller.runtime.threads import Threads
from controller.scheduler.index import HostIndex
from controller.settings import Settings
from controller.shared.calls import Calls
from controller.shared.library import Library
from controller.shared.lookups import SETTLE, register_all, users_of_secret
from controller.shared.namespace import Namespace
from controller.shared.reach import Reach
from controller.snapshot import SnapshotReconciler
from controller.snapshot.services import Services as SnapshotServices
from controller.snapshotrestore import SnapshotRestoreReconciler
from controller.snapshotrestore.ending import Services as RestoreServices
from controller.telemetry import events
from controller.telemetry.metrics import DriverMetrics, EndpointMetrics, LifeMetrics
from controller.template import TemplateReconciler
from controller.template.pools import PoolCopies
from controller.vm import VirtualMachineReconciler
from controller.vm.addressing import Addressing
from controller.vm.delegation import Delegation
from controller.vm.services import Services
from controller.volume import VolumeReconciler
from controller.volume.services import Services as VolumeServices
from controller.zone import ZoneReconciler
from crds.base import GROUP, VERSION
from crds.status import Condition
from crds.v1alpha1 import KINDS, Host, VirtualMachine
from drivers.loader import load

HOSTS_ANSWER = 30.0
"""Seconds after which VMs that are as declared are looked at all the same, if opening all endpoints takes longer than that."""
FINALIZER = "vireo.dev/finalizer"
PAUSED = "vireo.dev/paused"

_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds between a term that crashed and the next
_STEADY = 300.0  # seconds after which a term that crashes counts as one that worked

API_KINDS = Kinds(
    [
        *(ApiKind(kind.KIND, GROUP, VERSION, kind.DEFINITION.plural, kind.DEFINITION.scope == "Namespaced") for kind in KINDS),
        ApiKind(Namespace.KIND, "", "v1", "namespaces", namespaced=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the reconcilers share."""

    store: Store
    inventory: Inventory
    pools: PoolRegistry
    library: Library
    addresses: AddressAllocator
    segments: SegmentAllocator
    placements: Placements
    recovery: Recovery
    rooms: Rooms
    attachments: Attachments
    contents: ContentsReader
    calls: Calls
    sharding: Sharding

    async def lead(self, shard: int) -> None:
        """Know what the statuses say now, before this process begins to work on a shard."""
        if self.sharding.count > 1:
            self.inventory.doubt()
        if shard == 0:
            if self.sharding.count > 1:
                await self.placements.from_statuses()
                await self.rooms.from_statuses()
            await self.recovery.from_statuses()


class Waker:
    """Puts keys on the queue of a manager that is made after those who wake."""

    def __init__(self) -> None:
        self.manager: Manager | None = None

    def __call__(self, key: Key) -> None:
        """Have an object reconciled soon."""
        if self.manager is not None:
            self.manager.enqueue(key)

    def greet(self, key: Key) -> None:
        """Have an object reconciled soon if somebody waits for it, else when there is time."""
        if self.manager is not None:
            self.manager.look_at(key)

    def recount(self, host: str) -> None:
        """Have what a Host has promised written, together with what comes after."""
        if self.manager is not None:
            self.manager.enqueue_after(Key(Host.KIND, "", host), SETTLE)


def make_parts(
    settings: Settings,
    images: ImageCache,
    wake: Waker,
    elector: Shards,
    registry: CollectorRegistry,
    log: FilteringBoundLogger,
) -> Parts:
    """Make what the reconcilers share, with nothing in it yet."""
    clock, store = SystemClock(), Store()
    register_all(store)
    store.register(Namespace)
    metrics, threads, drivers = LaneMetrics(registry), Threads(), DriverMetrics(registry).over(load)
    inventory = Inventory(
        drivers,
        lambda name: endpoint_lanes(name, elector.check, clock.monotonic, metrics, threads),
        wake,
        log,
        greet=wake.greet,
        owned=lambda vm: declared(vm, store),
        kept=lambda vm: [*left_with(vm, store), *recorded_of(vm, store)],
    )
    EndpointMetrics(registry, inventory.endpoints)
    addresses, segments, index = AddressAllocator(), SegmentAllocator(), HostIndex(wake.recount)
    placements = Placements(store, index)
    return Parts(
        store=store,
        inventory=inventory,
        pools=PoolRegistry(inventory.link, wake, clock.monotonic, log),
        library=Library(images, settings.image_cache_size, wake, clock, log),
        addresses=addresses,
        segments=segments,
        placements=placements,
        recovery=Recovery(store, inventory, addresses, segments, placements, clock),
        rooms=Rooms(store, index, Refusals(wake, clock.monotonic)),
        attachments=Attachments(store, inventory),
        contents=ContentsReader(clock.monotonic),
        calls=Calls(wake),
        sharding=Sharding(store, inventory, elector.count, elector.works_on),
    )


def make_reconcilers(parts: Parts, secrets: SecretReader) -> Sequence[Reconciler[Any]]:
    """One line for each kind."""
    left = LeftNICs(parts.store, parts.addresses)
    vm = Services(
        parts.inventory,
        parts.placements,
        Addressing(left),
        parts.library,
        parts.recovery,
        secrets,
        parts.rooms,
        parts.attachments,
        parts.contents,
        Delegation(parts.sharding),
        parts.pools,
        _new_id,
    )
    disks = (parts.contents, parts.rooms, parts.attachments)
    volume = VolumeServices(parts.inventory, parts.pools, *disks, parts.library, parts.calls, _new_id)
    reach, shared = Reach(parts.inventory, parts.pools), (parts.attachments, parts.rooms.refusals, parts.calls, _new_id)
    return [
        ZoneReconciler(),
        PodReconciler(),
        ClusterReconciler(),
        HostReconciler(parts.inventory, secrets, left, parts.placements, parts.pools),
        StoragePoolReconciler(parts.inventory, parts.pools, parts.library, secrets, parts.rooms.refusals),
        ServiceOfferingReconciler(),
        TemplateReconciler(parts.library, PoolCopies(parts.library, parts.inventory, parts.pools), _new_id),
        NetworkReconciler(parts.segments, left, parts.recovery, parts.inventory),
        VirtualMachineReconciler(vm),
        VolumeReconciler(volume),
        SnapshotReconciler(SnapshotServices(reach, parts.contents, *shared)),
        SnapshotRestoreReconciler(RestoreServices(reach, *shared)),
    ]


async def serve(settings: Settings, stop: asyncio.Event, log: FilteringBoundLogger) -> None:
    """Run the controller until `stop` is set, one term of leadership after another, each with everything made anew.

    A term that crashed is followed by a pause in which another process may take over, longer if crashes follow each other: what was
    at fault may pass, and if it does not, nobody should be kept busy by it.

    Raises controller.kube.credentials.CredentialsError, OSError when the probe port or the image directory can't be used.
    """
    identity = settings.identity or _identity()
    clock, pause = SystemClock(), _PAUSE
    while not stop.is_set():
        begun = clock.monotonic()
        try:
            await _term(settings, identity, stop, log)
        except kube.Crashed as crash:
            if clock.monotonic() - begun >= _STEADY:
                pause = _PAUSE
            log.error("a part of the controller failed, everything is begun anew", retry_after=pause, exc_info=crash)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _term(settings: Settings, identity: str, stop: asyncio.Event, log: FilteringBoundLogger) -> None:
    registry, wake = CollectorRegistry(), Waker()
    ProcessCollector(registry=registry)
    reach = kube.Settings(
        kubeconfig=settings.kubeconfig,
        identity=identity,
        lease_namespace=settings.lease_namespace,
        lease_name=settings.lease_name,
        probe_host=settings.probe_host,
        probe_port=settings.probe_port,
        shards=settings.shards,
    )
    async with AsyncExitStack() as stack:
        opened = kube.connect(API_KINDS, reach, clock=SystemClock(), random=random.random, registry=registry, log=log)
        connection = await stack.enter_async_context(opened)
        client = await stack.enter_async_context(http_client(Limits()))
        images = ImageCache(settings.image_directory, client, Limits())
        parts = make_parts(settings, images, wake, connection.elector, registry, log)
        for close in (parts.inventory.close, parts.pools.close, parts.library.close, parts.contents.close, parts.calls.close):
            stack.push_async_callback(close)
        secrets = SecretCache(connection.secrets, SystemClock().monotonic)
        manager = wake.manager = _manager(settings, parts, connection, secrets, wake, registry, log)
        await kube.run(
            manager,
            connection,
            reach,
            on_lead=parts.lead,
            on_secret=partial(_secret_changed, secrets, parts.store, wake),
            stop=stop,
            random=random.random,
            registry=registry,
            log=log,
        )


def _manager(
    settings: Settings,
    parts: Parts,
    connection: kube.Connection,
    secrets: SecretReader,
    wake: Waker,
    registry: CollectorRegistry,
    log: FilteringBoundLogger,
) -> Manager:
    sharding, observers = parts.sharding, [parts.placements.take, parts.rooms.take, parts.recovery.take]
    return Manager(
        parts.store,
        connection.api,
        make_reconcilers(parts, secrets),
        options=Options(
            FINALIZER,
            PAUSED,
            workers=settings.workers,
            settled_after={VirtualMachine.KIND: HOSTS_ANSWER},
            calm=lambda: parts.inventory.settled(key.name for key in parts.store.keys(Host.KIND)),
        ),
        make_condition=Condition,
        clock=SystemClock(),
        random=random.random,
        new_id=_new_id,
        fence=connection.elector.check,
        metrics=Metrics(registry),
        log=log,
        observers=[*observers, sharding.take] if sharding.count > 1 else observers,
        witnesses=[events.witness, LifeMetrics(registry, SystemClock()).witness],
        division=sharding if sharding.count > 1 else None,
        spectators={Host.KIND: HostSpectator(parts.store, parts.inventory, secrets, sharding, wake)},
    )


def _secret_changed(secrets: SecretCache, store: Store, wake: Callable[[Key], None], namespace: str, name: str) -> None:
    secrets.changed(namespace, name)
    for key in users_of_secret(store, namespace, name):
        wake(key)


def _identity() -> str:
    """The pod's name, which a restarted container keeps; elsewhere a name that no other process has."""
    name = socket.gethostname()
    return name if "KUBERNETES_SERVICE_HOST" in os.environ else f"{name}-{uuid.uuid4().hex[:8]}"


def _new_id() -> str:
    return str(uuid.uuid4())
