"""Find domains and read their documents. Runs on the caller's connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import libvirt

from drivers.errors import Conflict, NotFound
from drivers.kvm import errors, mark, names
from drivers.kvm.domain.observe import Documents
from drivers.kvm.xmltext import parse
from drivers.types import InstanceID

STATISTICS = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BLOCK
NO_WAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
"""Without it one domain whose QEMU hangs would hold up the reading of all."""


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
    for domain, statistics in connection.getAllDomainStats(STATISTICS, NO_WAIT):
        try:
            found = _documents(domain, statistics)
        except libvirt.libvirtError as error:
            if errors.code(error) != libvirt.VIR_ERR_NO_DOMAIN:
                raise
        else:
            if found is not None:
                yield found


def documents(connection: Any, domain: Any) -> Documents | None:
    """Documents of one domain; None if it has no mark of ours."""
    for _, statistics in connection.domainListGetStats([domain], STATISTICS, NO_WAIT):
        return _documents(domain, statistics)
    raise NotFound("the VM went away while it was read")


def _documents(domain: Any, statistics: Mapping[str, Any]) -> Documents | None:
    inactive = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if mark.read(inactive) is None:
        return None
    state = int(statistics.get("state.state", libvirt.VIR_DOMAIN_NOSTATE))
    live = None if state == libvirt.VIR_DOMAIN_SHUTOFF else parse(domain.XMLDesc(0))
    return Documents(inactive, live, state, int(statistics.get("state.reason", 0)), _sizes(statistics))


def _sizes(statistics: Mapping[str, Any]) -> dict[str, int]:
    """Disk sizes by device name. Statistics may list the layers of a disk too; the top one comes first."""
    sizes: dict[str, int] = {}
    for index in range(int(statistics.get("block.count", 0))):
        name, size = statistics.get(f"block.{index}.name"), statistics.get(f"block.{index}.capacity")
        if name is not None and size is not None:
            sizes.setdefault(str(name), int(size))
    return sizes


def active(domain: Any) -> bool:
    """Whether the domain runs (or is paused)."""
    return bool(domain.isActive())


def remove(domain: Any) -> None:
    """Cut the power and undefine with all that libvirt keeps of the domain; gone already is success."""
    with suppress_code(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        domain.destroyFlags(0)
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
