"""Has segments on the host that VMs need, and removes those that none needs any more (edge of `drivers.kvm.network.links`).

The VMs that need a segment are those whose owner mark says so, running or not. A VM is marked before its segment is looked after,
and marks are read again under the segment's lock before it is removed: so none loses its segment to another that goes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import libvirt

from drivers.errors import DriverError, InvalidSpec
from drivers.kvm import carrier, domains, mark
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.network import links
from drivers.kvm.network.links import Link
from drivers.kvm.xmltext import parse


class Segments:
    """Segments of one host. Safe to use from several threads."""

    def __init__(self, shell: Shell, turn: float) -> None:
        """One call waits `turn` seconds for another on the same segment."""
        self._shell = shell
        self._turn = turn
        self._locks = KeyedLocks()
        self._guard = threading.Lock()
        self._made: set[int] = set()
        self._left: dict[int, None] = {}

    @property
    def left(self) -> bool:
        """Whether there may be segments that no VM needs: `tidy` knows."""
        return bool(self._left)

    def look(self) -> None:
        """See what is there from before, which nobody may need any more. Raises what the shell raises."""
        found = links.segments(self._read())
        self._note(found)
        with self._guard:
            self._left |= dict.fromkeys(sorted(found))

    def ensure(self, nics: Iterable[MarkedNIC]) -> None:
        """Have the segments of these NICs, as far as Vireo makes them; what could not be completed is removed again.

        Raises Unsupported without SSH, Transient, Conflict, InvalidSpec, AuthFailed.
        """
        for nic in nics:
            if nic.carrier:
                self._raise(nic)

    def release(self, connection: Any) -> None:
        """Remove the segments that no VM of the host needs; without any made by us it makes no call."""
        with self._guard:
            made = set(self._made)
        for segment in sorted(made and made - _needed(connection)):
            self._give_up(segment, connection, self._turn)

    def tidy(self, connection: Any) -> None:
        """Remove one segment of those that could not go when their last VM did: a guest may let a NIC go long after it was taken
        from the VM, a command may have failed, and the controller may have been another. The next call takes the next one.

        Raises what the shell raises; Busy while another call is at work on the segment.
        """
        with self._guard:
            left = list(self._left)
        needed = _needed(connection) if left else set()
        unneeded = [segment for segment in left if segment not in needed]
        self._settle(needed.intersection(left))
        if unneeded:
            self._give_up(unneeded[0], connection, 0.0)

    def _give_up(self, segment: int, connection: Any, turn: float) -> None:
        """Remove it, unless a VM has come to need it; until it is gone it counts as left, behind all others."""
        with self._guard:
            self._left.pop(segment, None)
            self._left[segment] = None
        with self._locks.hold(str(segment), turn):
            if segment in _needed(connection) or self._lowered(segment):
                self._settle({segment})

    def _settle(self, segments: Iterable[int]) -> None:
        with self._guard:
            for segment in segments:
                self._left.pop(segment, None)

    def _raise(self, nic: MarkedNIC) -> None:
        if nic.segment.vlan is None:
            raise InvalidSpec(f"the NIC {nic.name} has no segment that could be made on the host")
        with self._locks.hold(str(nic.segment.vlan), self._turn):
            lines = links.raised(nic.segment.vlan, carrier.read(nic.carrier), self._read())
            self._note({nic.segment.vlan})
            self._settle({nic.segment.vlan})  # a state that is gone back to needs it before any mark says so
            try:
                self._change(lines)
            except DriverError:
                with suppress(DriverError):
                    self._change(links.lowered(nic.segment.vlan, self._read()))
                raise

    def _lowered(self, segment: int) -> bool:
        """Whether it is gone; not while its bridge still has a guest, which may take its time to let a NIC go."""
        found = self._read()
        self._change(links.lowered(segment, found))
        gone = segment not in links.segments(found) or bool(links.lowered(segment, found))
        if gone:
            with self._guard:
                self._made.discard(segment)
        return gone

    def _note(self, segments: Iterable[int]) -> None:
        with self._guard:
            self._made.update(segments)

    def _read(self) -> dict[str, Link]:
        return links.read(self._shell.run(Command.SHOW_LINKS))

    def _change(self, lines: list[str]) -> None:
        if lines:
            self._shell.run(Command.CHANGE_LINKS, "".join(f"{line}\n" for line in lines))


def _needed(connection: Any) -> set[int]:
    """By the marks of all domains of the host."""
    found: set[int] = set()
    for domain in connection.listAllDomains(0):
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
            told = mark.read(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
            found |= {nic.segment.vlan for nic in told.nics if nic.carrier and nic.segment.vlan} if told else set()
    return found
