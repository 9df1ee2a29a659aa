"""One endpoint: connected in the background, watched through native events, observed as a whole from time to time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from controller.inventory.entry import Entry
from controller.inventory.lanes import Lanes
from controller.inventory.link import LinkState
from controller.inventory.opening import opened
from controller.inventory.outcomes import is_refusal
from controller.inventory.pacing import Cadence, Pace
from controller.inventory.snapshot import Snapshot
from controller.inventory.strangers import Strangers
from drivers.adoption import FoundVM
from drivers.base import Connection, Driver
from drivers.errors import Busy, Conflict, DriverError, NotFound, Transient
from drivers.types import Capability, Endpoint, Event, HostChanged, HostID, InstanceID, ObservedHost, ObservedVM, VMChanged

R = TypeVar("R")


class Listener(Protocol):
    """Who is told what changed on an endpoint."""

    def hosts_changed(self, session: Session, hosts: Collection[HostID] | None) -> None:
        """These hosts changed, appeared or vanished; None: the session's own state did, and so that of all its hosts."""

    def vms_changed(self, vms: Iterable[ObservedVM]) -> None:
        """These VMs appeared, changed or vanished."""

    def vms_met(self, vms: Iterable[ObservedVM]) -> None:
        """These VMs are on an endpoint that has just been connected, or are no longer: most of them have not changed."""


