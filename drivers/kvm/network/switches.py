"""Has the rules of the address guard on a host's Open vSwitch bridges, over SSH (edge of `drivers.kvm.network.flows`).

Open vSwitch gives a number that was free for an hour to another port, at once where somebody asks for that number, and forgets all
rules when it is started anew. So rules are set when a port comes and removed when it has gone, and all of them are set afresh
whenever the host is connected, or a bridge has not as many as were set.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import libvirt

from drivers.errors import Transient
from drivers.kvm import domains, mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows, wiring
from drivers.kvm.network.flows import Port
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import parse

_Place = tuple[str, int]
"""A bridge and the number of one of its ports."""


class _Rules(NamedTuple):
    """Rules at a place: lines that set them, for the port that the host calls `device`."""

    device: str
    lines: list[str]


class _Held(NamedTuple):
    """What was set at a place: so many rules, for the port that the host calls `device`."""

    device: str
    rules: int


class Switches:
    """Open vSwitch bridges of one host. `able`: whether rules can be set there; until `sync` has set them all, nothing is run.

    Safe to use from threads: a port that comes while all are looked at has its rules afterwards, by one way or the other; and those
    of one that has gone are removed while no other's are set, so a number that another VM has by then keeps that VM's.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._held: dict[_Place, _Held] = {}
        self._gone = False
        self.able = False

    def guard(self, vm: Subject) -> None:
        """Hold the ports of a running VM to the addresses of its mark. Raises Transient, AuthFailed."""
        with self._lock:
            found = [] if vm.live is None or not self.able else list(flows.ports(vm.live, vm.mark))
            if found:
                rules = _rules(found, flows.numbers(self._list()))
                self._held |= _held(rules)  # first: where no answer comes they may be set, and then have to go with the port
                self._write(rules)

    def port_gone(self) -> None:
        """Take note that a port may have gone. Runs no command and waits for nothing."""
        self._gone = True

    def tidy(self) -> None:
        """Remove the rules of ports that have gone, if any may have since it was last looked.

        Raises Transient, AuthFailed, Unsupported; then the next `intact` does it.
        """
        if not self._gone:
            return
        with self._lock:
            if self._held:
                self._gone = False  # before it is looked: one that goes meanwhile is looked for again
                self._sweep(self._list())

    def intact(self) -> bool:
        """Whether each port is where its rules are, and each bridge has as many of ours as were set there.

        Those of ports that have gone are removed first, whether that was told or not. Raises Transient, AuthFailed, Unsupported.
        """
        with self._lock:
            if not self._held:
                return True
            self._gone = False
            listed = self._list()
            self._sweep(listed)
            numbers, wanted = flows.numbers(listed), Counter[str]()
            for (bridge, number), held in self._held.items():
                if numbers.get(held.device) != number:
                    return False
                wanted[bridge] += held.rules
            return all(flows.count(self._shell.run(Command.COUNT_FLOWS, bridge=each)) == wanted[each] for each in wanted)

    def sync(self, connection: Any, bridges: Iterable[str]) -> None:
        """Hold the ports of all VMs of the host, and remove what was left on `bridges` of others. From then on it is `able`.

        Raises Transient, AuthFailed, Unsupported, InvalidSpec.
        """
        with self._lock:
            self._sync(connection, bridges)
            self.able = True

    def _sync(self, connection: Any, bridges: Iterable[str]) -> None:
        found: list[Port] = []
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
                live = parse(domain.XMLDesc(0))
                told = mark.read(live)
                found += flows.ports(live, told) if told else ()
        numbers = flows.numbers(self._list()) if found else {}
        rules = _rules([port for port in found if port.device in numbers], numbers)
        self._write(rules, cleared={*bridges, *(bridge for bridge, _number in rules)})
        self._held = _held(rules)

    def _sweep(self, listed: str) -> None:
        """Remove what was set for ports that are not `listed` any more: their numbers are free, or somebody else's."""
        there = wiring.names(listed)
        gone: dict[str, list[int]] = defaultdict(list)
        for (bridge, number), held in self._held.items():
            if held.device not in there:
                gone[bridge].append(number)
        for bridge, numbers in gone.items():
            self._run(bridge, map(flows.freed, numbers))
            for number in numbers:
                del self._held[bridge, number]

    def _list(self) -> str:
        return self._shell.run(Command.LIST_PORTS)

    def _write(self, rules: Mapping[_Place, _Rules], cleared: Iterable[str] = ()) -> None:
        """Set rules; from the bridges `cleared` all others of ours go."""
        lines: dict[str, list[str]] = defaultdict(list, {bridge: [flows.cleared()] for bridge in cleared})
        for (bridge, _number), added in rules.items():
            lines[bridge] += added.lines
        for bridge, each in lines.items():
            self._run(bridge, each)

    def _run(self, bridge: str, lines: Iterable[str]) -> None:
        self._shell.run(Command.CHANGE_FLOWS, "".join(f"{line}\n" for line in lines), bridge)


def _rules(found: Iterable[Port], numbers: Mapping[str, int]) -> Mapping[_Place, _Rules]:
    rules: dict[_Place, _Rules] = {}
    for port in found:
        if port.device not in numbers:
            raise Transient(f"Open vSwitch has not made the port {port.device}")
        number = numbers[port.device]
        rules[port.bridge, number] = _Rules(port.device, flows.guarded(number, port.nic))
    return rules


def _held(rules: Mapping[_Place, _Rules]) -> dict[_Place, _Held]:
    return {place: _Held(each.device, flows.set_by(each.lines)) for place, each in rules.items()}
