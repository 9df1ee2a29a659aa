"""Looks over SSH where the NICs of running VMs are plugged in, and puts back those that are in the air (edge of
`drivers.kvm.network.wiring`).

libvirt has no event for a bridge or a port that goes: so it is looked now and then, and often while something is amiss.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import libvirt

from drivers.errors import DriverError, NetworkMissing
from drivers.kvm import domains, mark
from drivers.kvm.domain.observe import Key
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import links, wiring
from drivers.kvm.network.wiring import Plug, Ports
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import parse
from drivers.types import InstanceID, Unplugged

LOOKS, AGAIN = 300.0, 15.0
"""Seconds between two looks, each of which is a login or two: while all is well, and after something was found in the air."""

Reader = Callable[[Callable[[Any], list[Plug]]], list[Plug]]


class Plugs:
    """NICs in the air on one host. Safe to use from threads. Without SSH nothing is seen, and nothing put back."""

    def __init__(
        self, shell: Shell, read: Reader, tell: Callable[[Iterable[InstanceID]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`read` gives a function libvirt's connection, `tell` hears of VMs for which things have changed."""
        self._shell = shell
        self._read = read
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._due = clock()
        self._found: Mapping[Key, Unplugged] = MappingProxyType({})

    @property
    def found(self) -> Mapping[Key, Unplugged]:
        """The NICs that were in the air at the last look."""
        return self._found

    def look(self) -> None:
        """Look, if it is time to. Never raises: who does not answer tells nothing, and what was known stays."""
        with self._lock:
            if self._shell.missing or self._clock() < self._due:
                return
            try:
                found = self._look()
            except DriverError:
                found = self._found
            self._note(found)

    def put_back(self, vm: Subject, names: Collection[str]) -> None:
        """Plug in those of the named NICs that are known to be in the air, as they are now.

        Raises NetworkMissing where there is nothing to plug them in to; Transient, AuthFailed, Unsupported, InvalidSpec.
        """
        with self._lock:
            for plug in self._known(vm, names):
                there = self._ports([plug])
                amiss = wiring.astray(plug, there)
                if amiss is not None and amiss.missing:
                    raise NetworkMissing(f"the host has no {plug.place}, which the NIC {plug.nic.name} needs")
                if amiss is not None:
                    self._plug(plug)
                self._note({key: value for key, value in self._found.items() if key != plug.key}, told=False)

    def _known(self, vm: Subject, names: Collection[str]) -> list[Plug]:
        found = [] if vm.live is None else wiring.plugs(vm.instance, vm.live, vm.mark)
        return [plug for plug in found if plug.nic.name in names and plug.key in self._found]

    def _plug(self, plug: Plug) -> None:
        if not plug.place.switched:
            self._shell.run(Command.CHANGE_LINKS, "".join(f"{line}\n" for line in wiring.plugged(plug)))
            return
        vlan = plug.nic.segment.vlan
        command = Command.ADD_PORT if vlan is None else Command.ADD_TAGGED_PORT
        self._shell.run(command, bridge=plug.place.bridge, port=plug.device, vlan=vlan)

    def _look(self) -> Mapping[Key, Unplugged]:
        """The VMs first: one that comes meanwhile is not looked at, one that goes is not looked for."""
        plugs = self._read(_plugs)
        there = self._ports(plugs)
        return {plug.key: amiss for plug in plugs if (amiss := wiring.astray(plug, there))}

    def _ports(self, plugs: Collection[Plug]) -> Ports:
        """What of the host matters to these."""
        switched = any(plug.place.switched for plug in plugs)
        linked = any(not plug.place.switched for plug in plugs)
        return Ports(
            links.read(self._shell.run(Command.SHOW_LINKS)) if linked else {},
            self._shell.run(Command.LIST_SWITCHES).split() if switched else (),
            wiring.names(self._shell.run(Command.LIST_PORTS)) if switched else (),
        )

    def _note(self, found: Mapping[Key, Unplugged], *, told: bool = True) -> None:
        before, self._found = self._found, MappingProxyType(dict(found))
        self._due = self._clock() + (AGAIN if before or found else LOOKS)
        changed = {key.instance for key in before.keys() | found.keys() if before.get(key) != found.get(key)}
        if changed and told:
            self._tell(sorted(changed))


def _plugs(connection: Any) -> list[Plug]:
    """Of all VMs of ours that run on the host."""
    found: list[Plug] = []
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
            live = parse(domain.XMLDesc(0))
            told = mark.read(live)
            found += wiring.plugs(InstanceID(domain.UUIDString()), live, told) if told else ()
    return found
