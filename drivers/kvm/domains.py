"""Find domains and read their documents. Runs on the caller's connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import libvirt

from drivers.errors import Conflict, NotFound
from drivers.kvm import errors, mark, names
from drivers.kvm.domain import snapshots
from drivers.kvm.domain.observe import Documents
from drivers.kvm.xmltext import parse
from drivers.types import InstanceID

STATISTICS = libvirt.VIR_DOMAIN_STATS_STATE
"""libvirt knows this by itself. For others, block statistics among them, it asks QEMU, and one QEMU that hangs holds up all."""


def find(connection: Any, instance: InstanceID) -> Any | None:
    """The domain with that UUID, ours or not, or None."""
    try:
        return connection.lookupByUUIDString(names.instance_id(instance))
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def find_owned(connection: Any, instance: InstanceID) -> Any | None:
    """The domain, or None. Raises Conflict if it has no mark of ours."""
    domain = find(connection, instance)
    if domain is None:
        return None
    try:
        document = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    except libvirt.libvirtError as error:
        if errors.code(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    if mark.read(document) is None:
        raise Conflict(f"the identity {instance} is taken by a VM that Vireo did not make")
    return domain


def owned(connection: Any, instance: InstanceID) -> Any:
    """The domain. Raises NotFound, or Conflict if it has no mark of ours."""
    domain = find_owned(connection, instance)
    if domain is None:
        raise NotFound(f"the VM {instance} is not on this host")
    return domain


def all_documents(connection: Any) -> Iterator[Documents]:
    """Documents of every domain with our mark; one that goes away meanwhile is left out."""
    for domain, statistics in connection.getAllDomainStats(STATISTICS, 0):
        with suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
            found = _documents(domain, int(statistics["state.state"]), int(statistics["state.reason"]))
            if found is not None:
                yield found


def documents(connection: Any, instance: InstanceID) -> Documents | None:
    """Documents of one domain; None if it has no mark of ours. Raises NotFound."""
    domain = find(connection, instance)
    if domain is None:
        raise NotFound(f"the VM {instance} is not on this host")
    return _documents(domain, *domain.state(0))


def _documents(domain: Any, state: int, reason: int) -> Documents | None:
    inactive = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if mark.read(inactive) is None:
        return None
    live = None if state == libvirt.VIR_DOMAIN_SHUTOFF else parse(domain.XMLDesc(0))
    return Documents(inactive, live, state, reason, snapshots.observe(domain))


def active(domain: Any) -> bool:
    """Whether the domain runs (or is paused)."""
    return bool(domain.isActive())


def cut_power(domain: Any) -> None:
    """Power off; off or gone already is success."""
    with suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
        try:
            domain.destroyFlags(0)
        except libvirt.libvirtError as error:
            if errors.code(error) != libvirt.VIR_ERR_OPERATION_INVALID or active(domain):
                raise


def remove(domain: Any) -> None:
    """Cut the power and undefine with all that libvirt keeps of the domain; gone already is success."""
    cut_power(domain)
    with suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
        domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )


@contextmanager
def suppress_code(*codes: int) -> Iterator[None]:
    """Like contextlib.suppress, for libvirt errors with one of the codes."""
    try:
        yield
    except libvirt.libvirtError as error:
        if errors.code(error) not in codes:
            raise
