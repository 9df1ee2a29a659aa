"""Memory of a VM: that of its next start, and what is given to the guest that runs."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt

from drivers.kvm.domain import memory
from drivers.kvm.domain.disks import devices_of
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.subject import CONFIG, LIVE, Subject
from drivers.kvm.xmltext import parse, render

PATIENCE = 3.0
"""Seconds that a guest has to take what it is given; one that takes longer is seen as it is then, and tells by an event."""

PAUSE = 0.1


def check(wanted: int) -> None:
    """Raises InvalidSpec for a size that no VM can have."""
    memory.kibibytes(wanted)


def apply(vm: Subject, wanted: int, host: HostProfile) -> None:
    """Write the next start's, then give as much to what runs, if it was started with room and its guest has not more already.

    A VM that others made has its memory at its next start. Raises Conflict for a definition with memory devices of others.
    """
    if memory.at_start(vm.inactive, adopted=vm.mark.adopted) != memory.kibibytes(wanted) << 10:
        _write(vm, wanted, host)
    if vm.mark.memory != wanted:
        vm.write_mark(replace(vm.mark, memory=wanted))
    if vm.live is not None and not vm.mark.adopted:
        _give(vm, vm.live, wanted)


def _write(vm: Subject, wanted: int, host: HostProfile) -> None:
    """Room changes with the size, which only a new definition can."""
    room = memory.addable(wanted, devices_of(vm.inactive), supported=host.adds_memory)
    if vm.mark.adopted or not (room or vm.inactive.find("maxMemory") is not None):
        amount = memory.kibibytes(wanted)
        vm.domain.setMemoryFlags(amount, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
        vm.domain.setMemoryFlags(amount, CONFIG)
        return
    fresh = vm.definition()
    memory.write(fresh, wanted, room=room)
    vm.connection.defineXMLFlags(render(fresh), 0)


def _give(vm: Subject, live: ET.Element, wanted: int) -> None:
    """By the device that is there, or by a first one."""
    now = memory.read(live)
    share = now.share(wanted)
    if share == now.given or not now.taken <= share <= now.room:
        return
    changed = memory.giving(live, share)
    if changed is None:
        vm.domain.attachDeviceFlags(render(memory.device(now, share)), LIVE)
    else:
        vm.domain.updateDeviceFlags(render(changed), LIVE)
    deadline = time.monotonic() + PATIENCE
    while memory.read(parse(vm.domain.XMLDesc(0))).taken < share and time.monotonic() < deadline:
        time.sleep(PAUSE)
