"""Serial consoles of one host (drivers.consoles.Consoles)."""

from __future__ import annotations

from typing import Any

import libvirt

from drivers.errors import Conflict
from drivers.kvm import domains
from drivers.kvm.console import log
from drivers.kvm.console.stream import KVMConsole
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.link.session import Role, Session
from drivers.types import HostID, InstanceID


class KVMConsoles:
    """On a connection of their own: what a console sends must not hold up anything else."""

    def __init__(self, session: Session, hosts: KVMHosts) -> None:
        self._session = session
        self._hosts = hosts

    def open(self, host: HostID, instance: InstanceID, *, force: bool = False) -> KVMConsole:
        """See drivers.consoles.Consoles."""
        self._hosts.require(host)

        def run(connection: Any) -> KVMConsole:
            return _open(connection, instance, force=force)

        return self._session.run(Role.CONSOLE, f"open the console of the VM {instance}", run)

    def log(self, host: HostID, instance: InstanceID) -> bytes:
        """See drivers.consoles.Consoles."""
        self._hosts.require(host)

        def run(connection: Any) -> bytes:
            domains.owned(connection, instance)
            return log.read(connection, instance)

        return self._session.run(Role.CONSOLE, f"read the console log of the VM {instance}", run)


def _open(connection: Any, instance: InstanceID, *, force: bool) -> KVMConsole:
    domain = domains.owned(connection, instance)
    if not domains.active(domain):
        raise Conflict("the VM is off, and so is its console")
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    try:
        domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0)
    except libvirt.libvirtError as error:
        if "console session exists" in (error.get_error_message() or ""):
            raise Conflict("somebody else has the console open; force takes it from them") from None
        raise
    return KVMConsole(stream)
