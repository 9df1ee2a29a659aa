"""The driver and its connections (drivers.base.Driver and Connection)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from drivers.errors import NotFound
from drivers.kvm import hosts
from drivers.kvm.adoption import KVMAdoption
from drivers.kvm.compute import KVMCompute
from drivers.kvm.consoles import KVMConsoles
from drivers.kvm.events import KVMEvents
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link import credentials
from drivers.kvm.link.session import Role, Session, Timeouts
from drivers.kvm.link.shell import Shell
from drivers.kvm.network.plugs import Plugs
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.support import Networks
from drivers.kvm.network.switches import Switches
from drivers.kvm.network.wiring import Plug
from drivers.kvm.power import KVMPower
from drivers.kvm.snapshots import KVMSnapshots
from drivers.kvm.storage import KVMStorage
from drivers.kvm.store.rbd import Clusters
from drivers.kvm.store.targets import Targets
from drivers.kvm.volumes import KVMVolumes
from drivers.types import Capability, Endpoint, OpRef, Progress


class KVMDriver:
    """Connects to libvirt. `timeouts` are the same for every endpoint."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        credentials.sweep()
        self._timeouts = timeouts or Timeouts()
        self._lock = threading.Lock()
        self._unanswered: dict[str, Session] = {}

    def connect(self, endpoint: Endpoint) -> KVMConnection:
        """Open, probe and subscribe. Raises Transient, AuthFailed, InvalidSpec, Unsupported.

        libvirt cannot give up opening a connection, so an attempt that got no answer is kept, and the next call waits on with it.
        """
        session = self._session(endpoint)
        try:
            return KVMConnection(session)
        except BaseException:
            self._put_away(session)
            raise

    def _session(self, endpoint: Endpoint) -> Session:
        with self._lock:
            kept = self._unanswered.pop(endpoint.url, None)
        if kept is not None and kept.endpoint == endpoint:
            return kept
        if kept is not None:
            kept.close()
        return Session(endpoint, self._timeouts)

    def _put_away(self, session: Session) -> None:
        if not session.opening:
            session.close()
            return
        with self._lock:
            other = self._unanswered.setdefault(session.endpoint.url, session)
        if other is not session:
            session.close()


class KVMConnection:
    """One libvirtd."""

    def __init__(self, session: Session) -> None:
        self._session = session
        profile = hosts.probe(session)
        self.capabilities: frozenset[Capability] = profile.capabilities
        shell = Shell(session.endpoint, session.timeouts.command)
        segments = Segments(shell, session.timeouts.turn)
        switches = Switches(shell)

        def sync(bridges: Sequence[str]) -> None:
            session.run(Role.WORK, "guard the ports of the host", lambda connection: switches.sync(connection, bridges))

        networks = Networks(shell, segments, switches, sync, filters=profile.filters)
        networks.support()
        self.events = KVMEvents(session, switches.port_gone)

        def read(function: Callable[[Any], list[Plug]]) -> list[Plug]:
            return session.run(Role.STATE, "look at the ports of the host's VMs", function)

        plugs = Plugs(shell, read, self.events.tell)
        self.hosts = KVMHosts(session, profile, networks, plugs, segments)
        locks, clusters = KeyedLocks(), Clusters(session.timeouts.turn)
        targets = Targets(session, profile, clusters)
        self.compute = KVMCompute(session, self.hosts, locks, segments, switches, plugs, targets)
        self.power = KVMPower(session, self.hosts, locks, segments, switches)
        self.storage = KVMStorage(session, self.hosts, targets, clusters)
        self.volumes = KVMVolumes(session, self.hosts, locks, targets, clusters)
        self.snapshots = KVMSnapshots(session, self.hosts, locks, segments, switches)
        self.adoption = KVMAdoption(session, self.hosts, locks)
        self.consoles = KVMConsoles(session, self.hosts)
        self.tasks = NoTasks()

    def close(self) -> None:
        """Close libvirt's connections; calls under way return when libvirt answers or keepalive gives up."""
        self.events.close()
        self._session.close()


class NoTasks:
    """libvirt works while the caller waits, so there is no task to ask about."""

    def poll(self, op: OpRef) -> Progress:
        """Always raises NotFound."""
        raise NotFound(f"this hypervisor has no task {op}")