class Session:
    """A connection to an endpoint that is made and kept by `run`.

    `state`, `message`, `reason`, `hosts`, `capabilities` tell how it stands; `snapshot` holds the VMs; `attempted` tells whether
    the first attempt to connect has ended, so that `state` is an answer and not the lack of one.
    """

    def __init__(
        self,
        load: Callable[[], Driver],
        endpoint: Endpoint,
        lanes: Lanes,
        listener: Listener,
        log: FilteringBoundLogger,
        cadence: Cadence,
        snapshot: Snapshot,
        entry: Entry,
    ) -> None:
        self.lanes = lanes
        self.state = LinkState.CONNECTING
        self.message = "not connected yet"
        self.reason = "Connecting"
        self.hosts: Mapping[HostID, ObservedHost] = {}
        self.capabilities: frozenset[Capability] = frozenset()
        self.snapshot = snapshot
        self.attempted = False
        self._load = load
        self._endpoint = endpoint
        self._listener = listener
        self._log = log
        self._cadence = cadence
        self._entry = entry
        self._connection: Connection | None = None
        self._connects = 0
        self._boots: Counter[HostID] = Counter()
        self._news = asyncio.Event()
        self._resync = asyncio.Event()
        self._searching = asyncio.Lock()
        self._strangers = Strangers()

    def connection(self) -> Connection:
        """The open connection. Raises Transient with the reason while the endpoint is not up."""
        if self._connection is None or self.state is not LinkState.UP:
            raise Transient(self.message)
        return self._connection

    def epoch(self, host: HostID) -> int:
        """Counts connections of the endpoint and returns of the host: what was prepared on it holds for one epoch."""
        return self._connects + self._boots[host]

    def look_around(self) -> None:
        """Observe all VMs soon: one that was expected on some host is not there, and may be on another."""
        self._resync.set()

    def doubt(self) -> None:
        """Rely on nothing that was seen so far: others have changed things here. All is observed anew soon."""
        self.snapshot.doubt()
        self._resync.set()

    async def search(self, instance: InstanceID) -> None:
        """Look for a VM on every host of the endpoint, now; what was last seen may be minutes old. The snapshot then knows.

        Raises DriverError if that can't be found out; an endpoint that is not up is not asked.
        """
        if self._connection is None or self.state is not LinkState.UP:
            return
        connection, asked = self._connection, self.snapshot.moment()
        if len(self.hosts) == 1:
            await self._look_on(connection, next(iter(self.hosts)), instance)
            return
        async with self._searching:
            if self.snapshot.surveyed < asked:
                self._listener.vms_changed(await self._survey(connection))

    async def relist(self) -> None:
        """Know which hosts there are now. Raises DriverError."""
        await self._list_hosts(self.connection())

    async def look_for(self, instance: InstanceID) -> Sequence[FoundVM]:
        """Every VM with this identity on the endpoint, whoever made it; none if it is not up or can't tell. Raises DriverError."""
        if self._connection is None or self.state is not LinkState.UP or Capability.ADOPTION not in self.capabilities:
            return ()
        return await self.lanes.read(self._connection.adoption.find, instance)

    async def _look_on(self, connection: Connection, host: HostID, instance: InstanceID) -> None:
        asked = self.snapshot.moment()
        try:
            vm = await self.lanes.read(connection.compute.observe, host, instance)
        except (NotFound, Conflict):
            vm = None  # not there, or somebody else's
        self.snapshot.put(instance, vm, asked)

    async def run(self) -> None:
        """Connect, watch and observe until cancelled; every failure leads to a new attempt, later and later."""
        pace, clock = Pace(self._cadence), asyncio.get_running_loop().time
        try:
            while True:
                started = clock()
                failure = await self._live()
                lasted = clock() - started
                self._down(failure)
                await self._disconnect()
                await asyncio.sleep(pace.after(failure, lasted))
        finally:
            try:
                await self._disconnect()
            finally:
                self.lanes.close()

    async def _live(self) -> DriverError:
        """Connect and serve until something fails; returns what did."""
        try:
            async with self._entry.place():
                connection = self._connection = await opened(self.lanes, self._load, self._endpoint)
                await self._take_stock(connection)
            await self._serve(connection)
        except DriverError as error:
            return error
        except Exception as error:
            self._log.error("unexpected failure in a driver", exc_info=error)
            return DriverError(f"unexpected {type(error).__name__} in the driver: the controller's log has the details")
        return Transient("the connection ended")

    async def _take_stock(self, connection: Connection) -> None:
        """Learn all about a new connection; events are subscribed to first, so that no change falls in between."""
        self.capabilities = connection.capabilities
        hosts = await self.lanes.connect(connection.hosts.list_hosts)
        if Capability.EVENTS in self.capabilities:
            await self.lanes.listen(connection.events.subscribe, self._notifier())
        changed = await self._survey(connection)
        self.hosts = {host.host: host for host in hosts}
        self.state, self.message, self.reason = LinkState.UP, "", ""
        self.attempted = True
        self._connects += 1
        self._listener.hosts_changed(self, None)
        self._listener.vms_met(changed)

    async def _serve(self, connection: Connection) -> None:
        pumps = [asyncio.create_task(self._heartbeat(connection)), asyncio.create_task(self._observe(connection))]
        if Capability.EVENTS in self.capabilities:
            pumps.append(asyncio.create_task(self._listen(connection)))
        try:
            finished, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in finished:
                pump.result()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _heartbeat(self, connection: Connection) -> None:
        """List the hosts regularly. A long silence is the end at once: this is what tells whether the endpoint answers at all."""
        while True:
            await asyncio.sleep(self._cadence.heartbeat)
            await self._surely(lambda: self._list_hosts(connection), longest=self._cadence.heartbeat)

    async def _observe(self, connection: Connection) -> None:
        """Observe all VMs regularly, and whenever events may have been lost."""
        period = self._cadence.looks(self.capabilities, self._endpoint.url)
        while True:
            try:
                async with asyncio.timeout(period):
                    await self._resync.wait()
                await asyncio.sleep(self._cadence.gather)
            except TimeoutError:
                self._strangers.forget()
            self._resync.clear()
            try:
                self._listener.vms_changed(await self._surely(lambda: self._survey(connection)))
            except Busy as busy:
                self._resync.set()
                await asyncio.sleep(busy.retry_after)

    async def _listen(self, connection: Connection) -> None:
        """Take in native events; when some may be lost, look at everything. Between them no thread is held."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                events = await self.lanes.listen(connection.events.fetch)
            except Transient:
                await asyncio.sleep(self._cadence.first_retry)
                await self._list_hosts(connection)
                self._resync.set()
                self._news.set()  # fetched again until the driver no longer complains
            else:
                await self._take(connection, events)

    def _notifier(self) -> Callable[[], None]:
        """What a new connection calls, in any thread, when it has news."""
        loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        news = self._news

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(news.set)

        return notify

    async def _take(self, connection: Connection, events: Iterable[Event]) -> None:
        hosts = False
        changed: dict[InstanceID, ObservedVM] = {}
        for event in events:
            match event:
                case VMChanged(instance):
                    known = self.snapshot.get(instance)
                    if known is not None:
                        changed[instance] = known
                    elif self.snapshot.is_fresh(instance) and self._strangers.meet(instance):
                        self._resync.set()  # nobody here made it: it may be one of ours that was moved here
                    self.snapshot.mark_stale(instance)
                case HostChanged():
                    hosts = True
        self._listener.vms_changed(changed.values())
        if hosts:
            await self._list_hosts(connection)
            self._resync.set()

    async def _list_hosts(self, connection: Connection) -> None:
        hosts = {host.host: host for host in await self.lanes.connect(connection.hosts.list_hosts)}
        changed = {host for host in hosts.keys() | self.hosts.keys() if hosts.get(host) != self.hosts.get(host)}
        self._boots.update(host for host in changed if _up(hosts.get(host)) and not _up(self.hosts.get(host)))
        appeared = hosts.keys() - self.hosts.keys()
        self.hosts = hosts
        if appeared:  # VMs may have run there all the time, unseen
            self.doubt()
        if changed:
            self._listener.hosts_changed(self, changed)

    async def _surely(self, look: Callable[[], Awaitable[R]], longest: float = inf) -> R:
        """Look at the endpoint; a single failure may pass, and is no reason to give up all its hosts, a second one is.

        Nor does one pass that took more than `longest` seconds. Only the heartbeat needs that: how long a look at all VMs takes
        says how many there are, and meanwhile it is the heartbeat that notices an endpoint which does not answer.
        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        try:
            return await look()
        except Transient:
            if clock() - asked > longest:
                raise
            await asyncio.sleep(self._cadence.first_retry)
            return await look()

    async def _survey(self, connection: Connection) -> list[ObservedVM]:
        asked = self.snapshot.moment()
        seen = await self.lanes.survey(connection.compute.observe_all)
        if self.state is LinkState.UP and self.snapshot.misses(seen):
            await self._list_hosts(connection)  # before anybody takes for gone what went out of sight with its host
        self._strangers.looked(seen)
        return self.snapshot.replace(seen, asked)

    def _down(self, failure: DriverError) -> None:
        """Take note of a failure; one of the same sort as the last changes nothing, so that nobody writes the same news again."""
        state = LinkState.REFUSED if is_refusal(failure) else LinkState.DOWN
        known = (self.state, self.reason, self.attempted)
        if isinstance(failure, Busy) and self.attempted and self.state is not LinkState.UP:
            return
        self.attempted = True
        self.snapshot.complete = False
        if known != (state, failure.reason, True):
            self.state, self.message, self.reason = state, str(failure), failure.reason
            self._listener.hosts_changed(self, None)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DriverError):
                await self.lanes.disconnect(connection.close)


def _up(host: ObservedHost | None) -> bool:
    return host is not None and host.up
