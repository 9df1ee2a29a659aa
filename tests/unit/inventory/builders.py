"""An inventory over hypervisors in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from controller.inventory import Cadence, HostLink, Inventory, PoolRegistry
from controller.runtime.keys import Key
from drivers.types import Capability, Credentials, Endpoint, InstanceID
from tests.support.hypervisors import ALL, Hypervisor, Hypervisors, host, inline_lanes, vm
from tests.unit.runtime.virtual import run

CADENCE = Cadence()
H1 = Key("Host", "", "h1")
WEB = Key("VirtualMachine", "shop", "web")


def with_web(capabilities: frozenset[Capability] = ALL) -> Hypervisor:
    hypervisor = Hypervisor(host(), capabilities=capabilities)
    hypervisor.vms[InstanceID("web")] = vm("web")
    return hypervisor


def quiet_log() -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])
    return log


class Bench:
    """An Inventory, its hypervisors, and the keys that it woke."""

    def __init__(self) -> None:
        self.hypervisors = Hypervisors()
        self.woken: list[Key] = []
        self.lanes = []  # type: ignore[var-annotated]
        self.inventory = Inventory(self.hypervisors.load, self._lanes, self.woken.append, quiet_log())

    def _lanes(self, name: str):  # type: ignore[no-untyped-def]
        self.lanes.append(inline_lanes(name))
        return self.lanes[-1]

    def serve(self, url: str, hypervisor: Hypervisor) -> Hypervisor:
        self.hypervisors[url] = hypervisor
        return hypervisor

    def attach(self, host: str, url: str, *, password: str = "", native: str = "", sole: bool = True) -> HostLink:
        endpoint = Endpoint(url, Credentials(password=password))
        return self.inventory.attach(host, "Fake", endpoint, native or host, sole=sole)

    async def pass_time(self, seconds: float = 1.0) -> list[Key]:
        """Let time pass; returns the keys woken meanwhile, each once, sorted."""
        self.woken.clear()
        await asyncio.sleep(seconds)
        return sorted(set(self.woken))


def play(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def told() -> None:
        bench = Bench()
        try:
            await story(bench)
        finally:
            await bench.inventory.close()

    run(told())


def story_of(tell: Callable[[Bench, PoolRegistry], Awaitable[None]]) -> None:
    """Tell a story about storage pools on hosts."""

    async def story(bench: Bench) -> None:
        clock = asyncio.get_running_loop().time
        registry = PoolRegistry(bench.inventory.link, bench.woken.append, clock, quiet_log())
        try:
            await tell(bench, registry)
        finally:
            await registry.close()

    play(story)
