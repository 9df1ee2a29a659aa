"""Has the rules of the address guard on a host's Open vSwitch bridges, over SSH (edge of `drivers.kvm.network.flows`).

Open vSwitch gives a number that was free for an hour to another port, and forgets all rules when it is started anew. So rules are
set when a port comes, and all of them afresh whenever the host is connected, or a bridge has not as many as were set.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import libvirt

from drivers.errors import Transient
from drivers.kvm import domains, mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows
from drivers.kvm.network.flows import Port
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import parse

_Place = tuple[str, int]
"""A bridge and the number of one of its ports."""


class Switches:
    """Open vSwitch bridges of one host. `able`: whether rules can be set there; until `sync` has set them all, nothing is run.

    Safe to use from threads: a port that comes while all are looked at has its rules afterwards, by one way or the other.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._counts: dict[_Place, int] = {}
        self.able = False

    def guard(self, vm: Subject) -> None:
        """Hold the ports of a running VM to the addresses of its mark. Raises Transient, AuthFailed."""
        with self._lock:
            found = [] if vm.live is None or not self.able else list(flows.ports(vm.live, vm.mark))
            if found:
                rules = _rules(found, self._numbers())
                self._write(rules)
                self._counts |= _counted(rules)

    def intact(self) -> bool:
        """Whether each bridge has as many rules of ours as were set there. Raises Transient, AuthFailed, Unsupported."""
        with self._lock:
            wanted = Counter[str]()
            for (bridge, _number), count in self._counts.items():
                wanted[bridge] += count
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
        numbers = self._numbers() if found else {}
        rules = _rules([port for port in found if port.device in numbers], numbers)
        self._write(rules, cleared={*bridges, *(bridge for bridge, _number in rules)})
        self._counts = _counted(rules)

    def _numbers(self) -> Mapping[str, int]:
        return flows.numbers(self._shell.run(Command.LIST_PORTS))

    def _write(self, rules: Mapping[_Place, list[str]], cleared: Iterable[str] = ()) -> None:
        """Set rules; from the bridges `cleared` all others of ours go."""
        lines: dict[str, list[str]] = defaultdict(list, {bridge: [flows.cleared()] for bridge in cleared})
        for (bridge, _number), added in rules.items():
            lines[bridge] += added
        for bridge, each in lines.items():
            self._shell.run(Command.CHANGE_FLOWS, "".join(f"{line}\n" for line in each), bridge)


def _rules(found: Iterable[Port], numbers: Mapping[str, int]) -> Mapping[_Place, list[str]]:
    rules: dict[_Place, list[str]] = {}
    for port in found:
        if port.device not in numbers:
            raise Transient(f"Open vSwitch has not made the port {port.device}")
        rules[port.bridge, numbers[port.device]] = flows.guarded(numbers[port.device], port.nic)
    return rules


def _counted(rules: Mapping[_Place, list[str]]) -> dict[_Place, int]:
    return {place: flows.set_by(lines) for place, lines in rules.items()}
