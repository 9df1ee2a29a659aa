"""All endpoints of the cloud and the Hosts that they serve."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable
from functools import partial

from structlog.typing import FilteringBoundLogger

from controller.inventory.drivers import Drivers
from controller.inventory.entry import Entry
from controller.inventory.lanes import Lanes
from controller.inventory.link import HostLink
from controller.inventory.pacing import Cadence
from controller.inventory.session import Session
from controller.inventory.snapshot import Snapshot, Whereabouts
from controller.runtime.keys import Key
from controller.runtime.scope import lasting
from drivers.adoption import FoundVM
from drivers.base import Driver
from drivers.types import Endpoint, HostID, InstanceID, ObservedVM

_Address = tuple[str, Endpoint]


class Inventory:
    """Sessions by endpoint, links by Host name.

    `load` finds a driver by hypervisor name, `lanes` makes the threads of a named endpoint, `wake` puts a key on the queue, `greet`
    one that nobody need hurry for (None: as `wake`). `owned` says whether the object that a VM was made for is there, `kept` which
    others a VM without one keeps waiting.
    """

    def __init__(
        self,
        load: Callable[[str], Driver],
        lanes: Callable[[str], Lanes],
        wake: Callable[[Key], None],
        log: FilteringBoundLogger,
        cadence: Cadence | None = None,
        greet: Callable[[Key], None] | None = None,
        owned: Callable[[ObservedVM], bool] = lambda _: True,
        kept: Callable[[ObservedVM], Iterable[Key]] = lambda _: (),
    ) -> None:
        self._drivers = Drivers(load)
        self._lanes = lanes
        self._wake = wake
        self._greet = greet or wake
        self._log = log
        self._cadence = cadence or Cadence()
        self._owned = owned
        self._kept = kept
        self._sessions: dict[_Address, Session] = {}
        self._whereabouts = Whereabouts()
        self._having: dict[Snapshot, Session] = {}
        self._served: dict[Session, dict[str, HostLink]] = {}
        self._attached: dict[str, tuple[_Address, HostLink]] = {}
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._names: dict[Session, str] = {}
        self._passed_over: set[str] = set()
        self._numbers = itertools.count(1)
        self._entry = Entry()

    def attach(self, host: str, hypervisor: str, endpoint: Endpoint, native_name: str, *, sole: bool) -> HostLink:
        """Serve a Host by an endpoint, shared by all Hosts that name it; other credentials or another URL replace the old session.

        The same arguments give the same link. `sole`: the endpoint is this Host's own, see `HostLink`.
        """
        address = (hypervisor, endpoint)
        self._passed_over.discard(host)
        if host in self._attached:
            known, link = self._attached[host]
            if (known, link.native_name, link.sole) == (address, native_name, sole):
                return link
        session = self._sessions.get(address) or self._open(address)
        link = HostLink(host, session, native_name, sole=sole)
        self._served[session][host] = link
        self._forget(host, unless=session)
        self._attached[host] = (address, link)
        return link

    def detach(self, host: str) -> None:
        """Stop serving a Host; its endpoint is closed with its last one."""
        self._passed_over.discard(host)
        self._forget(host)

    def pass_over(self, host: str) -> None:
        """Note that a Host cannot be attached as it is declared: nobody should wait for its answer."""
        self._passed_over.add(host)

    def asked(self, host: str) -> bool:
        """Whether a Host had its chance to say what it carries: the first attempt to reach it has ended, or it was passed over."""
        link = self.link(host)
        return link.attempted if link else host in self._passed_over

    def settled(self, hosts: Iterable[str]) -> bool:
        """Whether all these Hosts are served, or can't be, and no endpoint is being opened: one that does not answer counts not."""
        return self._entry.idle and all(host in self._attached or host in self._passed_over for host in hosts)

    def link(self, host: str) -> HostLink | None:
        """The link of a Host, None if it is not attached."""
        return self._attached[host][1] if host in self._attached else None

    def links(self) -> list[HostLink]:
        """The links of all attached Hosts."""
        return [link for _, link in self._attached.values()]

    def endpoints(self) -> list[tuple[str, str]]:
        """Names of endpoints, as logs and metrics call them, each with a Host that it serves."""
        return [(self._names[session], host) for session, hosts in self._served.items() for host in hosts]

    def find(self, instance: InstanceID) -> tuple[str, ObservedVM] | None:
        """The Host that a VM was last seen on, and the VM as seen there, even if that Host does not answer now.

        None if it was seen nowhere since the controller started. Refused links do not count.
        """
        having = [self._having[snapshot] for snapshot in self._whereabouts.of(instance)]
        if len(having) > 1:
            having = [session for session in self._served if session in having]
        for session in having:
            links, vm = self._served[session], session.snapshot.get(instance)
            if vm is None:
                continue
            named = links.get(vm.host)
            for link in itertools.chain([named] if named else [], links.values()):
                if link.host_id == vm.host and not link.refused:
                    return link.name, vm
        return None

    def doubt(self) -> None:
        """Rely on nothing that was seen of any VM until now: others have changed them."""
        for session in self._served:
            session.doubt()

    async def search(self, instance: InstanceID) -> tuple[str, ObservedVM] | None:
        """The same as `find`, after every endpoint that is up was asked.

        Raises DriverError if one of them did not answer: the VM may be there.
        """
        answers = await asyncio.gather(*(session.search(instance) for session in list(self._served)), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return self.find(instance)

    async def look_for(self, instance: InstanceID, host: str | None = None) -> list[tuple[str, FoundVM]]:
        """VMs with this identity, whoever made them, each with its Host; on this Host alone, or on all that answer.

        Raises DriverError if one of them did not answer after all.
        """
        sessions = [session for session, links in list(self._served.items()) if host is None or host in links]
        answers = await asyncio.gather(*(session.look_for(instance) for session in sessions))
        found = []
        for session, seen in zip(sessions, answers, strict=True):
            links = [link for link in self._served.get(session, {}).values() if link.up and host in (None, link.name)]
            found += [(link.name, vm) for vm in seen for link in links if link.host_id == vm.host]
        return found

    async def close(self) -> None:
        """End all sessions."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hosts_changed(self, session: Session, hosts: Collection[HostID] | None) -> None:
        """Wake the Hosts that these hosts of the session are, or all that it serves."""
        served = self._served.get(session, {}).items()
        self._wake_all(name for name, link in served if hosts is None or link.host_id is None or link.host_id in hosts)

    def vms_changed(self, vms: Iterable[ObservedVM]) -> None:
        """Wake the owners of these VMs, and the Hosts of those without one, with all that waits for such a VM."""
        self._tell(vms, self._wake)

    def vms_met(self, vms: Iterable[ObservedVM]) -> None:
        """The same for VMs of an endpoint that has just been connected; their owners wait for nothing, unless they say so."""
        self._tell(vms, self._greet)

    def _tell(self, vms: Iterable[ObservedVM], wake: Callable[[Key], None]) -> None:
        for vm in vms:
            wake(Key("VirtualMachine", vm.owner.namespace, vm.owner.name))
            if not self._owned(vm):
                self._wake_all(name for name, (_, link) in self._attached.items() if link.host_id == vm.host)
                for key in self._kept(vm):
                    self._wake(key)

    def _wake_all(self, hosts: Iterable[str]) -> None:
        for name in hosts:
            self._wake(Key("Host", "", name))

    def _open(self, address: _Address) -> Session:
        hypervisor, endpoint = address
        name = f"{hypervisor} endpoint {next(self._numbers)}"
        log = self._log.bind(endpoint=name)
        snapshot, driver = Snapshot(self._whereabouts), partial(self._drivers.get, hypervisor)
        session = Session(driver, endpoint, self._lanes(name), self, log, self._cadence, snapshot, self._entry)
        self._having[snapshot] = session
        self._sessions[address] = session
        self._served[session] = {}
        self._names[session] = name
        context = lasting()
        task = self._tasks[session] = asyncio.get_running_loop().create_task(session.run(), name=name, context=context)
        task.add_done_callback(lambda _: self._tasks.pop(session, None), context=context)
        return session

    def _forget(self, host: str, unless: Session | None = None) -> None:
        """Forget how a Host was served; close the session if that was its last one, `unless` it goes on to serve it."""
        if host not in self._attached:
            return
        address, _ = self._attached.pop(host)
        session = self._sessions[address]
        if session is unless:
            return
        del self._served[session][host]
        if not self._served[session]:
            del self._served[session], self._sessions[address], self._names[session], self._having[session.snapshot]
            session.snapshot.withdraw()
            self._tasks[session].cancel()
