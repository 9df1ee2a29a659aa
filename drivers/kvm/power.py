"""Power of a VM (drivers.base.Power)."""

from __future__ import annotations

from typing import Any

import libvirt

from drivers.errors import DriverError
from drivers.kvm import domains
from drivers.kvm.domain.observe import agent_connected
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import Role, Session
from drivers.kvm.machine import suspension
from drivers.kvm.network import filters
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.switches import Switches
from drivers.kvm.subject import Subject, subject
from drivers.kvm.xmltext import parse
from drivers.types import Done, HostID, InstanceID, StopMode


class KVMPower:
    """Start and stop domains with our mark."""

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks, segments: Segments, switches: Switches) -> None:
        """`locks` by instance are shared with KVMCompute."""
        self._session = session
        self._hosts = hosts
        self._locks = locks
        self._segments = segments
        self._switches = switches

    def start(self, host: HostID, instance: InstanceID) -> Done:
        """Start the domain, or let it run on if it is paused. One that has crashed loses what it still has in memory."""
        self._hosts.require(host)

        def run(connection: Any) -> None:
            with self._locks.hold(instance, self._session.timeouts.turn):
                _clear_crash(domains.owned(connection, instance))
                before = subject(connection, instance)
                self._prepare(before)
                _start(domains.owned(connection, instance))
                self._guard(subject(connection, instance), started=before.live is None)

        self._session.run(Role.WORK, f"start the VM {instance}", run, mutating=True)
        return Done()

    def _prepare(self, vm: Subject) -> None:
        """Have the segments there and the guest held to its addresses, whatever went from the host meanwhile."""
        self._segments.ensure(vm.mark.nics)
        if vm.mark.nics and self._hosts.profile.filters:
            filters.ensure(vm.connection)
            filters.hold(vm)

    def _guard(self, vm: Subject, *, started: bool) -> None:
        """Its ports on Open vSwitch exist from now on; a VM that was just `started` and cannot be guarded does not run."""
        try:
            self._switches.guard(vm)
        except DriverError:
            if started:
                domains.cut_power(vm.domain)
            raise

    def stop(self, host: HostID, instance: InstanceID, mode: StopMode) -> Done:
        """SOFT asks the guest agent where it is connected, else presses the ACPI power button; HARD destroys the domain.

        HARD takes no turn and a connection that no call can hold up: it is the way out when a QEMU hangs.
        """
        self._hosts.require(host)
        timeout = self._session.timeouts.agent

        def run(connection: Any) -> None:
            domain = domains.owned(connection, instance)
            if mode is StopMode.HARD:
                domains.cut_power(domain)
            elif domains.active(domain):
                with domains.suppress_code(libvirt.VIR_ERR_OPERATION_INVALID):
                    _ask(domain, timeout)

        role = Role.AGENT if mode is StopMode.SOFT else Role.POWER
        self._session.run(role, f"stop the VM {instance}", run, mutating=True)
        return Done()

    def resume(self, host: HostID, instance: InstanceID) -> Done:
        """See `drivers.kvm.machine.suspension`."""
        self._hosts.require(host)

        def run(connection: Any) -> None:
            with self._locks.hold(instance, self._session.timeouts.turn):
                suspension.resume(domains.owned(connection, instance))

        self._session.run(Role.WORK, f"let the VM {instance} go on", run, mutating=True)
        return Done()


def _clear_crash(domain: Any) -> None:
    """Libvirt starts no domain that it has kept after a crash."""
    if domain.state(0)[0] == libvirt.VIR_DOMAIN_CRASHED:
        domains.cut_power(domain)


def _start(domain: Any) -> None:
    try:
        if domain.state(0)[0] == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        else:
            domain.create()
    except libvirt.libvirtError:
        if domain.state(0)[0] != libvirt.VIR_DOMAIN_RUNNING:
            raise


def _ask(domain: Any, timeout: int) -> None:
    """The agent first, since a guest may ignore the power button; the button when the agent does not answer."""
    if agent_connected(parse(domain.XMLDesc(0))):
        try:
            domain.agentSetResponseTimeout(timeout, 0)
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        except libvirt.libvirtError:
            if not domain.isActive():
                return
        else:
            return
    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
