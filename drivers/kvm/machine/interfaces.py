"""NICs that come, go, and are put back where somebody took them from."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import replace

import libvirt

from drivers.errors import Busy, Conflict
from drivers.kvm import domains
from drivers.kvm import mark as marks
from drivers.kvm.domain import guard, nics, observe, port
from drivers.kvm.domain.disks import devices_of
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.network import filters
from drivers.kvm.network.segments import Segments
from drivers.kvm.subject import CONFIG, LIVE, Subject
from drivers.kvm.xmltext import render
from drivers.types import DesiredNIC

_RELEASE = 5.0


def attach(vm: Subject, wanted: DesiredNIC, host: HostProfile, segments: Segments) -> None:
    """The mark first: a device without its mark would count as somebody else's. A NIC that is there gets a changed guard, and is
    put back in its place. Raises Conflict, and Busy while the guest holds the NIC that was there before.
    """
    nic, item = marks.of_nic(wanted), nics.build(wanted, devices_of(vm.inactive), filters=host.filters)
    _mark(vm, nic)
    if host.filters:
        filters.ensure(vm.connection)
        filters.hold(vm)
    if vm.live is not None:
        segments.ensure((nic,))
    for document, flag in vm.documents:
        there = _interface(document, nic.mac)
        if there is None:
            vm.domain.attachDeviceFlags(render(item), flag)
        else:
            _put_back(vm, there, flag, nic, filters=host.filters)


def _mark(vm: Subject, nic: MarkedNIC) -> None:
    """Have the NIC in the mark, if nothing is in its way."""
    for other in vm.mark.nics:
        clashes = other.name == nic.name or other.mac == nic.mac
        if clashes and replace(other, ip=nic.ip, carrier=nic.carrier, port=nic.port) != nic:
            _require_gone(vm, other)
    _require_released(vm, nic)
    if all(other.mac != nic.mac for other in vm.mark.nics):
        _require_gone(vm, nic)
    if nic not in vm.mark.nics:
        others = (other for other in vm.mark.nics if other.name != nic.name and other.mac != nic.mac)
        vm.write_mark(replace(vm.mark, nics=(*others, nic)))


def _put_back(vm: Subject, there: ET.Element, flag: int, nic: MarkedNIC, *, filters: bool) -> None:
    """Plug in at its place what is elsewhere. Where that needs a new device, the guest has to let go of the old one first."""
    wanted, now = port.made(nic), port.read(there)
    if wanted is None or now is None or now == wanted:
        return
    if flag == LIVE and not port.may_stay(there, wanted):
        detach(vm, nic.name)
        raise Busy(f"the guest has yet to release the NIC {nic.name}, which is on {now}", retry_after=_RELEASE)
    changed = port.plugged(there, wanted)
    guarded = guard.guarded(changed, nic) if filters else None
    vm.domain.updateDeviceFlags(render(changed if guarded is None else guarded), flag)


def _require_released(vm: Subject, nic: MarkedNIC) -> None:
    """A guest that still holds a NIC with this address is asked once more: a crash may have come before the first time."""
    if vm.live is None or nic.mac not in observe.released(vm.inactive, vm.live):
        return
    held = _interface(vm.live, nic.mac)
    if held is not None:
        with suppress(libvirt.libvirtError):
            vm.domain.detachDeviceAlias(observe.alias(held), LIVE)
    raise Busy(f"the guest has not released the NIC with the address of {nic.name} yet", retry_after=_RELEASE)


def _require_gone(vm: Subject, nic: MarkedNIC) -> None:
    if any(document is not None and _interface(document, nic.mac) is not None for document in (vm.inactive, vm.live)):
        raise Conflict(f"the VM has another NIC named {nic.name} or with its MAC address; it must be detached first")


def detach(vm: Subject, name: str) -> None:
    """The next start is without it at once; what runs has its link cut, then the guest is asked to let go, which may take long."""
    nic = next((nic for nic in vm.mark.nics if nic.name == name), None)
    if nic is None:
        return
    item = _interface(vm.inactive, nic.mac)
    if item is not None:
        vm.domain.detachDeviceFlags(render(item), CONFIG)
    running = None if vm.live is None else _interface(vm.live, nic.mac)
    if running is not None:
        observe.cut_link(running)
        with domains.suppress_code(libvirt.VIR_ERR_DEVICE_MISSING):
            vm.domain.updateDeviceFlags(render(running), LIVE)
            vm.domain.detachDeviceAlias(observe.alias(running), LIVE)
    vm.write_mark(replace(vm.mark, nics=tuple(other for other in vm.mark.nics if other.name != name)))


def _interface(domain: ET.Element, mac: str) -> ET.Element | None:
    return next((item for item in domain.iterfind("devices/interface") if observe.mac(item) == mac), None)
