"""Native events of a host (drivers.base.Events)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import libvirt

from drivers.errors import Transient, Unanswered
from drivers.kvm.link.session import Role, Session
from drivers.types import Event, InstanceID, VMChanged

KINDS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
)
"""What changes an observation.

libvirt has no event for CPUs, memory and devices that are changed for the next start only (VIR_DOMAIN_AFFECT_CONFIG), nor for a
NIC that is changed while it runs (virDomainUpdateDeviceFlags): src/qemu/qemu_driver.c sends one when a document is defined whole,
renamed, or given metadata, and when QEMU says that a device came or went. So Capability.DEFINITION_EVENTS is not declared.
"""


class KVMEvents:
    """Domain events of one host, folded: a VM that changed many times between two calls is told once.

    libvirt's event loop, one thread for all hosts, brings them.
    """

    def __init__(self, session: Session, port_gone: Callable[[], None]) -> None:
        """Register for events. Raises Transient.

        `port_gone` is called when a VM may have left a port of the host; it must not wait.
        """
        self._session = session
        self._port_gone = port_gone
        self._changed: dict[InstanceID, None] = {}
        self._lock = threading.Lock()
        self._notify: Callable[[], None] = _nobody
        self._lost = False
        self._closed = False
        self._current: Any = None
        self._callbacks: dict[int, list[int]] = {}
        session.farewells[Role.EVENTS] = self._unregister
        self._begin()

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Call `notify` when there is news; at once if there is already."""
        with self._lock:
            self._notify = notify
            pending = self._changed or self._lost
        if pending:
            notify()

    def fetch(self) -> Sequence[Event]:
        """The VMs that changed.

        After a loss of the connection it registers again first, then raises Transient: what the caller observes from then on
        is followed by events without a gap.
        """
        with self._lock:
            if not (self._lost or self._closed):
                changed, self._changed = self._changed, {}
                return tuple(map(VMChanged, changed))
        if self._closed:
            raise Unanswered("the connection to the host is closed")
        self._begin()
        self._port_gone()
        raise Transient("the connection to the host was lost and is back; events in between are missing")

    def tell(self, instances: Iterable[InstanceID]) -> None:
        """Count these VMs as changed too, for what libvirt does not tell of."""
        with self._lock:
            first = not self._changed
            self._changed |= dict.fromkeys(instances)
            news = first and bool(self._changed)
        if news:
            self._notify()

    def close(self) -> None:
        """Have nothing more to tell."""
        with self._lock:
            self._closed = True

    def _begin(self) -> None:
        with self._lock:
            self._changed, self._lost = {}, False
        try:
            self._session.run(Role.EVENTS, "subscribe to the events of the host", self._register)
        except BaseException:
            self._lost = True
            raise

    def _register(self, connection: Any) -> None:
        self._current = connection
        callbacks = self._callbacks.setdefault(id(connection), [])
        try:
            connection.registerCloseCallback(self._on_close, None)
            for kind in KINDS:
                callbacks.append(connection.domainEventRegisterAny(None, kind, self._on_event, kind))
        except libvirt.libvirtError:
            with suppress(libvirt.libvirtError):
                self._unregister(connection)
            raise

    def _unregister(self, connection: Any) -> None:
        """Take the callbacks back: libvirt keeps a connection open that has some."""
        for callback in self._callbacks.pop(id(connection), []):
            with suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(callback)
        connection.unregisterCloseCallback()

    def _on_event(self, _connection: Any, domain: Any, *details: object) -> None:
        """Runs in libvirt's event loop, which must not wait: it only takes note. The last of `details` is the kind of event."""
        if _frees_ports(*details):
            self._port_gone()
        with suppress(libvirt.libvirtError):
            instance = InstanceID(domain.UUIDString())
            with self._lock:
                first = not self._changed
                self._changed[instance] = None
            if first:  # whoever has not fetched yet will find the others too
                self._notify()

    def _on_close(self, connection: Any, _reason: int, _opaque: object) -> None:
        with self._lock:
            self._lost = self._lost or connection is self._current
            lost = self._lost
        if lost:
            self._notify()


def _frees_ports(*details: object) -> bool:
    """Whether a VM has ended, however it did, or its guest has let go of a device: libvirt says so when that is off its bridge."""
    kind = details[-1]
    if kind == libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE:
        return bool(details[0] == libvirt.VIR_DOMAIN_EVENT_STOPPED)
    return bool(kind == libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED)


def _nobody() -> None:
    """Nobody has subscribed yet."""
