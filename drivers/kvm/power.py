"""Power of a VM (drivers.base.Power)."""

from __future__ import annotations

from typing import Any

import libvirt

from drivers.kvm import domains
from drivers.kvm.domain.observe import agent_connected
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.session import Role, Session
from drivers.kvm.xmltext import parse
from drivers.types import Done, HostID, InstanceID, StopMode


class KVMPower:
    """Start and stop domains with our mark."""

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks) -> None:
        """`locks` by instance are shared with KVMCompute."""
        self._session = session
        self._hosts = hosts
        self._locks = locks

    def start(self, host: HostID, instance: InstanceID) -> Done:
        """Start the domain, or let it run on if it is paused."""
        self._hosts.require(host)
        action = f"start the VM {instance}"
        with self._locks.hold(instance), self._session.use(Role.WORK, action, mutating=True) as connection:
            _start(domains.owned(connection, instance))
        return Done()

    def stop(self, host: HostID, instance: InstanceID, mode: StopMode) -> Done:
        """SOFT asks the guest agent where it is connected, else presses the ACPI power button; HARD destroys the domain."""
        self._hosts.require(host)
        role = Role.AGENT if mode is StopMode.SOFT else Role.WORK
        with self._session.use(role, f"stop the VM {instance}", mutating=True) as connection:
            domain = domains.owned(connection, instance)
            if not domains.active(domain):
                return Done()
            with domains.suppress_code(libvirt.VIR_ERR_OPERATION_INVALID):
                if mode is StopMode.SOFT:
                    _ask(domain, self._session.timeouts.agent)
                else:
                    domain.destroyFlags(0)
        return Done()


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
