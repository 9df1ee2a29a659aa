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


def documents(connection: Any, instance: InstanceID) -> Documents | None:
    """Documents of one domain; None if it has no mark of ours. Raises NotFound."""
    domain = find(connection, instance)
    if domain is None:
        raise NotFound(f"the VM {instance} is not on this host")
    state, reason = domain.state(0)
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
