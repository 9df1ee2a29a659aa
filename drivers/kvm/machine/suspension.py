"""Guests that QEMU suspended for an error of a disk, with what failed still to be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libvirt

from drivers.errors import DriverError
from drivers.kvm import domains
from drivers.kvm.domain.observe import FAILED, Documents
from drivers.kvm.link.session import Role, Session
from drivers.types import InstanceID


def ask(session: Session, instance: InstanceID) -> Mapping[str, int]:
    """Errors by device, as QEMU has them; none where it does not say, which a QEMU that hangs never does.

    The connection is that for guest agents: there too one that gives no answer may hold up no others.
    """

    def run(connection: Any) -> Mapping[str, int]:
        domain = domains.find(connection, instance)
        return {} if domain is None else {str(device): int(error) for device, error in domain.diskErrors(0).items()}

    action = f"ask which disk of the VM {instance} has failed"
    try:
        return session.run(Role.AGENT, action, run, limit=session.timeouts.agent)
    except DriverError:
        return {}


def answers(documents: Documents) -> bool:
    """Whether QEMU may be asked: not about disks on a server, which it would wait for, and keep from stopping whoever wants that.

    Those on NFS are told by their error policy, see `drivers.kvm.domain.disks.driver`.
    """
    found = () if documents.live is None else documents.live.findall("devices/disk")
    local = all(disk.get("type") in ("file", "block") for disk in found)
    return local and all(disk.find("driver[@error_policy='stop']") is None for disk in found)


def resume(domain: Any) -> None:
    """Let the domain go on, if that is why it is suspended; libvirt keeps that reason when somebody suspends it once more."""
    if tuple(domain.state(0)) != FAILED:
        return
    try:
        domain.resume()
    except libvirt.libvirtError:
        if tuple(domain.state(0)) == FAILED:
            raise
