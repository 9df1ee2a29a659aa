"""Hypervisors in memory behind the driver contract, for tests that run in virtual time.

Calls are made inline instead of in threads (`inline_lanes`), so a hang is a fault that the lane turns into a timeout. Real threads
are tested where they matter, in tests of the lanes themselves.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from controller.inventory import Lanes
from controller.runtime.lanes import CallTimeout, Lane
from drivers.base import Connection, Driver
from drivers.errors import AuthFailed, Conflict, DriverError, NotFound, Unanswered
from drivers.types import (
    Capability,
    Done,
    Endpoint,
    Event,
    HostID,
    InstanceID,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    Owner,
    PoolSpec,
    Power,
    Running,
    StoredFile,
)

ALL = frozenset(Capability)
GIB = 2**30


class Hang(Exception):
    """A call that never returns."""


class InlineLane:
    """Has the face of a Lane, and makes calls in the event loop."""

    def __init__(self) -> None:
        self.closed = False

    async def call(self, function: Callable[..., Any], *args: Any, timeout: float) -> Any:
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(0.001)
                result = function(*args)
                return await result if inspect.isawaitable(result) else result
        except Hang:
            await asyncio.sleep(timeout)
            raise CallTimeout("no answer") from None
        except TimeoutError:
            raise CallTimeout("no answer") from None

    def close(self) -> None:
        self.closed = True


def inline_lanes(name: str = "") -> Lanes:
    control, state, work, transfer, events = (cast("Lane", InlineLane()) for _ in range(5))
    return Lanes(control, state, work, transfer, events)


def host(name: str = "h1", *, native_id: str = "", cpus: int = 8, memory: int = 32 * GIB, up: bool = True) -> ObservedHost:
    return ObservedHost(HostID(name), native_id or f"id-{name}", "fake", "1.0", cpus, memory, up)


def vm(instance: str = "i1", *, host: str = "h1", power: Power = Power.ON, cpus: int = 1, name: str = "") -> ObservedVM:
    owner = Owner(uid=f"uid-{instance}", namespace="shop", name=name or instance)
    return ObservedVM(InstanceID(instance), owner, name or instance, HostID(host), power, cpus, GIB, cpus, GIB)


class Hypervisor:
    """One endpoint. `faults` maps a call's name to what it raises; "*" stands for every call."""

    def __init__(self, *hosts: ObservedHost, password: str = "", capabilities: frozenset[Capability] = ALL) -> None:
        self.hosts = {each.host: each for each in hosts}
        self.password = password
        self.capabilities = capabilities
        self.vms: dict[InstanceID, ObservedVM] = {}
        self.pools: dict[tuple[HostID, str], ObservedPool] = {}
        self.defined: dict[tuple[HostID, str], PoolSpec] = {}
        self.ensured: list[PoolSpec] = []
        self.images: set[tuple[str, str]] = set()
        self.files: list[StoredFile] = []
        self.faults: dict[str, Exception] = {}
        self.calls: Counter[str] = Counter()
        self.events: list[Event] = []
        self.connections: list[FakeConnection] = []
        self.before: dict[str, Callable[[], None]] = {}
        self.pool_size = ObservedPool("", 100 * GIB, 80 * GIB)
        self.listeners: list[Callable[[], None]] = []

    def did(self, call: str) -> None:
        """Count a call, and let it fail if it is to."""
        self.calls[call] += 1
        if hook := self.before.get(call):
            hook()
        if fault := self.faults.get(call) or self.faults.get("*"):
            raise fault

    def notify(self, *events: Event) -> None:
        self.events.extend(events)
        for notify in self.listeners:
            notify()

    def subscribe(self, notify: Callable[[], None]) -> None:
        self.did("subscribe")
        self.listeners = [notify]

    def fetch(self) -> Sequence[Event]:
        self.did("fetch")
        events, self.events = self.events, []
        return events

    def set_host(self, name: str, **changes: Any) -> None:
        self.hosts[HostID(name)] = replace(self.hosts[HostID(name)], **changes)

    @property
    def open(self) -> int:
        """Connections that were not closed."""
        return sum(not connection.closed for connection in self.connections)


class FakeConnection:
    """Every group of calls in one object."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._of = hypervisor
        self.closed = 0
        self.capabilities = hypervisor.capabilities
        self.hosts = self.compute = self.power = self.storage = self.tasks = self
        self.events = hypervisor

    def close(self) -> None:
        self.closed += 1

    def list_hosts(self) -> Sequence[ObservedHost]:
        self._of.did("list_hosts")
        return list(self._of.hosts.values())

    def observe_all(self) -> Mapping[InstanceID, ObservedVM]:
        seen = dict(self._of.vms)
        self._of.did("observe_all")
        return seen

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        seen = self._of.vms.get(instance)
        self._of.did("observe")
        if seen is None or seen.host != host:
            raise NotFound(f"no VM {instance}")
        return seen

    def start(self, host: HostID, instance: InstanceID) -> Done:
        self._of.did("start")
        self._of.vms[instance] = replace(self._of.vms[instance], power=Power.ON)
        return Done()

    def poll(self, op: str) -> Running:
        self._of.did("poll")
        return Running()

    def ensure_pool(self, host: HostID, pool: PoolSpec) -> ObservedPool:
        self._of.did("ensure_pool")
        self._of.did(f"ensure_pool on {host}")
        self._of.ensured.append(pool)
        size = replace(self._of.pool_size, name=pool.name)
        self._of.pools[host, pool.name] = size
        self._of.defined.setdefault((host, pool.path), replace(pool, shared=False))
        return size

    def release_pool(self, host: HostID, pool: PoolSpec) -> Done:
        self._of.did("release_pool")
        self._of.did(f"release_pool on {host}")
        self._of.defined.pop((host, pool.path), None)
        return Done()

    def list_pools(self, host: HostID) -> Sequence[PoolSpec]:
        self._of.did("list_pools")
        return [pool for (where, _), pool in self._of.defined.items() if where == host]

    def delete_image(self, host: HostID, pool: PoolSpec, image: str) -> Done:
        self._of.did("delete_image")
        self._of.images.discard((pool.name, image))
        return Done()

    def list_files(self, host: HostID, pool: PoolSpec) -> Sequence[StoredFile]:
        self._of.did("list_files")
        return list(self._of.files)


@dataclass
class FakeDriver:
    """Connects to `hypervisors` by URL; what has no hypervisor does not answer."""

    hypervisors: dict[str, Hypervisor]
    attempts: Counter[str]

    def connect(self, endpoint: Endpoint) -> Connection:
        self.attempts[endpoint.url] += 1
        hypervisor = self.hypervisors.get(endpoint.url)
        if hypervisor is None:
            raise Unanswered(f"{endpoint.url} does not answer")
        hypervisor.did("connect")
        if hypervisor.password and endpoint.credentials.password != hypervisor.password:
            raise AuthFailed("login refused")
        connection = FakeConnection(hypervisor)
        hypervisor.connections.append(connection)
        return cast("Connection", connection)


class Hypervisors(dict[str, Hypervisor]):
    """All endpoints of a test, by URL, and the function that loads their driver."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = FakeDriver(self, Counter())

    def load(self, hypervisor: str) -> Driver:
        return cast("Driver", self.driver)


IN_USE = Conflict("a disk is layered on it")
LOST = Unanswered("connection lost")
UNKNOWN = DriverError("something else")
