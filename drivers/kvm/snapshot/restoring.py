"""Bring a VM back to a snapshot, once for each request, whatever breaks in between.

1. The snapshot's own definition gets our mark of now with the request's token, and the whole definition that the VM has now
   (`drivers.kvm.domain.pending`). This touches neither the VM nor the disks, and may be repeated.
2. libvirt goes back: disks, running state and the snapshot's definition come together, and with them the token.
3. The definition of now is put in force again: CPUs, memory size, NICs and seed of the next start, and the mark.
4. The snapshot's definition is cleared of it.

The definition that is carried along is metadata, which everybody may read who can see the VM. So it goes without the passwords of
consoles; those are in the consoles themselves, which the next start has in the snapshot's definition too.

The mark has the tokens of earlier restores too, those that the VM has now and not those of the snapshot's time: one that is asked
for again when others have followed does nothing.

A crash before the end of 2 leaves no token: the request is carried out again from the start. (With power off nothing has written to
the disks since, so going back twice is going back once; with memory, libvirt starts the guest and puts the definition in force in
one call.) A crash after it leaves the token and the definition to return to: a repeat does only 3 and 4.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import libvirt

from drivers.errors import Busy, Conflict, InvalidSpec, NotFound
from drivers.kvm import domains
from drivers.kvm import mark as marks
from drivers.kvm.domain import consoles, pending, snapshots
from drivers.kvm.domain.pending import Pending
from drivers.kvm.mark import Mark, MarkedNIC
from drivers.kvm.network.segments import Segments
from drivers.kvm.subject import LIVE, Subject, subject
from drivers.kvm.xmltext import parse, render
from drivers.types import SnapshotID, remember

REDEFINE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
DEFINITIONS = ("domain", "inactiveDomain")
"""In a snapshot's document: what the VM had, and if it ran, what its next start would have had."""


def find(vm: Subject, snapshot: SnapshotID) -> Any | None:
    """The snapshot in libvirt, or None."""
    with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT):
        return vm.domain.snapshotLookupByName(snapshot, 0)
    return None


def restore(vm: Subject, snapshot: SnapshotID, token: str, segments: Segments) -> None:
    """Carry the request through; one that took effect is success. Raises NotFound, Conflict, InvalidSpec, Busy.

    `segments` are those of the host. Making them may take long, and whoever calls may have been stopped: so the VM is looked at
    again before its disks are given up.
    """
    if not token:
        raise InvalidSpec("a restore needs a token, so that it takes effect once")
    begun = pending.read(vm.inactive)
    if begun is not None:
        _return(vm, begun)
        vm = subject(vm.connection, vm.instance)
    if token in vm.mark.restored:
        _clear(vm, token)
        return
    found = find(vm, snapshot)
    if found is None:
        raise NotFound(f"the VM {vm.instance} has no snapshot {snapshot}")
    document = parse(found.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))
    memory = snapshots.has_memory(document)
    if vm.live is not None and not memory:
        raise Conflict("the snapshot has no memory and the VM runs; stop the VM first")
    after = _prepare(vm, document, token, memory=memory)
    _redefine(vm, document)
    if memory:
        segments.ensure(_nics(document))
    _require_as_seen(vm)
    vm.domain.revertToSnapshot(found, _flags(memory=memory))
    _return(subject(vm.connection, vm.instance), after)
    _clear(vm)


def _require_as_seen(vm: Subject) -> None:
    """Raises Busy if somebody has brought the VM back meanwhile, as another controller may, or has started or stopped it."""
    now = subject(vm.connection, vm.instance)
    if now.mark.restored != vm.mark.restored or (now.live is None) is not (vm.live is None):
        raise Busy("the VM was restored, started or stopped by others meanwhile")


def _nics(document: ET.Element) -> tuple[MarkedNIC, ...]:
    """Those that the VM is known to have when it runs on."""
    marked = (marks.read(definition) for definition in _definitions(document))
    return tuple(nic for mark in marked if mark is not None for nic in mark.nics)


def _flags(*, memory: bool) -> int:
    """FORCE: a QEMU whose CPUs or NICs differ from the snapshot's is replaced."""
    running = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING if memory else 0
    return int(libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE | running)


def _prepare(vm: Subject, document: ET.Element, token: str, *, memory: bool) -> Pending:
    """Write mark and definition of now into the snapshot's document."""
    definitions = _definitions(document)
    mark = replace(vm.mark, restored=remember(token, vm.mark.restored))
    if memory and definitions:
        mark = _with_nics_of(mark, marks.read(definitions[0]))
    now = vm.definition()
    marks.write(now, mark)
    for definition in definitions[-1:]:
        consoles.give(now, definition)
    consoles.conceal(now)
    after = Pending(token, render(now))
    for definition in definitions:
        marks.write(definition, mark)
        pending.write(definition, after)
    return after


def _with_nics_of(mark: Mark, then: Mark | None) -> Mark:
    """A VM that runs on from a snapshot has the NICs of that time: those that went since stay known as ours, to be detached."""
    names, macs = {nic.name for nic in mark.nics}, {nic.mac for nic in mark.nics}
    old = () if then is None else then.nics
    return replace(mark, nics=(*mark.nics, *(nic for nic in old if nic.name not in names and nic.mac not in macs)))


def _return(vm: Subject, after: Pending) -> None:
    """Put the definition in force that the VM had before, then clear what tells of the restore from what runs."""
    if vm.live is not None:
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_METADATA):
            vm.domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, pending.NAMESPACE, LIVE)
    definition = parse(after.definition)
    consoles.give(vm.definition(), definition)
    vm.connection.defineXMLFlags(render(definition), 0)


def _clear(vm: Subject, token: str = "") -> None:
    """No snapshot tells of a restore any more, so that somebody who goes back to one by hand starts none again.

    With a `token`, of that restore alone: another one may be at work in another process, and has written down what comes after it.
    """
    for snapshot in vm.domain.listAllSnapshots(0):
        document = parse(snapshot.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE))
        told = [definition for definition in _definitions(document) if _tells(definition, token)]
        for definition in told:
            pending.clear(definition)
        if told:
            _redefine(vm, document)


def _tells(definition: ET.Element, token: str) -> bool:
    found = pending.read(definition)
    return found is not None and token in ("", found.token)


def _redefine(vm: Subject, document: ET.Element) -> None:
    vm.domain.snapshotCreateXML(render(document), REDEFINE)


def _definitions(document: ET.Element) -> list[ET.Element]:
    """Those of a snapshot; the last is that of the next start."""
    return [item for tag in DEFINITIONS for item in document.iterfind(tag)]
