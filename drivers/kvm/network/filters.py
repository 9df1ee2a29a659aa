"""Has the filters of the address guard on the host, and NICs held to them (edge of `drivers.kvm.domain.guard`)."""

from __future__ import annotations

from typing import Any

import libvirt

from drivers.errors import Conflict
from drivers.kvm import domains, errors
from drivers.kvm.domain import guard
from drivers.kvm.domain.guard import Filter
from drivers.kvm.domain.observe import mac
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import render

_ABSENT = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_CONNECT)


def supported(connection: Any) -> bool:
    """Whether the host's libvirt has network filters at all: its driver for them is a package of its own."""
    try:
        connection.numOfNWFilters()
    except libvirt.libvirtError as error:
        if errors.code(error) in _ABSENT:
            return False
        raise
    return True


def ensure(connection: Any) -> None:
    """Have our filters on the host. Raises Conflict if somebody else's has the name of one."""
    for described in guard.FILTERS:
        found = _find(connection, described)
        if found is None:
            connection.nwfilterDefineXML(render(guard.document(described)))
        elif found.UUIDString() != described.uuid:
            raise Conflict(f"the host has a network filter {described.name} that Vireo did not make; rename it")


def hold(vm: Subject) -> None:
    """Hold the NICs of the VM to their addresses, at once where it runs: those made before, or whose address changed since."""
    marked = {nic.mac: nic for nic in vm.mark.nics}
    for document, flag in vm.documents:
        for item in document.iterfind("devices/interface"):
            nic = marked.get(mac(item))
            changed = None if nic is None else guard.guarded(item, nic)
            if changed is not None:
                vm.domain.updateDeviceFlags(render(changed), flag)


def _find(connection: Any, described: Filter) -> Any | None:
    with domains.suppress_code(libvirt.VIR_ERR_NO_NWFILTER):
        return connection.nwfilterLookupByName(described.name)
    return None
