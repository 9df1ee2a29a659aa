"""Simulated hosts in this process, in the time of the event loop: drivers call them without threads and without a network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from drivers.base import Connection
from drivers.errors import DriverError, Unanswered
from drivers.simulator.connection import SimulatorConnection
from drivers.simulator.engine.actions import Act, Action
from drivers.simulator.engine.census import Census, take_census
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.model import VM
from drivers.simulator.engine.settings import Settings
from drivers.simulator.methods import METHODS, News
from drivers.simulator.service import Service
from drivers.types import Endpoint, HostID
from tests.support.hypervisors import Hang

EPOCH = 1_000_000.0
_POLL = 20.0


class LoopTime:
    """The engine's clock, driven by the loop's."""

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps in the event loop")


class DirectTransport:
    """Calls the service in the event loop; a hang is left to the lane to end."""

    def __init__(self, service: Service, woken: asyncio.Event) -> None:
        self.service = service
        self.woken = woken
        self.closed = False
        self._listening: asyncio.Task[None] | None = None

    def request(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        if self.closed:
            raise Unanswered("the connection is closed")
        service = self.service
        service.advance()
        silent = service.unreachable(session, method, args)
        faults = [] if silent else service.strike(method, args)
        if silent or any(fault.kind is FaultKind.HANG for fault in faults):
            raise Hang
        try:
            result = service.execute(session, method, args, faults)
        finally:
            if METHODS[method].mutates:
                self.woken.set()
        if any(fault.kind is FaultKind.LOSE_REPLY for fault in faults):
            raise Unanswered("the connection was lost", outcome_unknown=METHODS[method].mutates)
        return result

    def listen(self, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen(session, epoch, cursor, heard))

    async def _listen(self, session: str, epoch: str, cursor: int, heard: Callable[[News | None], None]) -> None:
        """A poll of the server, and another one while there is nothing new."""
        news: News | None = None
        try:
            while True:
                news = self.request(session, "events.wait", (epoch, cursor, 0.0))
                if news is not None and (news.events or news.lost):
                    break
                self.woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._longest_wait()):
                        await self.woken.wait()
        except Hang:
            await asyncio.sleep(_POLL)
            news = None
        except DriverError:
            news = None
        heard(news)

    def _longest_wait(self) -> float:
        """Seconds until the server says that there is nothing new, or something happens by itself."""
        due = self.service.dc.timers.next_due()
        return _POLL if due is None else min(_POLL, max(0.001, due - EPOCH - asyncio.get_running_loop().time()))

    def close(self, session: str) -> None:
        self.closed = True
        if self._listening is not None:
            self._listening.cancel()
        self.service.execute(session, "logout", (), [])


class Datacentre:
    """The simulated hosts, what happens to them, and what is there; `acts` is what was done behind Vireo's back."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service(settings, LoopTime(), random=random.Random(1), epoch="e")
        self.woken = asyncio.Event()
        self.acts: list[Action] = []

    def connect(self, endpoint: Endpoint) -> Connection:
        transport = DirectTransport(self.service, self.woken)
        return SimulatorConnection(transport, endpoint.credentials, endpoint.url.removeprefix("simulator://dc/"), endpoint.cloud)

    def fail(self, method: str, kind: FaultKind = FaultKind.ERROR, *, count: int | None = 1, **values: Any) -> None:
        """Let the next calls of a method go wrong."""
        self.service.faults.add(Fault(kind, method, count=count, **values), self.service.clock.now())

    def heal(self) -> None:
        self.service.faults.clear()

    def act(self, act: Act, target: str = "", value: str = "") -> None:
        """Do something behind Vireo's back; a VM is named by its object's name."""
        named = [vm for vm in self.vms if vm.owner and vm.owner.name == target]
        action = Action(act, f"{named[0].host}/{named[0].instance}" if named else target, value)
        self.service.actions.do(action)
        self.acts.append(action)
        self.woken.set()

    @property
    def vms(self) -> list[VM]:
        self.service.advance()
        return [vm for host in self.service.dc.hosts.values() for vm in host.vms.values()]

    def vm(self, name: str = "web") -> VM:
        """The one VM of an object."""
        [found] = [vm for vm in self.vms if vm.owner and vm.owner.name == name]
        return found

    @property
    def census(self) -> Census:
        return take_census(self.service.dc)

    def forget_image(self, host: str = "host-00001") -> None:
        """Somebody empties the pools of a host by hand."""
        for key, pool in self.service.dc.pools.items():
            if key.host in ("", HostID(host)):
                pool.images.clear()
